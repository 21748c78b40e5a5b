/* Several bodies become one: each series once, in order of time, the later of two equal times. */
#include "proto/merge.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void add(struct sp_buf *raw, const char *series, int64_t ms, double value)
{
	uint8_t labels[64];
	const struct rw_sample v = {ms, value};
	uint8_t *end = rw_put_label(labels, SP_LIT("__name__"), sp_str(series));
	rw_add_series(raw, sp_bytes(labels, (size_t)(end - labels)), &v, 1);
}

/* "series: ms=value ms=value\n" for each series, in order. */
static struct sp_buf text_of(struct sp_bytes raw)
{
	struct sp_buf text = {0};
	struct rw_series s;
	struct rw_sample v;
	while (rw_next(&raw, &s, NULL) == SP_OK) {
		struct sp_bytes name = rw_find_label(s.labels, SP_LIT("__name__"));
		sp_buf_add(&text, name);
		sp_buf_u8(&text, ':');
		while (rw_next_sample(&s.samples, &v))
			sp_buf_printf(&text, " %lld=%g", (long long)v.ms, v.value);
		sp_buf_u8(&text, '\n');
	}
	sp_buf_u8(&text, 0);
	return text;
}

static void expect_merged(struct sp_buf *bodies, size_t n, const char *want, struct rw_totals *t)
{
	struct merge *m = merge_new();
	struct sp_buf out = {0};
	size_t samples = 0;
	for (size_t i = 0; i < n; i++) {
		struct rw_totals one;
		assert_int_equal(rw_count(sp_buf_view(&bodies[i]), &one, NULL), SP_OK);
		samples += one.samples;
		assert_int_equal(merge_add(m, sp_buf_view(&bodies[i]), NULL), SP_OK);
		sp_buf_free(&bodies[i]);
	}
	size_t at_most = merge_raw_len(m), series = merge_series(m);
	assert_int_equal(merge_write(m, 0, series, &out, t, NULL), SP_OK);
	struct sp_buf text = text_of(sp_buf_view(&out));
	assert_string_equal(text.p, want);
	assert_true(out.n <= at_most && t->raw_len == out.n && t->series == series && t->samples <= samples);
	merge_free(&m);
	sp_buf_free(&out);
	sp_buf_free(&text);
}

static void a_series_appears_once_in_the_order_of_first_appearance(void **state)
{
	(void)state;
	struct sp_buf b[3] = {{0}};
	struct rw_totals t;
	for (int i = 0; i < 3; i++) {
		add(&b[i], "b", 60000 * (i + 1), i);
		add(&b[i], "a", 60000 * (i + 1), i + 10);
	}
	add(&b[2], "c", 180000, 7);
	expect_merged(b, 3, "b: 60000=0 120000=1 180000=2\na: 60000=10 120000=11 180000=12\nc: 180000=7\n", &t);
	assert_true(t.series == 3 && t.samples == 7 && t.min_ms == 60000 && t.max_ms == 180000);
}

static void late_samples_find_their_place(void **state)
{
	(void)state;
	struct sp_buf b[2] = {{0}};
	struct rw_totals t;
	add(&b[0], "a", 300000, 5);
	add(&b[0], "a", 120000, 2);
	add(&b[1], "a", 60000, 1);
	add(&b[1], "a", 240000, 4);
	expect_merged(b, 2, "a: 60000=1 120000=2 240000=4 300000=5\n", &t);
}

static void of_equal_times_the_later_batch_wins(void **state)
{
	(void)state;
	struct sp_buf b[3] = {{0}};
	struct rw_totals t;
	add(&b[0], "a", 60000, 1);
	add(&b[0], "a", 120000, 1);
	add(&b[1], "a", 60000, 2);
	add(&b[2], "a", 60000, 3);
	add(&b[2], "a", -60000, 9);
	expect_merged(b, 3, "a: -60000=9 60000=3 120000=1\n", &t);
	assert_int_equal(t.samples, 3);
}

static void many_series_keep_apart(void **state)
{
	(void)state;
	struct merge *m = merge_new();
	struct sp_buf raw = {0}, out = {0};
	struct rw_totals t;
	for (int round = 0; round < 2; round++) { /* the second time with the memory of the first */
		for (int minute = 0; minute < 3; minute++) {
			sp_buf_clear(&raw);
			for (int i = 0; i < 5000; i++) {
				char name[16];
				snprintf(name, sizeof name, "m%d", i);
				add(&raw, name, minute, i);
			}
			assert_int_equal(merge_add(m, sp_buf_view(&raw), NULL), SP_OK);
		}
		sp_buf_clear(&out);
		assert_false(merge_is_unordered(m));
		assert_int_equal(merge_write(m, 0, merge_series(m), &out, &t, NULL), SP_OK);
		assert_true(t.series == 5000 && t.samples == 15000);
		merge_clear(m);
	}
	struct sp_bytes in = sp_buf_view(&out);
	struct rw_series s;
	struct rw_sample v;
	for (int i = 0; rw_next(&in, &s, NULL) == SP_OK; i++)
		while (rw_next_sample(&s.samples, &v))
			assert_true(v.value == i);
	merge_free(&m);
	sp_buf_free(&raw);
	sp_buf_free(&out);
}

static void what_is_no_body_is_refused_and_can_be_cleared(void **state)
{
	(void)state;
	struct merge *m = merge_new();
	struct sp_buf raw = {0}, out = {0};
	struct rw_totals t;
	add(&raw, "a", 1, 1);
	size_t whole = raw.n;
	add(&raw, "b", 1, 1);
	assert_int_equal(merge_add(m, sp_bytes(raw.p, raw.n - 1), NULL), SP_BAD_DATA);
	merge_clear(m);
	assert_int_equal(merge_add(m, sp_bytes(raw.p, whole), NULL), SP_OK);
	assert_int_equal(merge_add(m, SP_LIT(""), NULL), SP_OK);
	assert_int_equal(merge_write(m, 0, merge_series(m), &out, &t, NULL), SP_OK);
	assert_true(sp_eq(sp_buf_view(&out), sp_bytes(raw.p, whole)));
	merge_free(&m);
	sp_buf_free(&raw);
	sp_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_series_appears_once_in_the_order_of_first_appearance),
	    cmocka_unit_test(late_samples_find_their_place),
	    cmocka_unit_test(of_equal_times_the_later_batch_wins),
	    cmocka_unit_test(many_series_keep_apart),
	    cmocka_unit_test(what_is_no_body_is_refused_and_can_be_cleared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
