/* Which format a record is, and what is done with one that is none. */
#include "convert/decoder.h"

#include "common/arena.h"
#include "proto/cloudwatch.h"

#include <libdeflate.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct cloudwatch_point point = {.account = "111122223333", .region = "eu-central-1", .ns = "AWS/EC2", .metric = "CPUUtilization",
	.unit = "%", .start_ms = 1700000040000, .count = 2, .sum = 3, .min = 1, .max = 2};

struct seen {
	size_t bad;
	const char *reason;
	uint64_t offset;
	size_t n;
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct seen *s = arg;
	(void)text, (void)form;
	s->bad++;
	s->reason = reason, s->offset = offset, s->n = bytes.n;
}

struct run {
	struct decoder d;
	struct cw_points points;
	struct seen seen;
};

static void decode(struct run *r, struct sp_bytes record)
{
	*r = (struct run){.points = {0}};
	r->d = (struct decoder){.arena = sp_arena_new(0), .points = &r->points, .gunzip = gunzip_new(), .bad = take_bad, .arg = &r->seen};
	assert_int_equal(record_decode(&r->d, record), SP_OK);
	gunzip_free(&r->d.gunzip);
	sp_arena_free(&r->d.arena);
}

/* Decodes and checks how many points and which last reason (NULL: none). */
static void expect(struct sp_bytes record, size_t points, const char *reason)
{
	struct run r;
	decode(&r, record);
	assert_int_equal(r.points.n, points);
	if (reason)
		assert_string_equal(r.seen.reason, reason);
	else
		assert_int_equal(r.seen.bad, 0);
}

static void formats_may_be_mixed_in_any_way(void **state)
{
	struct sp_buf both = {0}, lines = {0};
	struct run r;
	(void)state;
	cloudwatch_record(&both, CLOUDWATCH_OTLP07, &point, 1);
	cloudwatch_record(&both, CLOUDWATCH_OTLP10, &point, 1);
	sp_buf_u8(&both, 0); /* an empty message */
	cloudwatch_record(&both, CLOUDWATCH_OTLP07, &point, 1);
	decode(&r, sp_buf_view(&both));
	assert_int_equal(r.seen.bad, 0);
	assert_int_equal(r.d.points_of[CW_OTLP07], 2);
	assert_int_equal(r.d.points_of[CW_OTLP10], 1);
	assert_int_equal(r.d.messages, 4);

	sp_buf_str(&lines, " \r\n\t");
	cloudwatch_record(&lines, CLOUDWATCH_JSON, &point, 1);
	cloudwatch_record(&lines, CLOUDWATCH_JSON, &point, 1);
	lines.n--; /* the last newline may be missing */
	decode(&r, sp_buf_view(&lines));
	assert_int_equal(r.seen.bad, 0);
	assert_int_equal(r.d.points_of[CW_JSON], 2);
	assert_int_equal(r.d.messages, 1);
	sp_buf_free(&both);
	sp_buf_free(&lines);
}

/* A message of 123 bytes has the length '{'. */
static void a_frame_may_begin_like_json(void **state)
{
	uint8_t frame[124] = {'{', 0x0a, 0};
	(void)state;
	frame[3] = 0x9a, frame[4] = 0x06, frame[5] = 118; /* an unknown field to the end */
	expect(sp_bytes(frame, sizeof frame), 0, NULL);
	expect(sp_bytes(frame, sizeof frame - 1), 0, "bad_json");
	expect(SP_LIT("{\n}"), 0, "foreign");
}

static void a_broken_frame_ends_the_record_but_keeps_what_was_before(void **state)
{
	static const struct sp_bytes ends[] = {{(const uint8_t *)"\x80", 1}, {(const uint8_t *)"\x05hell", 5},
		{(const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0a", 11}, {(const uint8_t *)"\x81\x80\x80\x80\x80\x00\x0a", 7},
		{(const uint8_t *)"\xff\xff\xff\xff\x0f\x0a", 6}};
	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		struct sp_buf record = {0};
		struct run r;
		cloudwatch_record(&record, CLOUDWATCH_OTLP10, &point, 1);
		size_t at = record.n;
		sp_buf_add(&record, ends[i]);
		decode(&r, sp_buf_view(&record));
		assert_int_equal(r.points.n, 1);
		assert_int_equal(r.seen.bad, 1);
		assert_string_equal(r.seen.reason, "bad_frame");
		assert_int_equal(r.seen.offset, at);
		assert_int_equal(r.seen.n, ends[i].n);
		sp_buf_free(&record);
	}
}

static void what_is_no_metric(void **state)
{
	static const char demo[] = "{\"CHANGE\":-0.36,\"PRICE\":186.5,\"TICKER_SYMBOL\":\"QAZ\",\"SECTOR\":\"FINANCIAL\"}";
	struct run r;
	(void)state;
	decode(&r, sp_str(demo));
	assert_int_equal(r.d.demo, 1);
	assert_int_equal(r.seen.bad, 0);
	expect(sp_bytes(NULL, 0), 0, NULL);
	expect(SP_LIT(" \n"), 0, "bad_frame");
	expect(SP_LIT("{\"PRICE\":1}"), 0, "foreign");
	expect(SP_LIT("{\"messageType\":\"CONTROL_MESSAGE\"}"), 0, NULL);
	expect(SP_LIT("{\"messageType\":\"DATA_MESSAGE\"}"), 0, "foreign");
	expect(SP_LIT("hello, world"), 0, "bad_frame");
}

static void compressed_records_are_inflated_once(void **state)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	uint8_t *plain = calloc(1, RECORD_MAX_BYTES + 1), packed[65536], twice[65536];
	struct sp_buf record = {0};
	(void)state;
	assert_non_null(plain);
	cloudwatch_record(&record, CLOUDWATCH_OTLP10, &point, 1);
	size_t n = libdeflate_gzip_compress(c, record.p, record.n, packed, sizeof packed);
	expect(sp_bytes(packed, n), 1, NULL);
	expect(sp_bytes(packed, n - 1), 0, "bad_gzip");
	struct run r;
	decode(&r, sp_bytes(twice, libdeflate_gzip_compress(c, packed, n, twice, sizeof twice)));
	assert_true(r.points.n == 0 && r.seen.bad > 0);
	n = libdeflate_gzip_compress(c, plain, RECORD_MAX_BYTES + 1, packed, sizeof packed);
	expect(sp_bytes(packed, n), 0, "record_too_big");
	expect(sp_bytes(plain, RECORD_MAX_BYTES + 1), 0, "record_too_big");
	expect(sp_bytes(plain, RECORD_MAX_BYTES), 0, NULL); /* zeros are empty messages */
	sp_buf_free(&record);
	free(plain);
	libdeflate_free_compressor(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_may_be_mixed_in_any_way),
		cmocka_unit_test(a_frame_may_begin_like_json),
		cmocka_unit_test(a_broken_frame_ends_the_record_but_keeps_what_was_before),
		cmocka_unit_test(what_is_no_metric),
		cmocka_unit_test(compressed_records_are_inflated_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
