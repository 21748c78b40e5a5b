/* What is known of a payload's metrics, as it lies in the spool. */
#include "proto/info.h"
#include "proto/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct sp_why why;

static void add(struct sp_buf *out, const char *name, const char *unit)
{
	struct sp_buf said = {0};
	info_describe(&said, STANDPIPE__INFO_ENTRY__TYPE__GAUGE, sp_str(unit), sp_str(name));
	assert_true(info_add(out, sp_str(name), sp_buf_view(&said)));
	sp_buf_free(&said);
}

static void expect(const struct info *i, const char *series, const char *name, const char *unit)
{
	const Standpipe__InfoEntry *e = info_find(i, sp_str(series));
	assert_non_null(e);
	assert_string_equal(e->name, name);
	assert_true(sp_eq(info_unit(e, sp_str(series)), sp_str(unit)));
	assert_string_equal(e->help, name);
	assert_int_equal(e->type, STANDPIPE__INFO_ENTRY__TYPE__GAUGE);
}

static void a_series_finds_its_metric_by_the_longest_name(void **state)
{
	(void)state;
	struct sp_buf entries = {0}, packed = {0};
	struct info *i = NULL;
	char long_name[20000];
	memset(long_name, 'x', sizeof long_name);
	long_name[sizeof long_name - 1] = '\0';
	add(&entries, "aws_ec2_network_in", "bytes");
	add(&entries, "aws_ec2_network", "");
	add(&entries, long_name, "seconds");
	long_name[200] = '\0';
	add(&entries, long_name, "percent");
	info_pack(&entries, &packed);
	assert_int_equal(info_read(sp_buf_view(&packed), &i, &why), SP_OK);
	expect(i, "aws_ec2_network_in", "aws_ec2_network_in", "bytes");
	expect(i, "aws_ec2_network_in_sum", "aws_ec2_network_in", "bytes");
	expect(i, "aws_ec2_network_in_sample_count", "aws_ec2_network_in", "");
	expect(i, "aws_ec2_network_out_sum", "aws_ec2_network", "");
	expect(i, long_name, long_name, "percent");
	assert_null(info_find(i, SP_LIT("aws_ec2")));
	assert_null(info_find(i, SP_LIT("")));
	assert_null(info_find(i, SP_LIT("____________________________________")));
	info_free(&i);
	sp_buf_free(&entries);
	sp_buf_free(&packed);
}

static void add_series(struct sp_buf *raw, const char *name)
{
	struct sp_buf labels = {0};
	uint8_t *to = sp_buf_room(&labels, 100), *end = rw_put_label(to, SP_LIT("__name__"), sp_str(name));
	labels.n = (size_t)(end - to);
	rw_add_series(raw, sp_buf_view(&labels), &(struct rw_sample){1, 1}, 1);
	sp_buf_free(&labels);
}

static void a_part_has_what_its_series_need(void **state)
{
	(void)state;
	struct sp_buf entries = {0}, packed = {0}, part = {0}, raw = {0}, body = {0};
	struct info *all = NULL, *i = NULL;
	add(&entries, "one", "bytes");
	add(&entries, "two", "seconds");
	add(&entries, "three", "");
	info_pack(&entries, &packed);
	assert_int_equal(info_read(sp_buf_view(&packed), &all, &why), SP_OK);
	add_series(&raw, "one_max");
	add_series(&raw, "one_sum");
	add_series(&raw, "three_sum");
	add_series(&raw, "unknown");
	rw_compress(sp_buf_view(&raw), &body);
	for (int round = 0; round < 2; round++) {
		info_part(all, (struct sp_bytes[]){SP_LIT("no body"), sp_buf_view(&body), sp_buf_view(&body)}, 3, &part);
		assert_int_equal(info_read(sp_buf_view(&part), &i, &why), SP_OK);
		expect(i, "one_sum", "one", "bytes");
		expect(i, "three_sum", "three", "");
		assert_null(info_find(i, SP_LIT("two_sum")));
		info_free(&i);
	}
	info_part(all, NULL, 0, &part);
	assert_int_equal(part.n, 0);
	info_free(&all);
	struct sp_buf *const done[] = {&entries, &packed, &part, &raw, &body};
	for (size_t k = 0; k < sizeof done / sizeof *done; k++)
		sp_buf_free(done[k]);
}

static void nothing_is_an_info_without_entries(void **state)
{
	(void)state;
	struct sp_buf entries = {0}, packed = {0};
	struct info *i = NULL;
	info_pack(&entries, &packed);
	assert_int_equal(packed.n, 0);
	assert_int_equal(info_read(sp_buf_view(&packed), &i, &why), SP_OK);
	assert_null(info_find(i, SP_LIT("a_sum")));
	info_free(&i);
	sp_buf_free(&entries);
	sp_buf_free(&packed);
}

static void damage_is_found(void **state)
{
	(void)state;
	struct sp_buf entries = {0}, packed = {0};
	struct info *i = NULL;
	add(&entries, "a", "bytes");
	info_pack(&entries, &packed);
	for (size_t at = 0; at < packed.n; at++) {
		packed.p[at] ^= 0x20;
		assert_int_equal(info_read(sp_buf_view(&packed), &i, &why), SP_BAD_DATA);
		packed.p[at] ^= 0x20;
	}
	for (size_t n = 1; n < packed.n; n++)
		assert_int_equal(info_read(sp_bytes(packed.p, n), &i, &why), SP_BAD_DATA);
	sp_buf_free(&entries);
	sp_buf_free(&packed);
}

static void an_info_is_bounded(void **state)
{
	(void)state;
	struct sp_buf entries = {0}, packed = {0};
	struct info *i = NULL;
	char name[32];
	int n = 0;
	do
		snprintf(name, sizeof name, "metric_%d", ++n);
	while (info_add(&entries, sp_str(name), SP_LIT("")));
	info_pack(&entries, &packed);
	assert_true(n > 1000 && entries.n <= INFO_MAX_BYTES);
	assert_int_equal(info_read(sp_buf_view(&packed), &i, &why), SP_OK);
	assert_null(info_find(i, sp_str(name)));
	snprintf(name, sizeof name, "metric_%d", n - 1);
	assert_non_null(info_find(i, sp_str(name)));
	info_free(&i);
	sp_buf_free(&entries);
	sp_buf_free(&packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_series_finds_its_metric_by_the_longest_name),
		cmocka_unit_test(a_part_has_what_its_series_need),
		cmocka_unit_test(nothing_is_an_info_without_entries),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(an_info_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
