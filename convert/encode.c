#include "convert/encode.h"

#include "common/alloc.h"
#include "convert/lanes.h"
#include "convert/rewrite.h"
#include "convert/sketches.h"
#include "convert/slices.h"
#include "proto/info.h"
#include "proto/remote_write.h"

#include <math.h>
#include <stdlib.h>

enum further_count {
	COUNT_COLLISIONS, COUNT_MENDED, COUNT_CUT, COUNT_LIMITED, COUNT_UNINFORMED, COUNT_LANELESS,
	FURTHER_COUNTS
};

struct encoder {
	uint32_t id, shards;
	size_t portion_bytes; /* of points that rules look at */
	bool stamp_start;
	struct mapping *mapping;
	struct slices slices;
	struct sp_buf info, entries; /* entries: of info */
	struct sp_buf informed; /* a bit for each metric whose entry is written, or left out */
	uint64_t uninformed;    /* metrics left out, ever */
	struct lanes lanes;
	uint64_t laneless; /* samples that could have had a lane of their own, ever */
	struct rewriter *rewriter; /* NULL: the group has no rules */
	int64_t max_age_ms; /* 0: no limit */
	struct convert_count *counts; /* of the filter's verdicts, of the rules, then enum further_count */
	size_t n_verdicts, n_rules, n_counts;
	uint64_t seen[FURTHER_COUNTS]; /* by mapping and rewriter, before this run */

	/* What is known of the series that are active: the sketch for the metric at hand, and parts of their hashes. */
	struct sketches *sketches;
	struct sp_hll *sketch;
	uint32_t metric;
	uint64_t metric_hash, stat_hash[STATS_FIXED];
};

/* A point in the order it will be written. Integers only: strings are too dear to compare. */
struct item {
	uint64_t key; /* bin: shard of a lane (16 bits), metric (24 bits), upper part of the identity */
	uint32_t point;
};
#define SHARDS_MAX 64
static_assert(SHARDS_MAX * (LANES_OF_DELIVERY + 1) <= 1 << 16, "bins");
#define METRICS_MAX ((uint32_t)1 << 24)

/* Points with equal labels, ascending in time, later arrivals behind earlier ones. */
struct run {
	const struct item *items;
	size_t n;
	const struct cw_point *points;
	const struct mapped *mapped;
	struct rw_sample *samples; /* room for n */
	const struct rw_sample *values; /* of rewritten series: items are single samples; else NULL */
};

/* A value of a percentile or other statistic that waits for its series. */
struct loose {
	const struct naming_series *series;
	struct rw_sample sample;
	size_t at;
};

static uint64_t series_hash(const struct naming_series *s)
{
	return intern_hash(s->suffix) + intern_hash(s->quantile);
}

static void make_counts(struct encoder *e)
{
	static const enum sp_metric further[FURTHER_COUNTS] = {[COUNT_COLLISIONS] = M_CONVERT_NAME_COLLISIONS,
	    [COUNT_MENDED] = M_CONVERT_MENDED_VALUES, [COUNT_CUT] = M_CONVERT_LABELS_CUT, [COUNT_LIMITED] = M_CONVERT_RELABEL_LIMITED,
	    [COUNT_UNINFORMED] = M_CONVERT_UNINFORMED, [COUNT_LANELESS] = M_CONVERT_LANELESS};
	const struct filter *filter = mapping_filter(e->mapping);
	e->n_verdicts = filter ? (size_t)filter_verdicts(filter) : 0;
	e->n_counts = e->n_verdicts + e->n_rules + FURTHER_COUNTS;
	e->counts = sp_new_array(struct convert_count, e->n_counts);
	for (size_t i = 0; i < e->n_verdicts; i++)
		e->counts[i] = (struct convert_count){M_CONVERT_FILTERED, filter_name(filter, (int)i), 0};
	for (size_t i = 0; i < e->n_rules; i++)
		e->counts[e->n_verdicts + i] = (struct convert_count){M_CONVERT_RELABEL_DROPPED, sp_asprintf("%zu", i), 0};
	for (size_t i = 0; i < FURTHER_COUNTS; i++)
		e->counts[e->n_counts - FURTHER_COUNTS + i] = (struct convert_count){further[i], NULL, 0};
}

/* What others have counted since the last run. */
static void update_counts(struct encoder *e)
{
	const struct rewriter *w = e->rewriter;
	uint64_t now[FURTHER_COUNTS] = {[COUNT_COLLISIONS] = mapping_collisions(e->mapping),
	    [COUNT_MENDED] = mapping_mended(e->mapping), [COUNT_CUT] = w ? rewriter_cut(w) : mapping_cut(e->mapping), [COUNT_LIMITED] = w ? rewriter_limited(w) : 0,
	    [COUNT_UNINFORMED] = e->uninformed, [COUNT_LANELESS] = e->laneless};
	for (size_t i = 0; i < FURTHER_COUNTS; i++) {
		e->counts[e->n_counts - FURTHER_COUNTS + i].n = now[i] - e->seen[i];
		e->seen[i] = now[i];
	}
}

enum sp_status encoder_new(const Standpipe__Group *group, size_t budget, struct encoder **out, struct sp_why *why)
{
	struct encoder *e = sp_new(struct encoder);
	*e = (struct encoder){.id = group->id, .shards = group->shards ? group->shards : 1,
		.stamp_start = group->stamp_start, .max_age_ms = group->max_age_ms, .portion_bytes = budget ? budget : SIZE_MAX};
	slices_init(&e->slices, group, budget);
	enum sp_status status = mapping_new(group, budget, &e->mapping, why);
	if (status == SP_OK && group->shards > SHARDS_MAX)
		status = sp_fail(why, SP_CONFIG, "%u shards are more than the %d that there can be", group->shards, SHARDS_MAX);
	for (int stat = 0; stat < STATS_FIXED && status == SP_OK; stat++)
		e->stat_hash[stat] = series_hash(&mapping_preset(e->mapping)->fixed[stat]);
	if (status == SP_OK)
		status = rewriter_new(group, &e->rewriter, why);
	if (status == SP_OK)
		status = lanes_init(&e->lanes, group->lane_by, why);
	if (status != SP_OK) {
		encoder_free(&e);
		return status;
	}
	e->n_rules = group->n_relabel;
	make_counts(e);
	*out = e;
	return status;
}

void encoder_count(struct encoder *e, struct sketches *sketches)
{
	e->sketches = sketches;
}

void encoder_free(struct encoder **ep)
{
	struct encoder *e = *ep;
	*ep = NULL;
	if (!e)
		return;
	mapping_free(&e->mapping);
	rewriter_free(&e->rewriter);
	for (size_t i = 0; i < e->n_rules; i++)
		sp_free((void *)(uintptr_t)e->counts[e->n_verdicts + i].label);
	slices_free(&e->slices);
	lanes_free(&e->lanes);
	sp_buf_free(&e->info);
	sp_buf_free(&e->entries);
	sp_buf_free(&e->informed);
	sp_free(e->counts);
	sp_free(e);
}

void encoder_accounts(struct encoder *e, const struct account_labels *accounts)
{
	mapping_accounts(e->mapping, accounts);
}

void encoder_rest(struct encoder *e)
{
	slices_rest(&e->slices);
}

/* ---- active series ---- */

static void count_metric(struct encoder *e, const struct mapped *m)
{
	if (m->metric == e->metric)
		return;
	e->metric = m->metric;
	e->metric_hash = intern_hash(m->base);
	e->sketch = e->sketches ? sketches_get(e->sketches, e->id, m->from->ns) : NULL;
}

static void count_series(struct encoder *e, const struct mapped *m, uint64_t stat_hash)
{
	/* All parts are as good as random; the product carries each bit to the upper ones, which choose the register. */
	if (e->sketch && !e->slices.dead_reason)
		sp_hll_add(e->sketch, (m->identity ^ e->metric_hash ^ stat_hash) * UINT64_C(0x9e3779b97f4a7c15));
}

/* ---- statistics of a run ---- */

static int64_t stamp(const struct encoder *e, const struct cw_point *p)
{
	return e->stamp_start ? p->start_ms : p->end_ms;
}

/* A later arrival for the same time takes the place of the earlier one. */
static size_t push_sample(struct encoder *e, struct rw_sample *v, size_t n, int64_t ms, double value)
{
	bool again = n > 0 && v[n - 1].ms == ms;
	n -= again;
	e->lanes.v[e->slices.lane].merged += again;
	v[n] = (struct rw_sample){ms, value};
	return n + 1;
}

static bool fixed_value(const struct cw_point *p, int stat, double *out)
{
	switch (stat) {
	case STAT_SUM:
		*out = p->sum;
		return p->has & CW_SUM && !isnan(p->sum);
	case STAT_SAMPLE_COUNT:
		*out = p->count;
		return p->has & CW_COUNT && !isnan(p->count);
	case STAT_MINIMUM:
		*out = p->min;
		return p->has & CW_MIN && !isnan(p->min);
	case STAT_MAXIMUM:
		*out = p->max;
		return p->has & CW_MAX && !isnan(p->max);
	default: /* STAT_AVERAGE */
		*out = p->sum / p->count;
		return (p->has & CW_SUM) && (p->has & CW_COUNT) && p->count > 0 && !isnan(*out);
	}
}

/* A point is a minute long. */
static int64_t stamp_of(const struct encoder *e, const struct cw_point *p, int stat)
{
	bool at_start = mapping_preset(e->mapping)->min_max_at_start && (stat == STAT_MINIMUM || stat == STAT_MAXIMUM);
	return stamp(e, p) - (at_start && !e->stamp_start ? 60000 : 0);
}

static bool wants(const struct mapped *m, int stat)
{
	return m->wants >> stat & 1;
}

static enum sp_status add_fixed(struct encoder *e, const struct run *r, struct sp_arena *arena)
{
	const struct naming_preset *preset = mapping_preset(e->mapping);
	const struct mapped *mapped = &r->mapped[r->items[0].point];
	struct mapped without_origin;
	enum sp_status status = SP_OK;
	for (int stat = 0; stat < STATS_FIXED && status == SP_OK; stat++) {
		size_t n = 0;
		double value;
		for (size_t i = 0; i < r->n; i++) {
			const struct cw_point *p = &r->points[r->items[i].point];
			if (wants(&r->mapped[r->items[i].point], stat) && fixed_value(p, stat, &value))
				n = push_sample(e, r->samples, n, stamp_of(e, p, stat), value);
		}
		if (n)
			count_series(e, mapped, e->stat_hash[stat]);
		if (stat == STAT_MAXIMUM && preset->max_without_origin) {
			status = mapping_without_origin(e->mapping, mapped, arena, &without_origin);
			if (status == SP_OK)
				status = slices_add(&e->slices, &without_origin, &preset->fixed[stat], r->samples, n);
		} else {
			status = slices_add(&e->slices, mapped, &preset->fixed[stat], r->samples, n);
		}
	}
	return status;
}

static int series_order(const struct naming_series *a, const struct naming_series *b)
{
	int c = sp_cmp(a->suffix, b->suffix);
	return c ? c : sp_cmp(a->quantile, b->quantile);
}

static int loose_order(const void *a, const void *b)
{
	const struct loose *x = a, *y = b;
	int c = series_order(x->series, y->series);
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

static void push_loose(struct loose *v, size_t *n, const struct naming_series *series, int64_t ms, double value)
{
	if (isnan(value))
		return;
	v[*n] = (struct loose){series, {ms, value}, *n};
	(*n)++;
}

/* Percentiles and other statistics: the points of a run need not have the same ones. */
static enum sp_status add_loose(struct encoder *e, const struct run *r, struct sp_arena *arena)
{
	bool gated = mapping_preset(e->mapping)->quantiles_gated;
	size_t max = 0, n = 0;
	for (size_t i = 0; i < r->n; i++)
		max += (size_t)r->points[r->items[i].point].n_quantiles + r->points[r->items[i].point].n_extras;
	if (max == 0)
		return SP_OK;
	struct loose *v = sp_arena_alloc(arena, max * sizeof(*v));
	if (!v)
		return SP_NO_MEM;
	for (size_t i = 0; i < r->n; i++) {
		const struct cw_point *p = &r->points[r->items[i].point];
		const struct mapped *m = &r->mapped[r->items[i].point];
		const struct naming_series *series = m->series;
		bool passes = wants(m, STAT_PERCENTILES) && (!gated || (p->count > 1 && p->sum > 0));
		for (size_t j = 0; passes && j < p->n_quantiles; j++)
			push_loose(v, &n, &series[j], stamp(e, p), p->quantiles[j].value);
		for (size_t j = 0; wants(m, STAT_OTHER) && j < p->n_extras; j++)
			push_loose(v, &n, &series[p->n_quantiles + j], stamp(e, p), p->extras[j].value);
	}
	qsort(v, n, sizeof(*v), loose_order);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < n && status == SP_OK;) {
		const struct naming_series *series = v[i].series;
		size_t samples = 0;
		for (; i < n && series_order(series, v[i].series) == 0; i++)
			samples = push_sample(e, r->samples, samples, v[i].sample.ms, v[i].sample.value);
		count_series(e, &r->mapped[r->items[0].point], series_hash(series));
		status = slices_add(&e->slices, &r->mapped[r->items[0].point], series, r->samples, samples);
	}
	return status;
}

/* ---- order ---- */

/* Stable: equal keys stay in order of arrival. Byte after byte from the lowest, without those that are the same in all
 * keys. Returns v or tmp, whichever holds the result. */
static struct item *sort_items(struct item *v, struct item *tmp, size_t n)
{
	uint64_t differ = 0;
	for (size_t i = 1; i < n; i++)
		differ |= v[i].key ^ v[0].key;
	for (int shift = 0; shift < 64; shift += 8) {
		if ((differ >> shift & 0xff) == 0)
			continue;
		size_t at[256] = {0}, sum = 0;
		for (size_t i = 0; i < n; i++)
			at[v[i].key >> shift & 0xff]++;
		for (size_t i = 0; i < 256; i++) {
			size_t count = at[i];
			at[i] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			tmp[at[v[i].key >> shift & 0xff]++] = v[i];
		struct item *swap = v;
		v = tmp;
		tmp = swap;
	}
	return v;
}

struct tie {
	const struct mapped *mapped;
	int64_t ms;
	uint32_t point;
};

/* By labels, then time, then arrival. */
static int tie_order(const void *a, const void *b)
{
	const struct tie *x = a, *y = b;
	int c = (x->mapped->identity > y->mapped->identity) - (x->mapped->identity < y->mapped->identity);
	if (c == 0)
		c = sp_cmp(sp_bytes(x->mapped->labels, x->mapped->labels_len), sp_bytes(y->mapped->labels, y->mapped->labels_len));
	if (c == 0)
		c = (x->ms > y->ms) - (x->ms < y->ms);
	return c ? c : (x->point > y->point) - (x->point < y->point);
}

/* Items with equal keys are points of one series, as good as always. */
static bool sort_ties(
    const struct encoder *e, struct item *items, size_t n, const struct run *r, struct sp_arena *arena)
{
	struct tie *ties = sp_arena_alloc(arena, n * sizeof(*ties));
	if (!ties)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint32_t point = items[i].point;
		ties[i] = (struct tie){
		    &r->mapped[point], r->values ? r->values[point].ms : stamp(e, &r->points[point]), point};
	}
	qsort(ties, n, sizeof(*ties), tie_order);
	for (size_t i = 0; i < n; i++)
		items[i].point = ties[i].point;
	return true;
}

static bool same_series(const struct mapped *a, const struct mapped *b)
{
	return a->identity == b->identity && a->labels_len == b->labels_len &&
	       memcmp(a->labels, b->labels, a->labels_len) == 0;
}

/* Samples of one rewritten series. */
static enum sp_status add_rewritten(struct encoder *e, const struct run *r)
{
	static const struct naming_series complete = {.suffix = {NULL, 0}};
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct rw_sample *v = &r->values[r->items[i].point];
		n = push_sample(e, r->samples, n, v->ms, v->value);
	}
	count_series(e, &r->mapped[r->items[0].point], 0);
	return slices_add(&e->slices, &r->mapped[r->items[0].point], &complete, r->samples, n);
}

/* Once for each metric of the payload. */
static enum sp_status inform(struct encoder *e, const struct mapped *m)
{
	size_t at = m->metric / 8;
	uint8_t bit = (uint8_t)(1u << m->metric % 8);
	if (at >= e->informed.n) {
		size_t more = at + 1 - e->informed.n;
		uint8_t *room = sp_buf_room(&e->informed, more);
		if (!room)
			return SP_NO_MEM;
		memset(room, 0, more);
		e->informed.n += more;
	}
	if (e->informed.p[at] & bit)
		return SP_OK;
	e->informed.p[at] |= bit;
	e->uninformed += !info_add(&e->entries, m->base, m->from->said);
	return SP_OK;
}

static enum sp_status write_run(struct encoder *e, const struct run *r, struct sp_arena *arena)
{
	enum sp_status status = SP_OK;
	count_metric(e, &r->mapped[r->items[0].point]);
	if (!e->slices.dead_reason)
		status = inform(e, &r->mapped[r->items[0].point]);
	if (status == SP_OK && r->values)
		return add_rewritten(e, r);
	if (status == SP_OK)
		status = add_fixed(e, r, arena);
	return status == SP_OK ? add_loose(e, r, arena) : status;
}

/* The order is not the order in memory: what comes soon is fetched early. */
static void prefetch(const struct item *items, size_t i, size_t n, const struct run *r)
{
	if (i + 8 < n) {
		__builtin_prefetch(&r->mapped[items[i + 8].point]);
		if (r->points)
			__builtin_prefetch(&r->points[items[i + 8].point].has);
	}
	if (i + 4 < n) {
		const uint8_t *labels = r->mapped[items[i + 4].point].labels;
		__builtin_prefetch(labels);
		__builtin_prefetch(labels + 64);
		__builtin_prefetch(labels + 128);
	}
}

static enum sp_status write_items(
    struct encoder *e, struct item *items, size_t n, struct run *r, struct sp_arena *arena)
{
	enum sp_status status = SP_OK;
	size_t ties_end = 0;
	uint32_t bin = UINT32_MAX;
	for (size_t i = 0, end; i < n && status == SP_OK; i = end) {
		prefetch(items, i, n, r);
		if (items[i].key >> 48 != bin) {
			bin = (uint32_t)(items[i].key >> 48);
			status = slices_shard(&e->slices, bin / e->shards, bin % e->shards);
		}
		if (i >= ties_end) {
			for (ties_end = i + 1; ties_end < n && items[ties_end].key == items[i].key; ties_end++)
				;
			if (ties_end > i + 1 && !sort_ties(e, items + i, ties_end - i, r, arena))
				return SP_NO_MEM;
		}
		for (end = i + 1; end < ties_end && same_series(&r->mapped[items[i].point], &r->mapped[items[end].point]); end++)
			;
		r->items = &items[i];
		r->n = end - i;
		if (status == SP_OK)
			status = write_run(e, r, arena);
	}
	return status == SP_OK ? slices_close(&e->slices) : status;
}

/* ---- points ---- */

/* The samples of one point, each with what its statistic adds to the name. Only counts them when v is NULL. */
static size_t list_samples(const struct encoder *e, const struct cw_point *p, const struct mapped *m, struct loose *v)
{
	struct loose none;
	size_t n = 0;
	double value;
	bool gated = mapping_preset(e->mapping)->quantiles_gated && !(p->count > 1 && p->sum > 0);
	for (int stat = 0; stat < STATS_FIXED; stat++) {
		if (wants(m, stat) && fixed_value(p, stat, &value)) {
			*(v ? &v[n] : &none) =
			    (struct loose){&mapping_preset(e->mapping)->fixed[stat], {stamp_of(e, p, stat), value}, (size_t)stat};
			n++;
		}
	}
	size_t others = (size_t)p->n_quantiles + p->n_extras;
	for (size_t i = 0; i < others; i++) {
		bool percentile = i < p->n_quantiles;
		value = percentile ? p->quantiles[i].value : p->extras[i - p->n_quantiles].value;
		if (isnan(value) || !wants(m, percentile ? STAT_PERCENTILES : STAT_OTHER) || (percentile && gated))
			continue;
		*(v ? &v[n] : &none) = (struct loose){&m->series[i], {stamp(e, p), value}, STATS_FIXED};
		n++;
	}
	return n;
}

/* What a run is made of; arrays have room for `cap` items. */
struct batch {
	struct item *items, *tmp;
	struct mapped *mapped;
	struct rw_sample *samples, *values;
	size_t n; /* of mapped */
	size_t of_fate[FATES_WRITTEN];
};

static bool batch_make(struct batch *b, size_t cap, bool has_values, struct sp_arena *arena)
{
	*b = (struct batch){.items = sp_arena_alloc(arena, cap * sizeof(*b->items)),
	    .tmp = sp_arena_alloc(arena, cap * sizeof(*b->tmp)), .mapped = sp_arena_alloc(arena, cap * sizeof(*b->mapped)),
	    .samples = sp_arena_alloc(arena, cap * sizeof(*b->samples)), /* a point has a statistic once */
	    .values = has_values ? sp_arena_alloc(arena, cap * sizeof(*b->values)) : NULL};
	return b->items && b->tmp && b->mapped && b->samples && (b->values || !has_values) && cap <= UINT32_MAX;
}

static struct item item_of(const struct encoder *e, const struct batch *b, size_t i)
{
	const struct mapped *m = &b->mapped[i];
	uint64_t bin = m->lane * e->shards + m->identity % e->shards;
	return (struct item){bin << 48 | (uint64_t)m->metric << 24 | m->identity >> 40, (uint32_t)i};
}

/* Counts the next of b->mapped. Those that are sent become items at once. SP_NO_MEM: too many names. */
static enum sp_status batch_add(const struct encoder *e, struct batch *b)
{
	const struct mapped *m = &b->mapped[b->n];
	if (m->fate < FATES_WRITTEN && m->metric >= METRICS_MAX)
		return SP_NO_MEM;
	if (m->fate == FATE_SENT)
		b->items[b->of_fate[FATE_SENT]] = item_of(e, b, b->n);
	if (m->fate < FATES_WRITTEN)
		b->of_fate[m->fate]++;
	b->n++;
	return SP_OK;
}

/* What is sent, then what is not, reason by reason: a slice has one. */
static enum sp_status write_batch(
    struct encoder *e, struct batch *b, const struct cw_point *points, struct sp_arena *arena)
{
	static const char *const reasons[FATES_WRITTEN] = {[FATE_TOO_MANY_LABELS] = "too_many_labels",
	    [FATE_LABEL_NAME_TOO_LONG] = "label_name_too_long", [FATE_BAD_NAME] = "bad_metric_name"};
	struct run run = {.points = points, .mapped = b->mapped, .samples = b->samples, .values = b->values};
	enum sp_status status = SP_OK;
	for (int fate = 0; fate < FATES_WRITTEN && status == SP_OK; fate++) {
		size_t n = 0;
		for (size_t i = 0; fate != FATE_SENT && b->of_fate[fate] && i < b->n; i++) {
			if (b->mapped[i].fate == fate)
				b->items[n++] = item_of(e, b, i);
		}
		e->slices.dead_reason = reasons[fate];
		if (b->of_fate[fate])
			status = write_items(
			    e, sort_items(b->items, b->tmp, b->of_fate[fate]), b->of_fate[fate], &run, arena);
	}
	return status;
}

/* FATE_GONE, and counted, when a filter drops it or it is too old. */
static enum sp_status map_point(
    struct encoder *e, const struct cw_point *p, int64_t oldest_ms, struct sp_arena *arena, struct mapped *out)
{
	enum sp_status status = mapping_point(e->mapping, p, arena, out);
	if (status != SP_OK)
		return status;
	if (out->dropped_by >= 0) {
		e->counts[out->dropped_by].n++;
		return SP_OK;
	}
	out->lane = lanes_of(&e->lanes, p);
	if (stamp(e, p) < oldest_ms) {
		e->lanes.v[out->lane].dropped += list_samples(e, p, out, NULL);
		out->fate = FATE_GONE;
	}
	return SP_OK;
}

static enum sp_status write_points(
    struct encoder *e, const struct cw_points *points, int64_t oldest_ms, struct sp_arena *arena)
{
	struct batch b;
	enum sp_status status = batch_make(&b, points->n, false, arena) ? SP_OK : SP_NO_MEM;
	for (size_t i = 0; i < points->n && status == SP_OK; i++) {
		status = map_point(e, &points->v[i], oldest_ms, arena, &b.mapped[i]);
		if (status == SP_OK)
			status = batch_add(e, &b);
	}
	return status == SP_OK ? write_batch(e, &b, points->v, arena) : status;
}

/* ---- points that rules look at ---- */

static enum sp_status rewrite_point(
    struct encoder *e, const struct cw_point *p, const struct mapped *m, struct loose *room, struct batch *b, struct sp_arena *arena)
{
	struct mapped without_origin;
	enum sp_status status = SP_OK;
	size_t n = list_samples(e, p, m, room);
	for (size_t i = 0; i < n && status == SP_OK; i++) {
		const struct mapped *from = m;
		struct mapped *to = &b->mapped[b->n];
		if (room[i].at == STAT_MAXIMUM && mapping_preset(e->mapping)->max_without_origin) {
			status = mapping_without_origin(e->mapping, m, arena, &without_origin);
			from = &without_origin;
		}
		if (status == SP_OK)
			status = rewrite_series(e->rewriter, e->mapping, from, room[i].series, arena, to);
		if (status != SP_OK)
			return status;
		if (to->dropped_by >= 0)
			e->counts[e->n_verdicts + (size_t)to->dropped_by].n++;
		b->values[b->n] = room[i].sample;
		status = batch_add(e, b);
	}
	return status;
}

/* As many points as a portion may have, at least one. */
static enum sp_status rewrite_portion(struct encoder *e, const struct cw_point *points, size_t n, int64_t oldest_ms,
    struct sp_arena *arena, size_t *done)
{
	const size_t slot = 2 * sizeof(struct item) + sizeof(struct mapped) + 2 * sizeof(struct rw_sample);
	size_t most = 0, all = 0, end = 0; /* samples of a point, of all */
	for (; end < n && all < e->portion_bytes / 2 / slot + 1; end++) {
		size_t samples = STATS_FIXED + (size_t)points[end].n_quantiles + points[end].n_extras;
		most = samples > most ? samples : most;
		all += samples;
	}
	struct batch b;
	struct loose *room = sp_arena_alloc(arena, most * sizeof(*room) + 1);
	enum sp_status status = room && batch_make(&b, all, true, arena) ? SP_OK : SP_NO_MEM;
	size_t i = 0, before = sp_arena_used(arena);
	for (; i < end && status == SP_OK && sp_arena_used(arena) - before < e->portion_bytes; i++) {
		struct mapped mapped;
		status = map_point(e, &points[i], oldest_ms, arena, &mapped);
		if (status == SP_OK && mapped.fate == FATE_SENT)
			status = rewrite_point(e, &points[i], &mapped, room, &b, arena);
	}
	*done = i;
	return status == SP_OK ? write_batch(e, &b, NULL, arena) : status;
}

/* Rewritten series take many times the memory of their points. Equal samples of two portions are not merged. */
static enum sp_status rewrite_points(
    struct encoder *e, const struct cw_points *points, int64_t oldest_ms, struct sp_arena *arena)
{
	enum sp_status status = SP_OK;
	for (size_t i = 0, n; i < points->n && status == SP_OK; i += n) {
		struct sp_arena_mark mark = sp_arena_mark(arena);
		status = rewrite_portion(e, points->v + i, points->n - i, oldest_ms, arena, &n);
		sp_arena_rewind(arena, mark);
	}
	return status;
}

/* Tenants that a receiver was to tell apart, and cannot. */
static void count_laneless(struct encoder *e)
{
	for (size_t i = 0; e->lanes.by != LANES_NONE && i < e->slices.n; i++)
		if (e->lanes.v[e->slices.v[i].lane].name.n == 0)
			e->laneless += e->slices.v[i].samples;
}

enum sp_status encoder_run(struct encoder *e, const struct cw_points *points, const struct attributes *attributes,
	const struct convert_in *in, struct sp_arena *arena, struct convert_group *out)
{
	mapping_begin(e->mapping, attributes);
	slices_begin(&e->slices);
	lanes_begin(&e->lanes, attributes, in->key_name);
	e->metric = UINT32_MAX;
	sp_buf_clear(&e->entries);
	sp_buf_clear(&e->informed);
	for (size_t i = 0; i < e->n_counts; i++)
		e->counts[i].n = 0;
	struct sp_arena_mark mark = sp_arena_mark(arena);
	int64_t oldest_ms = e->max_age_ms ? in->now_ms - e->max_age_ms : INT64_MIN;
	enum sp_status status = (e->rewriter ? rewrite_points : write_points)(e, points, oldest_ms, arena);
	sp_arena_rewind(arena, mark);
	count_laneless(e);
	update_counts(e);
	info_pack(&e->entries, &e->info);
	if (status != SP_OK)
		return status;
	*out = (struct convert_group){.id = e->id, .payload = sp_buf_view(&e->slices.payload), .slices = e->slices.v,
		.n_slices = e->slices.n, .samples = e->slices.samples, .info = sp_buf_view(&e->info), .counts = e->counts,
		.n_counts = e->n_counts, .lanes = e->lanes.v, .n_lanes = e->lanes.by == LANES_NONE ? 0 : e->lanes.n};
	if (e->lanes.by == LANES_NONE) {
		out->merged = e->lanes.v[0].merged;
		out->dropped = e->lanes.v[0].dropped;
	}
	return SP_OK;
}
