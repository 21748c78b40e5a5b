/* Into which slices series go: shards, and the limits of a slice. */
#include "tests/lib/mapping_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void all_statistics_and_metrics_of_a_resource_share_a_shard_for_ever(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p[2] = {cpu(0, 1, 1, 1, 1), cpu(0, 1, 1, 1, 1)};
	p[1].metric = SP_LIT("NetworkIn");
	for (uint32_t shards = 1; shards < 40; shards++) {
		struct encoder *e;
		g.shards = shards;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, p, 2);
		assert_int_equal(out.n_slices, 1);
		assert_int_equal(out.slices[0].shard, 0x06ea25dc3a154e8cu % shards);
		encoder_free(&e);
	}
}

static void a_summary_stays_together_too(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"otel";
	struct cw_point p = rich();
	for (uint32_t shards = 1; shards < 40; shards++) {
		struct encoder *e;
		g.shards = shards;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, &p, 1);
		assert_int_equal(out.n_slices, 1);
		assert_int_equal(out.slices[0].series, 6);
		encoder_free(&e);
	}
}

static void slices_stay_within_their_limits(void **state)
{
	(void)state;
	static struct many m;
	make_many(&m, 600);
	static const struct {
		uint32_t max_samples;
		uint64_t max_bytes, max_raw_bytes;
	} cases[] = {{100, 1 << 20, 1 << 20}, {10000, 1 << 20, 5000}, {10000, 700, 1 << 20}, {1, 1 << 20, 1 << 20},
	    {10000, 10, 10}};
	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		Standpipe__Group g = cloudwatch_group();
		g.max_samples = cases[c].max_samples;
		g.max_bytes = cases[c].max_bytes;
		g.max_raw_bytes = cases[c].max_raw_bytes;
		struct encoder *e;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, m.p, 600);
		uint64_t samples = 0, off = 0;
		for (size_t i = 0; i < out.n_slices; i++) {
			const struct convert_slice *s = &out.slices[i];
			assert_true(s->samples <= g.max_samples);
			assert_true(s->series == 1 || (s->len <= g.max_bytes && s->raw_len <= g.max_raw_bytes));
			assert_true(i == 0 || s->shard >= out.slices[i - 1].shard);
			assert_int_equal(s->off, off);
			off += s->len;
			samples += s->samples;
		}
		assert_int_equal(samples, 3000);
		assert_int_equal(off, out.payload.n);
		struct sp_buf text = text_of(&out, true); /* everything can be read */
		sp_buf_free(&text);
		encoder_free(&e);
	}
}

static void a_long_series_is_cut_into_pieces_in_order(void **state)
{
	(void)state;
	static struct cw_point p[250];
	for (int i = 0; i < 250; i++)
		p[i] = cpu(249 - i, 1, 1, 1, 1);
	Standpipe__Group g = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"sum"};
	g.statistics = only;
	g.n_statistics = 1;
	g.max_samples = 100;
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, p, 250);
	assert_int_equal(out.n_slices, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(out.slices[i].min_ms, T0 + (int64_t)i * 100 * MINUTE);
	assert_int_equal(out.slices[2].samples, 50);
	encoder_free(&e);
}

static void no_points_make_no_slices(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	becomes(&g, NULL, 0, 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_statistics_and_metrics_of_a_resource_share_a_shard_for_ever),
		cmocka_unit_test(a_summary_stays_together_too),
		cmocka_unit_test(slices_stay_within_their_limits),
		cmocka_unit_test(a_long_series_is_cut_into_pieces_in_order),
		cmocka_unit_test(no_points_make_no_slices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
