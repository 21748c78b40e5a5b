#include "convert/names.h"

#include "common/alloc.h"
#include "convert/mapping.h"
#include "proto/known.h"
#include "proto/remote_write.h"

#include <stdlib.h>

enum side { FROM, TO, SIDES };

struct names {
	struct mapping *mapping[SIDES];
	struct sp_arena *arena;  /* of a point */
	struct sp_buf table, sed; /* lines */
};

enum sp_status names_new(const char *from, const char *to, struct names **out, struct sp_why *why)
{
	struct names *n = sp_new(struct names);
	enum sp_status status = SP_OK;
	n->arena = sp_arena_new(0);
	for (int side = 0; side < SIDES && status == SP_OK; side++) {
		Standpipe__Group group = STANDPIPE__GROUP__INIT;
		group.naming = (char *)(side == FROM ? from : to);
		status = mapping_new(&group, 0, &n->mapping[side], why);
	}
	if (status == SP_OK)
		*out = n;
	else
		names_free(&n);
	return status;
}

void names_free(struct names **np)
{
	struct names *n = *np;
	*np = NULL;
	if (!n)
		return;
	mapping_free(&n->mapping[FROM]);
	mapping_free(&n->mapping[TO]);
	sp_arena_free(&n->arena);
	sp_buf_free(&n->table);
	sp_buf_free(&n->sed);
	sp_free(n);
}

static void add_name(struct sp_buf *out, const struct mapped *m, const struct naming_series *s)
{
	sp_buf_add(out, m->base);
	sp_buf_add(out, s->suffix);
}

static void add_series(struct sp_buf *out, const struct mapped *m, const struct naming_series *s)
{
	struct sp_bytes left = sp_bytes(m->labels, m->labels_len);
	struct rw_label label;
	const char *before = "{";
	add_name(out, m, s);
	for (; rw_next_label(&left, &label); before = ", ") {
		sp_buf_str(out, before);
		sp_buf_add(out, label.name);
	}
	if (s->quantile.n)
		sp_buf_printf(out, "%squantile=\"%.*s\"", before, (int)s->quantile.n, (const char *)s->quantile.p);
	sp_buf_str(out, m->labels_len || s->quantile.n ? "}" : "");
}

/* One statistic. A series that only one of the presets has is not renamed, and said to be so. */
static void add_statistic(struct names *n, const struct mapped m[SIDES], const struct naming_series s[SIDES], bool has)
{
	add_series(&n->table, &m[FROM], &s[FROM]);
	sp_buf_u8(&n->table, '\t');
	if (has)
		add_series(&n->table, &m[TO], &s[TO]);
	else
		sp_buf_str(&n->table, "-");
	sp_buf_u8(&n->table, '\n');
	if (has && sp_eq(m[FROM].base, m[TO].base) && sp_eq(s[FROM].suffix, s[TO].suffix) && sp_eq(s[FROM].quantile, s[TO].quantile))
		return; /* nothing to rename */
	bool by_hand = !has || s[FROM].quantile.n || s[TO].quantile.n;
	sp_buf_str(&n->sed, by_hand ? "# by hand: " : "s/\\b");
	add_name(&n->sed, &m[FROM], &s[FROM]);
	if (s[FROM].quantile.n)
		sp_buf_printf(&n->sed, "{quantile=\"%.*s\"}", (int)s[FROM].quantile.n, (const char *)s[FROM].quantile.p);
	sp_buf_str(&n->sed, by_hand ? " -> " : "\\b/");
	if (has)
		add_name(&n->sed, &m[TO], &s[TO]);
	else
		sp_buf_str(&n->sed, "nothing");
	if (has && s[TO].quantile.n)
		sp_buf_printf(&n->sed, "{quantile=\"%.*s\"}", (int)s[TO].quantile.n, (const char *)s[TO].quantile.p);
	sp_buf_str(&n->sed, by_hand ? "\n" : "/g\n");
}

/* Labels with equal values are the same thing: every dimension has one of its own here. */
static void add_labels(struct names *n, const struct mapped m[SIDES])
{
	struct sp_bytes left = sp_bytes(m[FROM].labels, m[FROM].labels_len);
	struct rw_label old, new;
	while (rw_next_label(&left, &old)) {
		struct sp_bytes others = sp_bytes(m[TO].labels, m[TO].labels_len);
		while (rw_next_label(&others, &new)) {
			if (!sp_eq(old.value, new.value) || sp_eq(old.name, new.name))
				continue;
			sp_buf_printf(&n->sed, "s/\\b%.*s( *(=|!=|=~|!~) *\")/%.*s\\1/g\n", (int)old.name.n, (const char *)old.name.p,
			    (int)new.name.n, (const char *)new.name.p);
		}
	}
}

enum sp_status names_add(struct names *n, const struct cw_point *p)
{
	struct cw_point point = *p;
	struct mapped m[SIDES];
	enum sp_status status = SP_OK;
	sp_arena_reset(n->arena);
	struct cw_dim *dims = sp_arena_alloc(n->arena, point.n_dims * sizeof(*dims) + 1);
	uint8_t *values = sp_arena_alloc(n->arena, point.n_dims + 1u);
	if (!dims || !values)
		return SP_NO_MEM;
	for (size_t i = 0; i < point.n_dims; i++) {
		values[i] = (uint8_t)(i + 1);
		dims[i] = (struct cw_dim){p->dims[i].name, sp_bytes(&values[i], 1)};
	}
	point.dims = dims;
	point.account = SP_LIT("account");
	point.region = SP_LIT("region");
	for (int side = 0; side < SIDES && status == SP_OK; side++)
		status = mapping_point(n->mapping[side], &point, n->arena, &m[side]);
	if (status != SP_OK)
		return status;
	for (int stat = 0; stat < STATS_FIXED; stat++) {
		const struct naming_series s[SIDES] = {mapping_preset(n->mapping[FROM])->fixed[stat], mapping_preset(n->mapping[TO])->fixed[stat]};
		if (m[FROM].wants >> stat & 1)
			add_statistic(n, m, s, m[TO].wants >> stat & 1);
	}
	for (size_t i = 0; i < (size_t)point.n_quantiles + point.n_extras; i++) {
		const struct naming_series s[SIDES] = {m[FROM].series[i], m[TO].series[i]};
		add_statistic(n, m, s, true);
	}
	add_labels(n, m);
	return sp_buf_ok(&n->table) && sp_buf_ok(&n->sed) ? SP_OK : SP_NO_MEM;
}

enum sp_status names_add_known(struct names *n)
{
	static const struct cw_quantile p99 = {0.99, 1};
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < KNOWN_FAMILIES; i++) {
		const struct known_family *f = &known_families[i];
		struct cw_dim dims[sizeof f->dims / sizeof f->dims[0]];
		struct cw_point p = {.ns = sp_str(f->ns), .dims = dims, .quantiles = &p99, .n_quantiles = 1};
		for (; p.n_dims < sizeof dims / sizeof dims[0] && f->dims[p.n_dims].name; p.n_dims++)
			dims[p.n_dims] = (struct cw_dim){.name = sp_str(f->dims[p.n_dims].name)};
		for (size_t k = 0; k < sizeof f->metrics / sizeof f->metrics[0] && f->metrics[k].name && status == SP_OK; k++) {
			p.metric = sp_str(f->metrics[k].name);
			p.unit = sp_str(f->metrics[k].unit);
			status = names_add(n, &p);
		}
	}
	return status;
}

static int line_order(const void *a, const void *b)
{
	return sp_cmp(*(const struct sp_bytes *)a, *(const struct sp_bytes *)b);
}

void names_print(struct names *n, bool sed, struct sp_buf *out)
{
	struct sp_bytes rest = sp_buf_view(sed ? &n->sed : &n->table);
	size_t lines = 0, i = 0;
	for (size_t k = 0; k < rest.n; k++)
		lines += rest.p[k] == '\n';
	struct sp_bytes *v = sp_new_array(struct sp_bytes, lines + 1);
	while (sp_take_part(&rest, '\n', &v[i]))
		v[i++].n++; /* with its end */
	qsort(v, lines, sizeof(*v), line_order);
	if (sed)
		sp_buf_str(out, "# sed -E -f THIS: metrics, and labels in matchers; labels in by (), on () and templates are left to you\n");
	for (i = 0; i < lines; i++)
		if (i == 0 || !sp_eq(v[i], v[i - 1]))
			sp_buf_add(out, v[i]);
	sp_free(v);
}
