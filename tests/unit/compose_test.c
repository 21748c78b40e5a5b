/* What one request is made of: batches behind each other, and merged in a backlog. */
#include "ship/send/compose.h"

#include "common/alloc.h"
#include "tests/lib/rw2_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MINUTES = 40, SERIES = 100 };

static struct sp_why why;
static const struct window_limits wide = {.batches = 1000, .samples = 1000000, .bytes = 1 << 20, .raw_bytes = 1 << 22};

static struct {
	struct composer *composer;
	struct entry entries[MINUTES], *pointers[MINUTES];
	struct sp_buf body;
} f;

/* Sample i of minute m is of series first + i. */
static void fill(struct entry *e, unsigned minute, unsigned first, double value)
{
	struct sp_buf raw = {0}, bytes = {0}, entries = {0}, said = {0}, info = {0};
	const int64_t ms = 1700000040000 + (int64_t)minute * 60000;
	for (unsigned i = first; i < first + SERIES; i++) {
		uint8_t labels[200];
		char id[32];
		snprintf(id, sizeof id, "instance-number-%u-of-many", i);
		uint8_t *end = rw_put_label(labels, SP_LIT("__name__"), SP_LIT("aws_ec2_cpuutilization_sum"));
		end = rw_put_label(end, SP_LIT("dimension_InstanceId"), sp_str(id));
		rw_add_series(&raw, sp_bytes(labels, (size_t)(end - labels)), &(struct rw_sample){ms, value}, 1);
	}
	rw_compress(sp_buf_view(&raw), &bytes);
	size_t len = bytes.n, all;
	info_describe(&said, STANDPIPE__INFO_ENTRY__TYPE__GAUGE, SP_LIT("percent"), SP_LIT("Of the CPU."));
	assert_true(info_add(&entries, SP_LIT("aws_ec2_cpuutilization"), sp_buf_view(&said)));
	info_pack(&entries, &info);
	sp_buf_add(&bytes, sp_buf_view(&info));
	uint8_t *p = sp_buf_steal(&bytes, &all);
	*e = (struct entry){.batch = {.seq = minute + 1, .len = (uint32_t)len, .raw_len = (uint32_t)raw.n, .series = SERIES,
				.samples = SERIES, .min_ms = ms, .max_ms = ms},
	    .payload = payload_new(minute + 1, p, len, all - len)};
	sp_buf_free(&raw);
	sp_buf_free(&entries);
	sp_buf_free(&said);
	sp_buf_free(&info);
}

static int begin(void **state)
{
	(void)state;
	f.composer = composer_new();
	for (unsigned m = 0; m < MINUTES; m++) {
		fill(&f.entries[m], m, 0, m);
		f.pointers[m] = &f.entries[m];
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (unsigned m = 0; m < MINUTES; m++)
		payload_unref(&f.entries[m].payload);
	composer_free(&f.composer);
	sp_buf_free(&f.body);
	return 0;
}

static struct rw_totals totals(struct sp_bytes body)
{
	struct sp_buf raw = {0};
	struct rw_totals t;
	assert_int_equal(rw_uncompress(body, 1 << 30, &raw, &why), SP_OK);
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
	sp_buf_free(&raw);
	return t;
}

static struct composed compose(size_t n, const struct window_limits *l, enum rw_version version)
{
	return compose_batches(f.composer, f.pointers, n, l, version, &f.body);
}

static void expect(struct composed c, size_t n, uint32_t series, uint32_t samples)
{
	struct rw_totals t = totals(c.body);
	assert_int_equal(c.n, n);
	assert_int_equal(c.samples, samples);
	assert_int_equal(t.series, series);
	assert_int_equal(t.samples, samples);
}

static void neighbours_of_one_minute_go_as_they_are(void **state)
{
	(void)state;
	expect(compose(1, &wide, RW_1), 1, SERIES, SERIES);
	for (unsigned m = 0; m < 8; m++) { /* of one minute, of other series */
		payload_unref(&f.entries[m].payload);
		fill(&f.entries[m], 0, m * SERIES, 1);
	}
	expect(compose(8, &wide, RW_1), 8, 8 * SERIES, 8 * SERIES);
}

static void in_a_backlog_each_series_is_there_once(void **state)
{
	(void)state;
	size_t joined = 0;
	for (unsigned m = 0; m < MINUTES; m++)
		joined += f.entries[m].batch.len;
	struct composed c = compose(MINUTES, &wide, RW_1);
	expect(c, MINUTES, SERIES, MINUTES * SERIES);
	assert_true(c.body.n < joined / 2);
	struct sp_buf raw = {0};
	struct rw_series s;
	struct rw_sample v;
	assert_int_equal(rw_uncompress(c.body, 1 << 30, &raw, &why), SP_OK);
	struct sp_bytes in = sp_buf_view(&raw);
	while (rw_next(&in, &s, &why) == SP_OK)
		for (int64_t ms = 1700000040000; rw_next_sample(&s.samples, &v); ms += 60000)
			assert_int_equal(v.ms, ms);
	sp_buf_free(&raw);
}

static void a_repeated_minute_counts_once(void **state)
{
	(void)state;
	payload_unref(&f.entries[9].payload);
	fill(&f.entries[9], 3, 0, 77);
	expect(compose(10, &wide, RW_1), 10, SERIES, 9 * SERIES);
}

static void a_merged_request_keeps_the_limits(void **state)
{
	(void)state;
	struct window_limits l = wide;
	compose(MINUTES, &wide, RW_1);
	assert_true(composer_gain(f.composer) > 2);
	l.raw_bytes = 4 * f.entries[0].batch.raw_len;
	struct composed c = compose(MINUTES, &l, RW_1);
	assert_true(c.n > 4 && c.n < MINUTES);
	assert_true(totals(c.body).raw_len <= l.raw_bytes);
	l = wide;
	l.bytes = 2 * f.entries[0].batch.len;
	c = compose(MINUTES, &l, RW_1);
	assert_true(c.n > 2 && c.body.n <= l.bytes);
	l.bytes = 10;
	expect(compose(MINUTES, &l, RW_1), 1, SERIES, SERIES); /* the first, whatever its size */
}

static void what_may_have_killed_ship_is_not_merged(void **state)
{
	(void)state;
	f.entries[20].batch.flags |= BATCH_AS_IT_IS;
	expect(compose(MINUTES, &wide, RW_1), MINUTES, MINUTES * SERIES, MINUTES * SERIES);
	expect(compose(20, &wide, RW_1), 20, SERIES, 20 * SERIES);
}

/* Where all series differ, merging is tried, and then not again for a while. */
static void merging_that_does_not_pay_pauses(void **state)
{
	(void)state;
	for (unsigned m = 0; m < 8; m++) {
		payload_unref(&f.entries[m].payload);
		fill(&f.entries[m], m, m * SERIES, 1);
	}
	expect(compose(8, &wide, RW_1), 8, 8 * SERIES, 8 * SERIES);
	struct entry **late = &f.pointers[8];
	struct composed c = compose_batches(f.composer, late, 8, &wide, RW_1, &f.body);
	expect(c, 8, 8 * SERIES, 8 * SERIES);
	c = compose_batches(f.composer, late, 8, &wide, RW_1, &f.body);
	expect(c, 8, SERIES, 8 * SERIES);
}

static void a_damaged_batch_is_kept_out(void **state)
{
	(void)state;
	memcpy(f.entries[5].payload->bytes, "\xff\xff\xff\xff\x0f", 5); /* the length it claims */
	expect(compose(MINUTES, &wide, RW_1), 1, SERIES, SERIES); /* alone, until its own turn comes */
	expect(compose(5, &wide, RW_1), 5, SERIES, 5 * SERIES);
}

static void merged_series_keep_their_type_unit_and_help(void **state)
{
	(void)state;
	struct composed one = compose(MINUTES, &wide, RW_1);
	struct sp_buf raw = {0}, body = {0};
	assert_int_equal(rw_uncompress(one.body, 1 << 30, &raw, &why), SP_OK);
	struct info *info;
	assert_int_equal(info_read(entry_info(f.pointers[0]), &info, &why), SP_OK);
	struct composed two = compose_batches(f.composer, f.pointers, MINUTES, &wide, RW_2, &body);
	assert_true(two.version == RW_2 && two.n == MINUTES && two.samples == one.samples);
	const struct rw2_part part = {sp_buf_view(&raw), info};
	const char *wrong = rw2_differs(two.body, &part, 1);
	if (wrong)
		fail_msg("%s", wrong);
	info_free(&info);
	sp_buf_free(&raw);
	sp_buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(neighbours_of_one_minute_go_as_they_are, begin, end),
	    cmocka_unit_test_setup_teardown(in_a_backlog_each_series_is_there_once, begin, end),
	    cmocka_unit_test_setup_teardown(a_repeated_minute_counts_once, begin, end),
	    cmocka_unit_test_setup_teardown(a_merged_request_keeps_the_limits, begin, end),
	    cmocka_unit_test_setup_teardown(what_may_have_killed_ship_is_not_merged, begin, end),
	    cmocka_unit_test_setup_teardown(merging_that_does_not_pay_pauses, begin, end),
	    cmocka_unit_test_setup_teardown(a_damaged_batch_is_kept_out, begin, end),
	    cmocka_unit_test_setup_teardown(merged_series_keep_their_type_unit_and_help, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
