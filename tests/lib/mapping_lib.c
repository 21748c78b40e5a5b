#include "tests/lib/mapping_lib.h"

#include "proto/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

const struct convert_in now = {.now_ms = T0 + 10 * MINUTE};

Standpipe__Group cloudwatch_group(void)
{
	Standpipe__Group g = STANDPIPE__GROUP__INIT;
	g.id = 7;
	g.naming = (char *)(uintptr_t)"cloudwatch";
	g.shards = 4;
	g.max_samples = 10000;
	g.max_bytes = 1 << 20;
	g.max_raw_bytes = 4 << 20;
	return g;
}

struct sp_buf text_of(const struct convert_group *g, bool with_place)
{
	struct sp_buf text = {0};
	for (size_t i = 0; i < g->n_slices; i++) {
		const struct convert_slice *c = &g->slices[i];
		struct sp_buf raw = {0};
		struct sp_bytes block = sp_bytes(g->payload.p + c->off, c->len);
		assert_int_equal(rw_uncompress(block, c->raw_len, &raw, NULL), SP_OK);
		assert_int_equal(raw.n, c->raw_len);
		struct rw_totals t;
		assert_int_equal(rw_count(sp_buf_view(&raw), &t, NULL), SP_OK);
		assert_true(t.series == c->series && t.samples == c->samples && t.min_ms == c->min_ms && t.max_ms == c->max_ms);
		struct sp_bytes in = sp_buf_view(&raw);
		struct rw_series s;
		while (rw_next(&in, &s, NULL) == SP_OK) {
			struct rw_sample v;
			while (rw_next_sample(&s.samples, &v)) {
				if (with_place)
					sp_buf_printf(&text, "%u/%zu ", c->shard, i);
				rw_print_labels(&text, s.labels);
				sp_buf_str(&text, " ");
				sp_buf_double(&text, v.value);
				sp_buf_printf(&text, " @%lld\n", (long long)(v.ms - T0) / MINUTE);
			}
		}
		sp_buf_free(&raw);
	}
	return text;
}

static struct convert_group run_with(
    struct encoder *e, const struct cw_point *p, size_t n, const struct attributes *attributes)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points points = {(struct cw_point *)(uintptr_t)p, n, n};
	struct convert_group g;
	assert_int_equal(encoder_run(e, &points, attributes, &now, arena, &g), SP_OK);
	assert_int_equal(sp_arena_used(arena), 0);
	sp_arena_free(&arena);
	return g;
}

struct convert_group run(struct encoder *e, const struct cw_point *p, size_t n)
{
	return run_with(e, p, n, NULL);
}

void becomes_with(const struct attributes *attributes, const Standpipe__Group *group, const struct cw_point *p,
    size_t n, uint64_t merged, const char *want)
{
	struct encoder *e;
	struct sp_why why = {0};
	assert_int_equal(encoder_new(group, 0, &e, &why), SP_OK);
	struct convert_group g = run_with(e, p, n, attributes);
	struct sp_buf text = text_of(&g, false);
	sp_buf_u8(&text, 0);
	assert_string_equal((char *)text.p, want);
	assert_int_equal(g.merged, merged);
	assert_int_equal(g.id, 7);
	sp_buf_free(&text);
	encoder_free(&e);
}

void becomes(
    const Standpipe__Group *group, const struct cw_point *p, size_t n, uint64_t merged, const char *want)
{
	becomes_with(NULL, group, p, n, merged, want);
}

static const struct cw_dim instance[] = {{{(const uint8_t *)"InstanceId", 10}, {(const uint8_t *)"i-1", 3}}};

struct cw_point cpu(int64_t minute, double count, double sum, double min, double max)
{
	return (struct cw_point){.account = SP_LIT("1234"),
	    .region = SP_LIT("eu-west-1"),
	    .ns = SP_LIT("AWS/EC2"),
	    .metric = SP_LIT("CPUUtilization"),
	    .dims = instance,
	    .n_dims = 1,
	    .has = CW_COUNT | CW_SUM | CW_MIN | CW_MAX,
	    .start_ms = T0 + (minute - 1) * MINUTE,
	    .end_ms = T0 + minute * MINUTE,
	    .count = count,
	    .sum = sum,
	    .min = min,
	    .max = max};
}

struct cw_point rich(void)
{
	static const struct cw_quantile q[] = {{0.99, 4.5}};
	static const struct cw_extra x[] = {{{(const uint8_t *)"IQM", 3}, 2}};
	struct cw_point p = cpu(0, 4, 10, 1, 5);
	p.unit = SP_LIT("%");
	p.quantiles = q, p.n_quantiles = 1;
	p.extras = x, p.n_extras = 1;
	return p;
}

void make_many(struct many *m, size_t n)
{
	static const char *const metrics[] = {"CPUUtilization", "NetworkIn", "DiskReadOps"};
	for (size_t i = 0; i < n; i++) {
		snprintf(m->id[i], sizeof m->id[i], "i-%05zu", i / 3 * 7919 % 100000);
		m->d[i] = (struct cw_dim){SP_LIT("InstanceId"), sp_str(m->id[i])};
		m->p[i] = cpu(0, 1, (double)i, 1, 1);
		m->p[i].metric = sp_str(metrics[i % 3]);
		m->p[i].dims = &m->d[i];
	}
}

uint64_t counted(const struct convert_group *g, enum sp_metric metric, const char *label)
{
	for (size_t i = 0; i < g->n_counts; i++)
		if (g->counts[i].metric == metric && (!label || strcmp(g->counts[i].label, label) == 0))
			return g->counts[i].n;
	fail_msg("nothing counts that");
	return 0;
}
