/* What the decoders promise about any input, tried on thousands of damaged ones; and the small facts about each. */
#include "tests/lib/agree.h"
#include "tests/lib/input_lib.h"

#include "common/arena.h"
#include "convert/base64.h"
#include "convert/gunzip.h"
#include "proto/cloudwatch.h"

#include <libdeflate.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROOM 65536

static struct cloudwatch_point some_point(unsigned i)
{
	static const char *const metrics[] = {"CPUUtilization", "glue.driver.aggregate.bytesRead", "Request Latency (ms)"};
	struct cloudwatch_point p = {.series = i, .account = i % 3 ? "111122223333" : "444455556666", .region = "eu-central-1", .ns = "AWS/EC2",
		.metric = metrics[i % 3], .unit = "By/s", .start_ms = 1700000040000 + 60000 * (int64_t)i, .count = i, .sum = i * 1.5, .min = 0, .max = i,
		.n_dims = i % 2};
	p.dim_names[0] = "Namespace";
	memcpy(p.dim_values[0], "AWS", 4);
	if (i % 4 == 0) {
		p.n_quantiles = 1;
		p.quantiles[0][0] = 0.99;
		p.quantiles[0][1] = -1;
	}
	return p;
}

static struct sp_buf some_record(enum cloudwatch_format format, unsigned n)
{
	struct cloudwatch_point points[8];
	struct sp_buf record = {0};
	for (unsigned i = 0; i < n; i++)
		points[i] = some_point(i);
	cloudwatch_record(&record, format, points, n);
	return record;
}

/* One seed, `times` mutations of growing number. */
static void batter(struct sp_bytes seed, unsigned times, void (*check)(struct sp_bytes))
{
	uint8_t *p = malloc(ROOM);
	uint64_t state = 42;
	assert_non_null(p);
	for (unsigned i = 0; i < times; i++) {
		size_t n = seed.n;
		memcpy(p, seed.p, n);
		for (unsigned k = 0; k <= i % 8; k++)
			n = input_mutate(p, n, ROOM, &state);
		check(sp_bytes(p, n));
	}
	free(p);
}

static void check_record(struct sp_bytes record)
{
	(void)input_check_record(record);
}

static void damaged_records_never_harm(void **state)
{
	(void)state;
	for (int format = CLOUDWATCH_OTLP07; format <= CLOUDWATCH_JSON; format++) {
		struct sp_buf record = some_record((enum cloudwatch_format)format, 6);
		assert_int_equal(input_check_record(sp_buf_view(&record)), 6);
		batter(sp_buf_view(&record), 4000, check_record);
		sp_buf_free(&record);
	}
}

static void check_envelope(struct sp_bytes body)
{
	uint64_t records = 0;
	(void)agree_envelope(body, &records);
}

static void envelopes_are_read_as_jansson_reads_them(void **state)
{
	static const char *const odd[] = {"{\"requestId\":\"a\\u00e9\\\"\",\"timestamp\":1,\"records\":[{\"data\":\"QQ==\"},{\"x\":[1,{\"y\":null}]},{\"data\":\"\\/\\u002b\"}]}",
		" {\n\"records\" : [ ] , \"requestId\" : \"b\" }", "\xef\xbb\xbf{\"records\":[{\"data\":\"\"}],\"records\":[]}", "{\"records\":[1,2]}", "[]", "{}"};
	(void)state;
	struct sp_buf record = some_record(CLOUDWATCH_OTLP10, 2), body = {0};
	struct sp_bytes views[] = {sp_buf_view(&record), sp_buf_view(&record)};
	cloudwatch_body(&body, "id", 1700000000000, views, 2);
	check_envelope(sp_buf_view(&body));
	batter(sp_buf_view(&body), 3000, check_envelope);
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		check_envelope(sp_str(odd[i]));
		batter(sp_str(odd[i]), 2000, check_envelope);
	}
	sp_buf_free(&record);
	sp_buf_free(&body);
}

static void base64_is_what_openssl_writes_and_nothing_else(void **state)
{
	uint8_t data[300], got[512];
	char text[512];
	(void)state;
	for (size_t n = 0; n < sizeof data; n++) {
		size_t out = 0, bad = 0;
		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)(i * 37 + n);
		size_t len = (size_t)EVP_EncodeBlock((unsigned char *)text, data, (int)n);
		assert_true(base64_decode(sp_bytes(text, len), got, &out, &bad));
		assert_int_equal(out, n);
		assert_memory_equal(got, data, n);
		for (size_t i = 0; i < len; i++) { /* one wrong character anywhere is noticed, by both twins, at the same place */
			char kept = text[i];
			size_t bad_table = 0;
			text[i] = i % 2 ? '-' : '\n';
			assert_false(base64_decode(sp_bytes(text, len), got, &out, &bad));
			assert_false(base64_decode_table(sp_bytes(text, len), got, &out, &bad_table));
			assert_int_equal(bad, bad_table);
			text[i] = kept;
		}
	}
	size_t out, bad;
	static const char *const wrong[] = {"A", "QQ", "QQ=", "QR==", "QUE", "Q=Q=", "====", "QQ==QQ==", "QUI=A"};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_false(base64_decode(sp_str(wrong[i]), got, &out, &bad));
}

static void gunzip_takes_members_and_padding_and_stops_at_its_limit(void **state)
{
	(void)state;
	enum { MANY = 1 << 20 };
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	struct gunzip *g = gunzip_new();
	struct sp_arena *arena = sp_arena_new(64 * MANY);
	uint8_t *plain = calloc(1, MANY), packed[8192];
	struct sp_bytes out;
	struct sp_why why;
	size_t one = libdeflate_gzip_compress(c, plain, MANY, packed, sizeof packed), two;
	assert_true(one > 0 && one < sizeof packed / 2);
	memcpy(packed + one, packed, one);
	two = 2 * one;
	memset(packed + two, 0, 5);
	assert_int_equal(gunzip_run(g, sp_bytes(packed, two + 5), 2 * MANY, arena, &out, &why), SP_OK);
	assert_int_equal(out.n, 2 * MANY);
	assert_int_equal(gunzip_run(g, sp_bytes(packed, two), 2 * MANY - 1, arena, &out, &why), SP_TOO_BIG);
	assert_int_equal(gunzip_run(g, sp_bytes(packed, one - 1), 2 * MANY, arena, &out, &why), SP_BAD_DATA);
	packed[one - 5] ^= 1; /* its CRC */
	assert_int_equal(gunzip_run(g, sp_bytes(packed, one), MANY, arena, &out, &why), SP_BAD_DATA);
	free(plain);
	libdeflate_free_compressor(c);
	gunzip_free(&g);
	sp_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_records_never_harm),
		cmocka_unit_test(envelopes_are_read_as_jansson_reads_them),
		cmocka_unit_test(base64_is_what_openssl_writes_and_nothing_else),
		cmocka_unit_test(gunzip_takes_members_and_padding_and_stops_at_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
