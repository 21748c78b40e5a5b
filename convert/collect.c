#include "convert/collect.h"

#include <math.h>

#define FIRST_POINTS 256

void collect_begin(struct collect *c)
{
	c->n_dims = c->n_quantiles = c->n_extras = 0;
	c->has = 0;
	c->count = c->sum = c->min = c->max = 0;
	c->dropped = 0;
}

/* Where name is, or belongs. CloudWatch sorts: mostly it is the end. */
static size_t dim_place(const struct collect *c, struct sp_bytes name)
{
	size_t at = c->n_dims;
	while (at > 0 && sp_cmp(c->dims[at - 1].name, name) >= 0)
		at--;
	return at;
}

const struct cw_dim *collect_find(const struct collect *c, struct sp_bytes name)
{
	size_t at = dim_place(c, name);
	return at < c->n_dims && sp_eq(c->dims[at].name, name) ? &c->dims[at] : NULL;
}

void collect_dim(struct collect *c, struct sp_bytes name, struct sp_bytes value)
{
	if (name.n == 0 || name.n > COLLECT_NAME_BYTES) {
		c->dropped++;
		return;
	}
	if (value.n > COLLECT_VALUE_BYTES) {
		value.n = COLLECT_VALUE_BYTES;
		c->dropped++;
	}
	size_t at = dim_place(c, name);
	if ((at < c->n_dims && sp_eq(c->dims[at].name, name)) || at == COLLECT_DIMS) {
		c->dropped++;
		return;
	}
	if (c->n_dims == COLLECT_DIMS) { /* the last in byte order gives way */
		c->n_dims--;
		c->dropped++;
	}
	memmove(&c->dims[at + 1], &c->dims[at], (c->n_dims - at) * sizeof *c->dims);
	c->dims[at] = (struct cw_dim){name, value};
	c->n_dims++;
}

void collect_base(struct collect *c, enum cw_has which, double value)
{
	if (isnan(value)) {
		c->dropped++;
		return;
	}
	c->has |= (uint8_t)which;
	*(which == CW_COUNT ? &c->count : which == CW_SUM ? &c->sum : which == CW_MIN ? &c->min : &c->max) = value;
}

void collect_quantile(struct collect *c, double q, double value)
{
	if (q == 0 || q == 1) {
		enum cw_has which = q == 0 ? CW_MIN : CW_MAX;
		if (c->has & which)
			c->dropped++;
		else
			collect_base(c, which, value);
		return;
	}
	size_t at = c->n_quantiles;
	while (at > 0 && c->quantiles[at - 1].q >= q)
		at--;
	bool known = at < c->n_quantiles && c->quantiles[at].q == q;
	if (!(q > 0 && q < 1) || isnan(value) || known || c->n_quantiles == COLLECT_STATS) {
		c->dropped++;
		return;
	}
	memmove(&c->quantiles[at + 1], &c->quantiles[at], (c->n_quantiles - at) * sizeof *c->quantiles);
	c->quantiles[at] = (struct cw_quantile){q, value};
	c->n_quantiles++;
}

void collect_extra(struct collect *c, struct sp_bytes key, double value)
{
	bool known = false;
	for (size_t i = 0; i < c->n_extras; i++)
		known = known || sp_eq(c->extras[i].key, key);
	if (isnan(value) || known || key.n == 0 || key.n > COLLECT_NAME_BYTES || c->n_extras == COLLECT_STATS)
		c->dropped++;
	else
		c->extras[c->n_extras++] = (struct cw_extra){key, value};
}

/* A copy of n bytes in the arena. *ok becomes false when it is spent. */
static const void *keep(struct sp_arena *arena, const void *p, size_t n, bool *ok)
{
	if (n == 0)
		return NULL;
	struct sp_bytes copy = sp_arena_copy(arena, sp_bytes(p, n));
	*ok = *ok && copy.p;
	return copy.p;
}

struct cw_point *cw_points_add(struct cw_points *points, struct sp_arena *arena)
{
	if (points->n == points->cap) {
		size_t cap = points->cap ? 2 * points->cap : FIRST_POINTS;
		void *v = sp_arena_grow(arena, points->v, points->cap * sizeof *points->v, cap * sizeof *points->v);
		if (!v)
			return NULL;
		points->v = v, points->cap = cap;
	}
	struct cw_point *p = &points->v[points->n++];
	*p = (struct cw_point){0};
	return p;
}

struct cw_point *collect_point(const struct collect *c, struct decoder *d)
{
	bool ok = true;
	const void *dims = keep(d->arena, c->dims, c->n_dims * sizeof *c->dims, &ok);
	const void *quantiles = keep(d->arena, c->quantiles, c->n_quantiles * sizeof *c->quantiles, &ok);
	const void *extras = keep(d->arena, c->extras, c->n_extras * sizeof *c->extras, &ok);
	struct cw_point *p = ok ? cw_points_add(d->points, d->arena) : NULL;
	if (!p)
		return NULL;
	p->dims = dims, p->n_dims = c->n_dims;
	p->quantiles = quantiles, p->n_quantiles = c->n_quantiles;
	p->extras = extras, p->n_extras = c->n_extras;
	p->has = c->has;
	p->count = c->count, p->sum = c->sum, p->min = c->min, p->max = c->max;
	d->dropped_values += c->dropped;
	return p;
}
