/* The remote write 1.0 body byte for byte, and what the walker, the joiner and the taker of parts promise. */
#include "proto/remote_write.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char golden_raw[] = "0a400a170a085f5f6e616d655f5f120b746573745f6d65747269630a130a06726567696f6e"
				 "120975732d656173742d3112100900000000004045401080d095ffbc31";

static struct sp_buf from_hex(const char *hex)
{
	struct sp_buf b = {0};
	for (; hex[0]; hex += 2) {
		const char pair[3] = {hex[0], hex[1], 0};
		sp_buf_u8(&b, (uint8_t)strtoul(pair, NULL, 16));
	}
	return b;
}

static void add_label(struct sp_buf *b, const char *name, const char *value)
{
	uint8_t *to = sp_buf_room(b, rw_label_size(strlen(name), strlen(value)));
	uint8_t *end = rw_put_label(to, sp_str(name), sp_str(value));
	assert_int_equal(end - to, rw_label_size(strlen(name), strlen(value)));
	b->n += (size_t)(end - to);
}

static void add_series(struct sp_buf *raw, const char *name, const char *label, int64_t first_ms, size_t n)
{
	struct sp_buf labels = {0};
	struct rw_sample v[8];
	add_label(&labels, "__name__", name);
	add_label(&labels, "region", label);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct rw_sample){first_ms + (int64_t)i * 60000, (double)i};
	rw_add_series(raw, sp_buf_view(&labels), v, n);
	sp_buf_free(&labels);
}

static void the_golden_message_is_written(void **state)
{
	(void)state;
	struct sp_buf raw = {0}, labels = {0}, want = from_hex(golden_raw);
	const struct rw_sample v = {1700000000000, 42.5};
	add_label(&labels, "__name__", "test_metric");
	add_label(&labels, "region", "us-east-1");
	rw_add_series(&raw, sp_buf_view(&labels), &v, 1);
	assert_true(sp_buf_ok(&raw));
	assert_int_equal(raw.n, 66);
	assert_true(sp_eq(sp_buf_view(&raw), sp_buf_view(&want)));
	sp_buf_free(&raw);
	sp_buf_free(&labels);
	sp_buf_free(&want);
}

static void the_golden_block_is_read(void **state)
{
	(void)state;
	struct sp_buf block = from_hex("42f041"), raw = {0}, text = {0}, want = from_hex(golden_raw);
	sp_buf_add(&block, sp_buf_view(&want));
	struct sp_why why = {0};
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 66, &raw, &why), SP_OK);
	assert_true(sp_eq(sp_buf_view(&raw), sp_buf_view(&want)));

	struct sp_bytes in = sp_buf_view(&raw);
	struct rw_series s;
	struct rw_sample v;
	assert_int_equal(rw_next(&in, &s, &why), SP_OK);
	assert_int_equal(s.n_labels, 2);
	assert_int_equal(s.n_samples, 1);
	rw_print_labels(&text, s.labels);
	assert_true(sp_eq(sp_buf_view(&text), SP_LIT("test_metric{region=\"us-east-1\"}")));
	assert_true(rw_next_sample(&s.samples, &v));
	assert_true(v.value == 42.5 && v.ms == 1700000000000);
	assert_false(rw_next_sample(&s.samples, &v));
	assert_int_equal(rw_next(&in, &s, &why), SP_NOT_FOUND);
	sp_buf_free(&block);
	sp_buf_free(&raw);
	sp_buf_free(&text);
	sp_buf_free(&want);
}

static void special_values_and_times_have_their_exact_bytes(void **state)
{
	(void)state;
	uint8_t got[RW_SAMPLE_MAX_BYTES];
	struct sp_buf want = from_hex("121009020000000000f07f1080d095ffbc31"); /* a stale marker */
	double stale;
	const uint64_t bits = 0x7ff0000000000002;
	memcpy(&stale, &bits, sizeof(stale));
	uint8_t *end = rw_put_sample(got, 1700000000000, stale);
	assert_true(sp_eq(sp_bytes(got, (size_t)(end - got)), sp_buf_view(&want)));
	end = rw_put_sample(got, -1, 0);
	assert_int_equal(end - got, RW_SAMPLE_MAX_BYTES);
	assert_memory_equal(got + 11, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	static const int64_t times[] = {0, 1, 127, 128, 1700000000000, INT64_MAX, INT64_MIN, -1};
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		assert_int_equal(rw_put_sample(got, times[i], 1) - got, rw_sample_size(times[i]));
	sp_buf_free(&want);
}

static void zero_values_may_be_left_out(void **state)
{
	(void)state;
	struct sp_buf raw = from_hex("0a050a030a01611200"); /* label "a" without a value, then junk after the series */
	struct sp_bytes in = sp_bytes(raw.p, 7);
	struct rw_series s;
	struct rw_label label;
	assert_int_equal(rw_next(&in, &s, NULL), SP_OK);
	assert_true(rw_next_label(&s.labels, &label));
	assert_true(sp_eq(label.name, SP_LIT("a")) && label.value.n == 0);
	sp_buf_free(&raw);
	raw = from_hex("0a021200"); /* a sample that says nothing: value 0 at time 0 */
	in = sp_buf_view(&raw);
	struct rw_sample v = {1, 1};
	assert_int_equal(rw_next(&in, &s, NULL), SP_OK);
	assert_true(rw_next_sample(&s.samples, &v));
	assert_true(v.ms == 0 && v.value == 0);
	sp_buf_free(&raw);
}

static void metadata_is_stepped_over(void **state)
{
	(void)state;
	struct sp_buf raw = from_hex("1a04080110010a021200"); /* metadata, then a series */
	struct rw_totals t;
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, NULL), SP_OK);
	assert_true(t.series == 1 && t.samples == 1 && t.raw_len == 10);
	sp_buf_free(&raw);
}

static void garbage_is_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"0a",                           /* no length */
		"0a05",                         /* cut off */
		"0affffffffffffffffff01",       /* a length of 2^64 - 1 */
		"0800",                         /* field 1 as a number */
		"0a020a05",                     /* a label longer than its series */
		"0a0412000a00",                 /* a label after a sample */
		"0a0412020801",                 /* value as a varint */
		"0a0612041100000000",           /* time as fixed64, cut off */
		"0a0b1209110000000000000000",   /* time as fixed64 */
		"0a040a020801",                 /* label name as a number */
		"03", "04", "00", "07",         /* groups, field 0, unknown wire type */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sp_buf raw = from_hex(cases[i]);
		struct sp_bytes in = sp_buf_view(&raw);
		struct sp_why why = {0};
		struct rw_series s;
		assert_int_equal(rw_next(&in, &s, &why), SP_BAD_DATA);
		assert_true(why.text[0]);
		assert_ptr_equal(in.p, raw.p);
		sp_buf_free(&raw);
	}
}

static void every_cut_of_a_message_is_refused_or_shorter(void **state)
{
	(void)state;
	struct sp_buf raw = {0};
	add_series(&raw, "a", "x", 1000, 3);
	size_t first = raw.n;
	add_series(&raw, "b", "y", 1000, 3);
	for (size_t n = 0; n < raw.n; n++) {
		uint8_t *copy = sp_alloc(n + 1);
		memcpy(copy, raw.p, n);
		struct rw_totals t = {0};
		enum sp_status status = rw_count(sp_bytes(copy, n), &t, NULL);
		assert_int_equal(status == SP_OK, n == 0 || n == first);
		sp_free(copy);
	}
	sp_buf_free(&raw);
}

static void joined_blocks_hold_the_concatenation(void **state)
{
	(void)state;
	struct sp_buf all = {0}, blocks[5] = {{0}}, joined = {0}, back = {0};
	struct sp_bytes views[5];
	for (int b = 0; b < 5; b++) {
		struct sp_buf raw = {0};
		for (int i = 0; i < 200 * b; i++) { /* the first is empty, the last has several snappy fragments */
			char name[32];
			snprintf(name, sizeof name, "metric_%d_%d", b, i);
			add_series(&raw, name, "eu-central-1", 1700000000000 + i, 8);
		}
		sp_buf_add(&all, sp_buf_view(&raw));
		rw_compress(sp_buf_view(&raw), &blocks[b]);
		views[b] = sp_buf_view(&blocks[b]);
		sp_buf_free(&raw);
	}
	assert_true(all.n > 65536 * 2);
	assert_int_equal(rw_join(views, 5, all.n, &joined, NULL), SP_OK);
	assert_int_equal(rw_uncompress(sp_buf_view(&joined), all.n, &back, NULL), SP_OK);
	assert_true(sp_eq(sp_buf_view(&all), sp_buf_view(&back)));
	struct rw_totals t;
	assert_int_equal(rw_count(sp_buf_view(&back), &t, NULL), SP_OK);
	assert_int_equal(t.series, 2000);
	assert_int_equal(t.samples, 16000);
	assert_int_equal(t.min_ms, 1700000000000);

	size_t before = joined.n;
	assert_int_equal(rw_join(views, 5, all.n - 1, &joined, NULL), SP_TOO_BIG);
	assert_int_equal(joined.n, before);
	for (int b = 0; b < 5; b++)
		sp_buf_free(&blocks[b]);
	sp_buf_free(&all);
	sp_buf_free(&joined);
	sp_buf_free(&back);
}

static void a_block_cannot_claim_what_it_cannot_hold(void **state)
{
	(void)state;
	struct sp_buf out = {0};
	static const char *const cases[] = {
	    "", "ff", "ffffffff0f", "ffffff7f00", "ffffffffff7f00", "05", "0500", "0408616263"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sp_buf block = from_hex(cases[i]);
		assert_int_equal(rw_uncompress(sp_buf_view(&block), 1 << 30, &out, NULL), SP_BAD_DATA);
		sp_buf_free(&block);
	}
	struct sp_buf block = {0}, zeros = {0};
	for (int i = 0; i < 100000; i++)
		sp_buf_u8(&zeros, 0);
	rw_compress(sp_buf_view(&zeros), &block);
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 99999, &out, NULL), SP_TOO_BIG);
	assert_int_equal(out.n, 0);
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 100000, &out, NULL), SP_OK);
	sp_buf_free(&out);
	sp_buf_free(&block);
	sp_buf_free(&zeros);
}

static bool keep_odd(void *arg, uint32_t series, uint32_t sample, const struct rw_series *s, const struct rw_sample *v)
{
	(void)arg, (void)series, (void)s, (void)v;
	return sample % 2 == 1;
}

static bool keep_region_x(
    void *arg, uint32_t series, uint32_t sample, const struct rw_series *s, const struct rw_sample *v)
{
	(void)arg, (void)series, (void)sample, (void)v;
	return sp_eq(rw_find_label(s->labels, SP_LIT("region")), SP_LIT("x"));
}

static void parts_hold_what_was_chosen(void **state)
{
	(void)state;
	struct sp_buf raw = {0}, block = {0}, part = {0}, want = {0};
	struct rw_totals t;
	add_series(&raw, "a", "x", 1000, 1);
	add_series(&raw, "b", "y", 1000, 2);
	add_series(&raw, "c", "x", 1000, 3);
	assert_int_equal(rw_part(sp_buf_view(&raw), keep_region_x, NULL, &block, &t, NULL), SP_OK);
	assert_true(t.series == 2 && t.samples == 4 && t.min_ms == 1000 && t.max_ms == 121000);
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 1 << 20, &part, NULL), SP_OK);
	add_series(&want, "a", "x", 1000, 1);
	add_series(&want, "c", "x", 1000, 3);
	assert_true(sp_eq(sp_buf_view(&part), sp_buf_view(&want)));
	assert_int_equal(t.raw_len, want.n);

	sp_buf_clear(&block);
	assert_int_equal(rw_part(sp_buf_view(&raw), keep_odd, NULL, &block, &t, NULL), SP_OK);
	assert_true(t.series == 2 && t.samples == 3); /* sample 1 of b, 3 and 5 of c */
	sp_buf_free(&raw);
	sp_buf_free(&block);
	sp_buf_free(&part);
	sp_buf_free(&want);
}

static void text_for_people_is_escaped(void **state)
{
	(void)state;
	struct sp_buf labels = {0}, text = {0};
	add_label(&labels, "Z", "1");
	add_label(&labels, "__name__", "up");
	add_label(&labels, "a", "say \"\\\n\x1b");
	rw_print_labels(&text, sp_buf_view(&labels));
	assert_true(sp_eq(sp_buf_view(&text), SP_LIT("up{Z=\"1\", a=\"say \\\"\\\\\\n\\x1b\"}")));
	sp_buf_clear(&text);
	rw_print_labels(&text, SP_LIT(""));
	assert_true(sp_eq(sp_buf_view(&text), SP_LIT("{}")));
	sp_buf_free(&labels);
	sp_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_message_is_written),
		cmocka_unit_test(the_golden_block_is_read),
		cmocka_unit_test(special_values_and_times_have_their_exact_bytes),
		cmocka_unit_test(zero_values_may_be_left_out),
		cmocka_unit_test(metadata_is_stepped_over),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(every_cut_of_a_message_is_refused_or_shorter),
		cmocka_unit_test(joined_blocks_hold_the_concatenation),
		cmocka_unit_test(a_block_cannot_claim_what_it_cannot_hold),
		cmocka_unit_test(parts_hold_what_was_chosen),
		cmocka_unit_test(text_for_people_is_escaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
