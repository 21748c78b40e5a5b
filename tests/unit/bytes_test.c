/* Readers that cannot overrun, a buffer whose errors stick, and the checksum. */
#include "common/bytes.h"
#include "common/crc32c.h"

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_failed_reader_does_not_move(void **state)
{
	(void)state;
	static const uint8_t cut[] = {0x80, 0x80, 0x80}, eleven[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 2};
	struct sp_bytes in = sp_bytes(cut, 3), out;
	uint64_t v64;
	uint32_t v32;
	assert_false(
	    sp_take_varint(&in, &v64) || sp_take_le32(&in, &v32) || sp_take_le64(&in, &v64) || sp_take_n(&in, 4, &out));
	assert_int_equal(in.n, 3);
	in = sp_bytes(eleven, sizeof eleven);
	assert_false(sp_take_varint(&in, &v64)); /* more than 64 bits */
}

static void varints_come_back(void **state)
{
	(void)state;
	static const uint64_t v[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
	struct sp_buf b = {0};
	uint64_t got;
	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		sp_buf_varint(&b, v[i]);
	struct sp_bytes in = sp_buf_view(&b);
	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
		assert_true(sp_take_varint(&in, &got));
		assert_true(got == v[i]);
	}
	assert_int_equal(in.n, 0);
	sp_buf_free(&b);
}

static void a_full_buffer_stays_failed_until_cleared(void **state)
{
	(void)state;
	struct sp_buf b = {.max = 4};
	sp_buf_str(&b, "abcd");
	assert_true(sp_buf_ok(&b));
	sp_buf_u8(&b, 'e');
	assert_false(sp_buf_ok(&b));
	assert_int_equal(b.n, 4);
	sp_buf_clear(&b);
	sp_buf_str(&b, "x");
	assert_true(sp_buf_ok(&b) && b.n == 1);
	sp_buf_free(&b);
}

static void numbers_are_short_and_exact(void **state)
{
	(void)state;
	static const struct {
		double v;
		const char *text;
	} cases[] = {{0, "0"}, {-0.0, "-0"}, {1e6, "1000000"}, {0.1, "0.1"}, {99.9, "99.9"}, {1e15, "1000000000000000"},
	    {1e300, "1e+300"}, {-2.5, "-2.5"}, {1 / 3.0, "0.3333333333333333"}, {5e-324, "5e-324"}, {NAN, "NaN"},
	    {INFINITY, "+Inf"}, {-INFINITY, "-Inf"}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_buf b = {0};
		sp_buf_double(&b, cases[i].v);
		sp_buf_u8(&b, 0);
		assert_string_equal((char *)b.p, cases[i].text);
		sp_buf_free(&b);
	}
}

static void order_is_by_bytes_then_length(void **state)
{
	(void)state;
	assert_true(sp_cmp(SP_LIT("a"), SP_LIT("ab")) < 0 && sp_cmp(SP_LIT("b"), SP_LIT("ab")) > 0 &&
		    sp_cmp(SP_LIT(""), SP_LIT("")) == 0);
	assert_true(
	    sp_eq_nocase(SP_LIT("Content-TYPE"), SP_LIT("content-type")) && !sp_eq_nocase(SP_LIT("@"), SP_LIT("`")));
}

static void the_checksum_is_castagnoli_on_every_machine(void **state)
{
	(void)state;
	uint8_t data[1000];
	assert_int_equal(sp_crc32c(0, "123456789", 9), 0xe3069283);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7);
	for (size_t n = 0; n < sizeof data; n += 37) {
		assert_int_equal(sp_crc32c(0, data, n), sp_crc32c_table(0, data, n));
		assert_int_equal(
		    sp_crc32c(sp_crc32c(0, data, n), data + n, sizeof data - n), sp_crc32c(0, data, sizeof data));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_failed_reader_does_not_move),
	    cmocka_unit_test(varints_come_back),
	    cmocka_unit_test(a_full_buffer_stays_failed_until_cleared),
	    cmocka_unit_test(numbers_are_short_and_exact),
	    cmocka_unit_test(order_is_by_bytes_then_length),
	    cmocka_unit_test(the_checksum_is_castagnoli_on_every_machine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
