#include "common/accounts.h"

#include "common/alloc.h"
#include "common/conf_list.h"

static bool account_ok(struct sp_bytes id)
{
	return id.n > 0 && id.n <= 64 && strspn((const char *)id.p, "0123456789abcdefghijklmnopqrstuvwxyz-") >= id.n;
}

static enum sp_status add(struct accounts *a, const struct conf_entry *e, struct sp_why *why)
{
	const char *dot = strchr(e->path, '.');
	struct sp_bytes id = sp_bytes(e->path, dot ? (size_t)(dot - e->path) : strlen(e->path));
	if (!account_ok(id))
		return sp_fail(why, SP_CONFIG, "%s: \"%.80s\" is not the id of an account", e->origin, e->path);
	if (e->kind == CONF_NULL && !dot)
		return SP_OK;
	if (!dot || e->kind != CONF_SCALAR || !label_name_ok(sp_str(dot + 1)))
		return sp_fail(why, SP_CONFIG, "%s: %.120s: right is ACCOUNT_ID: {LABEL: VALUE}, a label of letters, digits and _",
		    e->origin, e->path);
	/* The entries of one account stand together. */
	struct account *last = a->n ? &a->v[a->n - 1] : NULL;
	if (!last || !sp_eq(sp_str(last->id), id)) {
		a->v = sp_realloc(a->v, (a->n + 1) * sizeof *a->v);
		last = &a->v[a->n++];
		*last = (struct account){.id = sp_strndup(id.p, id.n)};
	}
	sp_map_put(&last->labels, dot + 1, e->value);
	return SP_OK;
}

enum sp_status accounts_read(const char *path, struct accounts **out, struct sp_why *why)
{
	struct conf *c = conf_new();
	struct accounts *a = sp_new(struct accounts);
	enum sp_status status = conf_read_yaml(c, path, why);
	for (size_t i = 0; status == SP_OK && i < c->n; i++)
		status = add(a, &c->entries[i], why);
	conf_free(&c);
	if (status == SP_OK)
		*out = a;
	else
		accounts_free(&a);
	return status;
}

void accounts_free(struct accounts **ap)
{
	struct accounts *a = *ap;
	if (!a)
		return;
	*ap = NULL;
	for (size_t i = 0; i < a->n; i++) {
		sp_free(a->v[i].id);
		sp_map_free(&a->v[i].labels);
	}
	sp_free(a->v);
	sp_free(a);
}
