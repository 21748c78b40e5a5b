/* Firehose's common attributes: what is taken, and that nothing about them can hurt a delivery. */
#include "convert/attributes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct sp_arena *arena;

static struct attributes read_text(const char *header)
{
	struct attributes a;
	assert_int_equal(attributes_read(sp_str(header), arena, &a), SP_OK);
	return a;
}

static bool is(const struct attributes *a, const char *name, const char *value)
{
	return sp_eq(attributes_get(a, sp_str(name)), sp_str(value));
}

static void strings_numbers_and_booleans_are_taken_as_text(void **state)
{
	(void)state;
	struct attributes a = read_text(
	    " {\"other\": [1], \"commonAttributes\": {\"Env\": \"prod\\u00e9\", \"n\": 1.50, \"b\": true, \"empty\": \"\"}} ");
	assert_int_equal(a.n, 4);
	assert_true(is(&a, "env", "prod\xc3\xa9"));
	assert_true(is(&a, "N", "1.50"));
	assert_true(is(&a, "b", "true"));
	assert_true(is(&a, "nothing", ""));
	assert_int_equal(a.left_out, 0);
	assert_int_equal(read_text("").left_out, 0);
}

static void what_cannot_be_used_is_left_out_and_counted(void **state)
{
	(void)state;
	static const char *const unusable[] = {"x", "{", "[]", "{}", "{\"commonAttributes\": []}", "{\"commonattributes\": {}}",
	    "{\"commonAttributes\": {\"a\": \"b\"}", "{\"commonAttributes\": \"x\"}"};
	for (size_t i = 0; i < sizeof unusable / sizeof unusable[0]; i++) {
		struct attributes a = read_text(unusable[i]);
		assert_int_equal(a.n, 0);
		assert_int_equal(a.left_out, 1);
		assert_non_null(a.why_out);
	}
	struct attributes a = read_text("{\"commonAttributes\": {\"a\": null, \"b\": {\"c\": 1}, \"d\": [2], \" \": \"x\", \"e\": \"f\"}}");
	assert_int_equal(a.n, 1);
	assert_true(is(&a, "e", "f"));
	assert_int_equal(a.left_out, 4);
}

static void the_limits_of_aws_hold(void **state)
{
	(void)state;
	struct sp_buf text = {0};
	sp_buf_str(&text, "{\"commonAttributes\": {");
	for (int i = 0; i < ATTRIBUTES_MAX + 3; i++)
		sp_buf_printf(&text, "%s\"name%d\": \"%0*d\"", i ? ", " : "", i, i == 1 ? ATTRIBUTE_VALUE_CHARS + 1 : ATTRIBUTE_VALUE_CHARS, 7);
	sp_buf_printf(&text, ", \"%0*d\": \"x\"}}", ATTRIBUTE_NAME_CHARS + 1, 7);
	struct attributes a;
	assert_int_equal(attributes_read(sp_buf_view(&text), arena, &a), SP_OK);
	assert_int_equal(a.n, ATTRIBUTES_MAX);
	assert_int_equal(a.left_out, 4); /* a long value, a long name, and two too many */
	assert_true(is(&a, "name50", "") == false && is(&a, "name51", ""));
	sp_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strings_numbers_and_booleans_are_taken_as_text),
	    cmocka_unit_test(what_cannot_be_used_is_left_out_and_counted),
	    cmocka_unit_test(the_limits_of_aws_hold),
	};
	arena = sp_arena_new(0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sp_arena_free(&arena);
	return failed;
}
