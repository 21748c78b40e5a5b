#include "convert/tally.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "convert/intern.h"
#include "convert/utf8.h"

struct counted {
	struct interned entry;
	struct sp_metric_series *points, *age; /* age: of accounts only */
};

struct table {
	struct intern names;
	enum sp_metric points;
	bool has_age;
	size_t max;
	struct counted other;
};

struct tally {
	struct sp_arena *arena;
	struct table namespaces, accounts;
};

static void set_series(const struct table *t, struct counted *c, const char *name)
{
	c->points = sp_metric_series(t->points, SP_L(name));
	c->age = t->has_age ? sp_metric_series(M_CONVERT_POINT_AGE, SP_L(name)) : NULL;
}

static struct counted *find(struct tally *tally, struct table *t, struct sp_bytes name)
{
	uint64_t hash = intern_hash(name);
	struct counted *c = (struct counted *)intern_find(&t->names, name, hash);
	if (c)
		return c;
	if (t->names.n == t->max || name.n > TALLY_NAME_BYTES || (name.n && memchr(name.p, 0, name.n)) ||
		!utf8_ok(name)) {
		if (!t->other.points)
			set_series(t, &t->other, "other");
		return &t->other;
	}
	char text[TALLY_NAME_BYTES + 1] = "";
	if (name.n)
		memcpy(text, name.p, name.n);
	c = sp_arena_take(tally->arena, sizeof(*c));
	*c = (struct counted){.entry.key = sp_arena_copy(tally->arena, name), .entry.hash = hash};
	set_series(t, c, text);
	intern_add(&t->names, &c->entry);
	return c;
}

struct tally *tally_new(void)
{
	struct tally *t = sp_new(struct tally);
	t->arena = sp_arena_new(0);
	t->namespaces = (struct table){.points = M_CONVERT_POINTS_BY_NAMESPACE, .max = TALLY_NAMESPACES_MAX};
	t->accounts = (struct table){.points = M_CONVERT_POINTS_BY_ACCOUNT, .has_age = true, .max = TALLY_ACCOUNTS_MAX};
	return t;
}

void tally_free(struct tally **tp)
{
	struct tally *t = *tp;
	*tp = NULL;
	if (!t)
		return;
	intern_free(&t->namespaces.names);
	intern_free(&t->accounts.names);
	sp_arena_free(&t->arena);
	sp_free(t);
}

/* Neighbours are mostly alike: the tables are asked once for each run of them. */
void tally_count(struct tally *t, const struct cw_point *points, size_t n, int64_t now_ms)
{
	size_t ns_from = 0, account_from = 0;
	for (size_t i = 1; i <= n; i++) {
		const struct cw_point *p = &points[i - 1];
		if (i == n || !sp_eq(p[1].ns, p->ns)) {
			sp_series_add(find(t, &t->namespaces, p->ns)->points, (double)(i - ns_from));
			ns_from = i;
		}
		if (i == n || p[1].end_ms != p->end_ms || !sp_eq(p[1].account, p->account)) {
			const struct counted *account = find(t, &t->accounts, p->account);
			sp_series_add(account->points, (double)(i - account_from));
			sp_series_observe(account->age, now_ms > p->end_ms ? (double)(now_ms - p->end_ms) / 1000 : 0, i - account_from);
			account_from = i;
		}
	}
}
