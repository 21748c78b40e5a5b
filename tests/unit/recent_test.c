#include "ship/send/recent.h"

#include "common/alloc.h"
#include "proto/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

enum { BYTES = 1000000, OF_A_PAYLOAD = 1000 };

static uint64_t series(unsigned i, struct sp_buf *labels)
{
	char name[16];
	snprintf(name, sizeof(name), "m%u", i);
	uint8_t *to = sp_buf_room(labels, 64), *end = rw_put_label(to, SP_LIT("__name__"), sp_str(name));
	labels->n = (size_t)(end - to);
	return known_series(sp_buf_view(labels));
}

/* A delivery of one series, for a destination. */
static void deliver(struct recent *r, uint32_t dest, unsigned i, int64_t ms, int64_t now_ms)
{
	struct sp_buf labels = {0}, raw = {0}, block = {0};
	size_t n;
	series(i, &labels);
	rw_add_series(&raw, sp_buf_view(&labels), &(struct rw_sample){ms, 1}, 1);
	rw_compress(sp_buf_view(&raw), &block);
	struct batch b = {.dest = dest, .len = (uint32_t)block.n};
	sp_buf_room(&block, OF_A_PAYLOAD);
	block.n = OF_A_PAYLOAD;
	struct payload *p = payload_new(1, sp_buf_steal(&block, &n), OF_A_PAYLOAD, 0);
	recent_add(r, &b, p, now_ms, BYTES);
	payload_unref(&p);
	sp_buf_free(&labels);
	sp_buf_free(&raw);
}

static int64_t newest(const struct known *k, unsigned i)
{
	struct sp_buf labels = {0};
	int64_t ms = known_newest(k, series(i, &labels));
	sp_buf_free(&labels);
	return ms;
}

static void what_was_delivered_is_told_to_whom_it_concerns(void **state)
{
	struct recent r = {0};
	struct known *k = known_new();
	(void)state;
	deliver(&r, 1, 7, 100, 0);
	deliver(&r, 1, 7, 200, 0);
	deliver(&r, 2, 8, 300, 0);
	recent_tell(&r, 1, k);
	assert_int_equal(newest(k, 7), 200);
	assert_int_equal(newest(k, 8), INT64_MIN);
	known_free(&k);
	recent_free(&r);
}

static void it_keeps_no_more_than_it_may(void **state)
{
	struct recent r = {0};
	struct known *k = known_new();
	size_t before = payload_bytes_held();
	(void)state;
	for (unsigned i = 0; i < 3 * BYTES / OF_A_PAYLOAD; i++)
		deliver(&r, 1, i, 100, 0);
	assert_true(payload_bytes_held() - before <= BYTES);
	recent_tell(&r, 1, k);
	assert_int_equal(newest(k, 0), INT64_MIN);
	assert_int_equal(newest(k, 3 * BYTES / OF_A_PAYLOAD - 1), 100);
	recent_forget(&r, 599000);
	assert_true(payload_bytes_held() > before);
	recent_forget(&r, 601000);
	assert_int_equal(payload_bytes_held(), before);
	assert_null(r.ring);
	known_free(&k);
}

static void the_last_one_can_be_repeated(void **state)
{
	struct recent r = {0};
	struct sp_buf block = {0}, raw = {0};
	struct rw_totals t;
	struct sp_why why;
	(void)state;
	assert_false(recent_repeat(&r, 1, &block));
	deliver(&r, 1, 7, 100, 0);
	deliver(&r, 1, 7, 200, 0);
	deliver(&r, 2, 8, 300, 0);
	assert_true(recent_repeat(&r, 1, &block));
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 1000, &raw, &why), SP_OK);
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
	assert_int_equal(t.samples, 1);
	assert_int_equal(t.max_ms, 200);
	assert_false(recent_repeat(&r, 3, &block));
	sp_buf_free(&block);
	sp_buf_free(&raw);
	recent_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_delivered_is_told_to_whom_it_concerns),
	    cmocka_unit_test(it_keeps_no_more_than_it_may), cmocka_unit_test(the_last_one_can_be_repeated)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
