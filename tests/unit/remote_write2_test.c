/* The remote write 2.0 body byte for byte, and against a generated decoder. */
#include "proto/remote_write2.h"
#include "tests/lib/rw2_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* test_metric{region="us-east-1"} 42.5 at 1700000000000, a gauge. */
static const char golden[] = "\x22\x00\x22\x08__name__\x22\x0btest_metric\x22\x06region\x22\x09us-east-1"
			     "\x2a\x1c\x0a\x04\x01\x02\x03\x04\x12\x10\x09\x00\x00\x00\x00\x00\x40\x45\x40\x10\x80\xd0\x95\xff\xbc\x31"
			     "\x2a\x02\x08\x02";

static struct sp_why why;

static void add_label(struct sp_buf *b, const char *name, const char *value)
{
	uint8_t *to = sp_buf_room(b, rw_label_size(strlen(name), strlen(value)));
	b->n += (size_t)(rw_put_label(to, sp_str(name), sp_str(value)) - to);
}

static void add_series(struct sp_buf *raw, const char *name, const char *region, size_t n_samples)
{
	struct sp_buf labels = {0};
	struct rw_sample v[] = {{1700000000000, 42.5}, {1700000060000, -0.0}, {INT64_MIN, 1e300}};
	add_label(&labels, "__name__", name);
	if (region)
		add_label(&labels, "region", region);
	rw_add_series(raw, sp_buf_view(&labels), v, n_samples);
	sp_buf_free(&labels);
}

static void add_info(struct sp_buf *entries, const char *name, Standpipe__InfoEntry__Type type, const char *unit, const char *help)
{
	struct sp_buf said = {0};
	info_describe(&said, type, sp_str(unit), sp_str(help));
	assert_true(info_add(entries, sp_str(name), sp_buf_view(&said)));
	sp_buf_free(&said);
}

static struct info *read_info(struct sp_buf *entries)
{
	struct sp_buf packed = {0};
	struct info *i;
	info_pack(entries, &packed);
	assert_int_equal(info_read(sp_buf_view(&packed), &i, &why), SP_OK);
	sp_buf_free(&packed);
	sp_buf_free(entries);
	return i;
}

static struct sp_buf write_body(struct rw2_writer *w, const struct rw2_part *parts, size_t n)
{
	struct sp_buf block = {0};
	rw2_begin(w);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(rw2_add(w, parts[i].raw, parts[i].info, &why), SP_OK);
	assert_int_equal(rw2_finish(w, &block, &why), SP_OK);
	return block;
}

static void the_golden_message_is_written(void **state)
{
	(void)state;
	struct sp_buf raw = {0}, entries = {0}, back = {0};
	struct rw2_writer *w = rw2_writer_new();
	add_series(&raw, "test_metric", "us-east-1", 1);
	add_info(&entries, "test_metric", STANDPIPE__INFO_ENTRY__TYPE__GAUGE, "", "");
	struct info *info = read_info(&entries);
	struct sp_buf block = write_body(w, &(struct rw2_part){sp_buf_view(&raw), info}, 1);
	assert_int_equal(rw_uncompress(sp_buf_view(&block), 1000, &back, &why), SP_OK);
	assert_int_equal(back.n, 74);
	assert_true(sp_eq(sp_buf_view(&back), sp_bytes(golden, sizeof golden - 1)));
	info_free(&info);
	rw2_writer_free(&w);
	sp_buf_free(&raw);
	sp_buf_free(&block);
	sp_buf_free(&back);
}

/* Each payload says what its own metrics are; texts they share stand once; the writer forgets what was before. */
static void bodies_of_several_payloads_make_one(void **state)
{
	(void)state;
	struct rw2_writer *w = rw2_writer_new();
	struct sp_buf raw[2] = {{0}}, entries = {0};
	char name[40];
	add_series(&raw[0], "aws_a_sum", "eu-west-1", 3);
	add_series(&raw[0], "aws_a_sum", "eu-west-2", 1);
	add_series(&raw[0], "aws_a_maximum", "eu-west-2", 0);
	add_series(&raw[0], "unknown", NULL, 1);
	add_series(&raw[0], "aws_c", "", 1);
	for (int i = 0; i < 3000; i++) { /* more symbols than there were slots */
		snprintf(name, sizeof name, "aws_a_%d", i);
		add_series(&raw[1], name, "eu-west-1", 2);
	}
	add_info(&entries, "aws_a", STANDPIPE__INFO_ENTRY__TYPE__SUMMARY, "seconds", "Of the first.");
	add_info(&entries, "aws_c", STANDPIPE__INFO_ENTRY__TYPE__UNKNOWN, "", "");
	struct info *first = read_info(&entries);
	add_info(&entries, "aws_a", STANDPIPE__INFO_ENTRY__TYPE__GAUGE, "bytes", "region");
	struct info *second = read_info(&entries);
	const struct rw2_part parts[] = {{sp_buf_view(&raw[0]), first}, {sp_buf_view(&raw[1]), second}, {sp_buf_view(&raw[0]), NULL}};
	for (int again = 0; again < 3; again++) {
		size_t n = again == 1 ? 1 : 3;
		struct sp_buf block = write_body(w, parts, n);
		const char *wrong = rw2_differs(sp_buf_view(&block), parts, n);
		if (wrong)
			fail_msg("%s", wrong);
		assert_non_null(rw2_differs(sp_buf_view(&block), parts + 1, 1));
		sp_buf_free(&block);
	}
	info_free(&first);
	info_free(&second);
	sp_buf_free(&raw[0]);
	sp_buf_free(&raw[1]);
	rw2_writer_free(&w);
}

static void what_is_no_body_is_refused(void **state)
{
	(void)state;
	struct rw2_writer *w = rw2_writer_new();
	rw2_begin(w);
	assert_int_equal(rw2_add(w, SP_LIT("\x0a\x7f"), NULL, &why), SP_BAD_DATA);
	rw2_writer_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_golden_message_is_written),
	    cmocka_unit_test(bodies_of_several_payloads_make_one),
	    cmocka_unit_test(what_is_no_body_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
