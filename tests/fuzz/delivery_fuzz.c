/* Any bytes as a record, through the whole of the conversion: what comes out is a write request that no receiver can
 * object to, with legal names, labels sorted and unique, samples ascending, and every sample counted. */
#include "convert/delivery.h"

#include "common/conf.h"
#include "convert/naming.h"
#include "convert/utf8.h"
#include "proto/remote_write.h"
#include "tests/lib/delivery_lib.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static void check_series(const struct rw_series *s)
{
	struct sp_bytes labels = s->labels, samples = s->samples;
	struct rw_label before = {0}, label;
	struct rw_sample v;
	bool is_named = false;
	for (size_t i = 0; rw_next_label(&labels, &label); i++) {
		expect(i == 0 || sp_cmp(before.name, label.name) < 0);
		expect(label.value.n > 0 && utf8_ok(label.value));
		if (sp_eq(label.name, SP_LIT("__name__")))
			is_named = true;
		else
			expect(label_name_ok(label.name) || sp_eq(label.name, SP_LIT("quantile")));
		before = label;
	}
	expect(is_named && s->n_samples > 0);
	int64_t last = INT64_MIN;
	while (rw_next_sample(&samples, &v)) {
		expect(v.ms > last && !isnan(v.value));
		last = v.ms;
	}
}

static void check_group(const struct convert_group *g)
{
	struct sp_buf raw = {0};
	uint64_t samples = 0;
	for (size_t i = 0; i < g->n_slices; i++) {
		const struct convert_slice *c = &g->slices[i];
		sp_buf_clear(&raw);
		expect(rw_uncompress(sp_bytes(g->payload.p + c->off, c->len), c->raw_len, &raw, NULL) == SP_OK);
		struct sp_bytes in = sp_buf_view(&raw);
		struct rw_totals t;
		expect(rw_count(in, &t, NULL) == SP_OK);
		expect(c->lane < g->n_lanes || (c->lane == 0 && g->n_lanes == 0));
		expect(t.series == c->series && t.samples == c->samples && t.min_ms == c->min_ms && t.max_ms == c->max_ms);
		struct rw_series s;
		while (rw_next(&in, &s, NULL) == SP_OK)
			check_series(&s);
		samples += c->samples;
	}
	expect(samples == g->samples);
	sp_buf_free(&raw);
}

#define GROUPS 5

/* Every preset, and logzio with all its bugs once more. */
static struct converter *new_converter(void)
{
	static const char *const naming[GROUPS] = {"cloudwatch", "yace", "otel", "logzio", "logzio"};
	static const char *const bugs[] = {"lowercase_values", "uncollapsed_names", "dimensions_win", "quantiles_gated",
		"min_max_at_start", "max_without_origin"};
	Standpipe__Group g[GROUPS], *groups[GROUPS];
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	for (int i = 0; i < GROUPS; i++) {
		standpipe__group__init(groups[i] = &g[i]);
		g[i].id = (uint32_t)i;
		g[i].naming = (char *)(uintptr_t)naming[i];
		g[i].shards = 3;
		g[i].lane_by = (char *)(i % 2 ? "account" : "");
		g[i].max_samples = 50;
	}
	g[GROUPS - 1].bugs = (char **)(uintptr_t)bugs;
	g[GROUPS - 1].n_bugs = sizeof(bugs) / sizeof(*bugs);
	plan.groups = groups;
	plan.n_groups = GROUPS;
	lib_one_tenant(&plan);
	plan.max_future_ms = 600000;
	struct converter *c = converter_new((size_t)64 << 20);
	expect(converter_plan(c, &plan, NULL) == SP_OK);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct converter *c;
	if (!c)
		c = new_converter();
	struct sp_buf body = {0};
	lib_envelope_begin(&body, "fuzz", 1700000000000);
	lib_envelope_record(&body, sp_bytes(data, n));
	lib_envelope_record(&body, sp_bytes(data, n)); /* everything once more: all of it merges */
	lib_envelope_end(&body);
	struct convert_in in = {.body = sp_buf_view(&body), .max_inflated = (size_t)32 << 20, .now_ms = 1700000000000};
	struct convert_out out;
	enum sp_status status = converter_run(c, &in, &out, NULL);
	expect(status == SP_OK || status == SP_NO_MEM);
	if (status == SP_OK) {
		expect(out.http_status == 0);
		for (size_t i = 0; i < out.n_groups; i++) {
			const struct convert_group *g = &out.groups[i];
			uint64_t merged = g->merged;
			for (size_t k = 0; k < g->n_lanes; k++)
				merged += g->lanes[k].merged;
			check_group(g);
			expect(merged >= g->samples);
		}
	}
	sp_buf_free(&body);
	return 0;
}
