#include "ship/plans.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/watch.h"

#define LOOK_MS 1000

struct plans {
	struct sp_loop *loop;
	struct sp_timer timer;
	struct keys_dir *keys;
	struct intake *intake;
	struct senders *senders;
	const char *accounts_path; /* NULL: none */
	struct sp_watch accounts_seen;
	bool accounts_bad;
	uint32_t *dest_ids;
	/* What the plan is made of, and points into. */
	const struct settings *first;
	struct settings *settings; /* since the directory has changed; NULL: still the first */
	struct accounts *accounts;
	struct plan *plan;
};

/* NULL: nothing new. */
static struct accounts *look_at_accounts(struct plans *p, struct sp_why *why)
{
	struct accounts *fresh = NULL;
	if (!p->accounts_path)
		return NULL;
	/* What could not be read is tried again each time: a change of its permissions is no change of the file. */
	bool changed = sp_watch_changed(&p->accounts_seen, p->accounts_path);
	if (!changed && !p->accounts_bad)
		return NULL;
	bool bad = accounts_read(p->accounts_path, &fresh, why) != SP_OK;
	if (bad && p->plan && (changed || !p->accounts_bad))
		sp_log(SP_LOG_ERROR, "accounts.bad", sp_f_str("reason", why->text),
		    sp_f_str("msg", "the former content stays in force"), SP_LOG_END);
	p->accounts_bad = bad;
	sp_metric_set(M_SHIP_ACCOUNTS_BAD, NULL, bad);
	return fresh;
}

/* Takes over both; NULL: as before. */
static void replace(struct plans *p, struct settings *settings, struct accounts *accounts)
{
	struct plan *former = p->plan;
	p->plan = plan_new(
	    settings ? settings : p->settings ? p->settings : p->first, accounts ? accounts : p->accounts, p->dest_ids);
	intake_set_plan(p->intake, p->plan);
	if (!former || former->message.epoch != p->plan->message.epoch)
		sp_log(SP_LOG_INFO, "plan.changed", sp_f_u64("groups", p->plan->message.n_groups),
		    sp_f_u64("tenants", p->plan->message.n_tenants), sp_f_u64("accounts", p->plan->message.n_accounts),
		    SP_LOG_END);
	plan_free(&former);
	if (settings) {
		senders_keys(p->senders, settings);
		settings_free(&p->settings);
		p->settings = settings;
	}
	if (accounts) {
		accounts_free(&p->accounts);
		p->accounts = accounts;
	}
}

static void look(void *arg)
{
	struct plans *p = arg;
	struct sp_why why;
	struct settings *settings = p->keys ? keys_dir_poll(p->keys) : NULL;
	if (settings && plan_check(settings, &why) != SP_OK) { /* more than the workers take */
		sp_log(SP_LOG_ERROR, "plan.too_large", sp_f_str("reason", why.text),
		    sp_f_str("msg", "the former content of ingest.keys_dir stays in force"), SP_LOG_END);
		settings_free(&settings);
	}
	struct accounts *accounts = look_at_accounts(p, &why);
	if (settings || accounts)
		replace(p, settings, accounts);
	sp_timer_set(p->loop, &p->timer, LOOK_MS, look, p);
}

enum sp_status plans_new(struct sp_loop *l, const struct settings *s, struct keys_dir *keys, struct writer *w,
    struct intake *intake, struct senders *senders, struct plans **out, struct sp_why *why)
{
	struct plans *p = sp_new(struct plans);
	*p = (struct plans){.loop = l, .keys = keys, .intake = intake, .senders = senders, .first = s,
	    .accounts_path = s->convert_account_labels_file};
	p->accounts = look_at_accounts(p, why);
	if (p->accounts_bad) {
		plans_free(&p);
		return SP_CONFIG;
	}
	p->dest_ids = sp_new_array(uint32_t, s->n_dests);
	for (size_t i = 0; i < s->n_dests; i++)
		p->dest_ids[i] = writer_dest_id(w, s->dests[i].name);
	replace(p, NULL, NULL);
	if (p->keys || p->accounts_path)
		sp_timer_set(l, &p->timer, LOOK_MS, look, p);
	*out = p;
	return SP_OK;
}

void plans_free(struct plans **pp)
{
	struct plans *p = *pp;
	if (!p)
		return;
	*pp = NULL;
	sp_timer_cancel(p->loop, &p->timer);
	plan_free(&p->plan);
	accounts_free(&p->accounts);
	settings_free(&p->settings);
	sp_free(p->dest_ids);
	sp_free(p);
}
