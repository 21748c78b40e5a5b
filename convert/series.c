#include "convert/series.h"

#include "common/alloc.h"
#include "common/keys_dir.h"
#include "common/lane.h"
#include "convert/encode.h"
#include "proto/plan.h"
#include "proto/remote_write.h"

#include <inttypes.h>

struct series {
	struct encoder *encoder; /* borrows from all that follows */
	struct account_labels *labels;
	struct plan *plan;
	struct accounts *accounts;
	struct settings *settings;
	struct sp_arena *arena;
	struct sp_buf raw;
	const char *key; /* NULL: none was given */
	const struct dest_settings *destination; /* NULL: none in particular */
};

static enum sp_status set_group(struct series *s, const Standpipe__Group *group, struct sp_why *why)
{
	enum sp_status status = encoder_new(group, 0, &s->encoder, why);
	if (status == SP_OK && s->plan) {
		s->labels = account_labels_new(&s->plan->message);
		encoder_accounts(s->encoder, s->labels);
	}
	return status;
}

static enum sp_status finish(struct series *s, enum sp_status status, struct series **out)
{
	if (status == SP_OK)
		*out = s;
	else
		series_free(&s);
	return status;
}

static struct series *begin(void)
{
	struct series *s = sp_new(struct series);
	s->arena = sp_arena_new(0);
	return s;
}

enum sp_status series_new(const char *naming, struct series **out, struct sp_why *why)
{
	Standpipe__Group group = STANDPIPE__GROUP__INIT;
	struct series *s = begin();
	group.naming = (char *)naming;
	group.shards = 1;
	return finish(s, set_group(s, &group, why), out);
}

static enum sp_status find_destination(const struct settings *s, const char *name, uint32_t *out, struct sp_why *why)
{
	for (uint32_t i = 0; i < s->n_dests; i++) {
		if (name ? strcmp(s->dests[i].name, name) == 0 : s->n_dests == 1) {
			*out = i;
			return SP_OK;
		}
	}
	return name ? sp_fail(why, SP_CONFIG, "there is no destination %.64s", name)
		    : sp_fail(why, SP_CONFIG, "%zu destinations: say which with --destination NAME", s->n_dests);
}

/* The group that makes what this destination gets of this key, or NULL when it gets nothing of it. */
static const Standpipe__Group *find_group(const struct plan *plan, uint32_t destination, const char *key)
{
	const Standpipe__Tenant *tenant = plan->message.tenants[0]; /* of all other keys */
	for (size_t i = 0; key && i < plan->message.n_tenants; i++) {
		if (strcmp(plan->message.tenants[i]->key_name, key) == 0)
			tenant = plan->message.tenants[i];
	}
	for (size_t i = 0; i < tenant->n_groups; i++) {
		const struct plan_dests *dests = &plan->dests[tenant->groups[i]];
		for (size_t k = 0; k < dests->n; k++) {
			if (dests->ids[k] == destination)
				return plan->message.groups[tenant->groups[i]];
		}
	}
	return NULL;
}

/* The configuration with all its keys. */
static enum sp_status load(struct series *s, const char *config, struct sp_why *why)
{
	struct conf *conf = conf_new();
	struct keys_dir *dir = NULL;
	enum sp_status status = conf_read_usual(conf, config, why);
	if (status == SP_OK)
		status = settings_load(conf, SP_ROLE_SHIP, &s->settings, why);
	if (status == SP_OK && s->settings->ingest_keys_dir) {
		char *path = sp_strdup(s->settings->ingest_keys_dir);
		settings_free(&s->settings);
		status = keys_dir_new(&conf, path, SP_ROLE_SHIP, false, &dir, &s->settings, why);
		sp_free(path);
	}
	if (status == SP_OK && s->settings->convert_account_labels_file)
		status = accounts_read(s->settings->convert_account_labels_file, &s->accounts, why);
	if (status == SP_OK)
		status = plan_check(s->settings, why);
	keys_dir_free(&dir);
	conf_free(&conf);
	return status;
}

static enum sp_status choose(
    struct series *s, const char *destination, const char *key, const char *naming, struct sp_why *why)
{
	uint32_t number = 0, *ids = sp_new_array(uint32_t, s->settings->n_dests + 1);
	enum sp_status status = find_destination(s->settings, destination, &number, why);
	for (uint32_t i = 0; i < s->settings->n_dests; i++)
		ids[i] = i;
	s->plan = plan_new(s->settings, s->accounts, ids);
	sp_free(ids);
	if (status != SP_OK)
		return status;
	const Standpipe__Group *found = find_group(s->plan, number, key);
	if (!found)
		return sp_fail(why, SP_CONFIG, "destination %.64s gets nothing of key %.64s", s->settings->dests[number].name, key);
	Standpipe__Group group = *found;
	group.naming = naming ? (char *)naming : group.naming;
	s->key = key;
	s->destination = &s->settings->dests[number];
	return set_group(s, &group, why);
}

enum sp_status series_of_config(const char *config, const char *destination, const char *key, const char *naming,
    struct series **out, struct sp_why *why)
{
	struct series *s = begin();
	enum sp_status status = load(s, config, why);
	if (status == SP_OK)
		status = choose(s, destination, key, naming, why);
	return finish(s, status, out);
}

void series_free(struct series **sp)
{
	struct series *s = *sp;
	*sp = NULL;
	if (!s)
		return;
	encoder_free(&s->encoder);
	account_labels_free(&s->labels);
	plan_free(&s->plan);
	accounts_free(&s->accounts);
	settings_free(&s->settings);
	sp_arena_free(&s->arena);
	sp_buf_free(&s->raw);
	sp_free(s);
}

static enum sp_status print_slice(struct series *s, struct sp_bytes block, size_t raw_len, struct sp_buf *out)
{
	sp_buf_clear(&s->raw);
	enum sp_status status = rw_uncompress(block, raw_len, &s->raw, NULL);
	struct sp_bytes in = sp_buf_view(&s->raw);
	struct rw_series one;
	struct rw_sample v;
	while (status == SP_OK && (status = rw_next(&in, &one, NULL)) == SP_OK) {
		while (rw_next_sample(&one.samples, &v)) {
			rw_print_labels(out, one.labels);
			sp_buf_u8(out, ' ');
			sp_buf_double(out, v.value);
			sp_buf_printf(out, " %" PRId64 "\n", v.ms);
		}
	}
	return status == SP_NOT_FOUND ? SP_OK : status;
}

/* What is not known here is what the delivery would say. */
static void print_lane(const struct series *s, const struct convert_group *g, struct sp_buf *out)
{
	char *name = sp_strndup(g->lanes[0].name.p, g->lanes[0].name.n);
	const char *lane = lane_of(s->destination, name);
	const char *value = lane ? sp_map_get(&s->destination->lanes_map, lane) : NULL;
	if (!*name && strcmp(s->destination->lanes_by, "account") != 0)
		sp_buf_printf(out, "# lane by %s of the delivery\n", s->destination->lanes_by);
	else if (!lane)
		sp_buf_str(out, "# dead letter, bad_lane:\n");
	else if (s->destination->lanes_header)
		sp_buf_printf(out, "# lane %s, %s: %s\n", lane, s->destination->lanes_header, value ? value : lane);
	else
		sp_buf_printf(out, "# lane %s\n", lane);
	sp_free(name);
}

enum sp_status series_print(struct series *s, const struct cw_point *p, struct sp_buf *out)
{
	struct cw_point copy = *p;
	struct cw_points points = {&copy, 1, 1};
	struct convert_in in = {.now_ms = p->end_ms, .key_name = sp_str(s->key ? s->key : "")};
	struct convert_group group;
	bool explained = false;
	enum sp_status status = encoder_run(s->encoder, &points, NULL, &in, s->arena, &group);
	for (size_t i = 0; status == SP_OK && i < group.n_counts; i++) {
		const struct convert_count *c = &group.counts[i];
		if (c->n && c->metric == M_CONVERT_FILTERED)
			sp_buf_printf(out, "# dropped by filter %s\n", c->label);
		else if (c->n && c->metric == M_CONVERT_RELABEL_DROPPED)
			sp_buf_printf(out, "# %" PRIu64 " series dropped by write_relabel_configs.%s\n", c->n, c->label);
		explained |= c->n > 0 && c->label;
	}
	if (status == SP_OK && group.n_lanes && group.n_slices)
		print_lane(s, &group, out);
	for (size_t i = 0; status == SP_OK && i < group.n_slices; i++) {
		if (group.slices[i].dead_reason)
			sp_buf_printf(out, "# dead letter, %s:\n", group.slices[i].dead_reason);
		status = print_slice(s, sp_bytes(group.payload.p + group.slices[i].off, group.slices[i].len),
		    group.slices[i].raw_len, out);
	}
	if (status == SP_OK && group.n_slices == 0 && !explained)
		sp_buf_str(out, "# no series: the point has no statistic with a value\n");
	return status;
}
