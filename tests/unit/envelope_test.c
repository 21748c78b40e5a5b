/* What a sender is told about a body that cannot be read, word for word, and that layout does not matter. */
#include "convert/envelope.h"

#include "common/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void refusals_name_the_place(void **state)
{
	static const struct {
		const char *body, *code, *text;
	} cases[] = {
		{"", "E_BODY", "empty body"},
		{" \n", "E_BODY", "empty body"},
		{"[]", "E_JSON", "object expected at byte 0"},
		{" 17", "E_JSON", "object expected at byte 1"},
		{"{", "E_JSON", "string expected at byte 1"},
		{"{\"records\":[{\"data\":\"QQ", "E_JSON", "the string has no end at byte 23"},
		{"{\"records\":[],}", "E_JSON", "string expected at byte 14"},
		{"{\"records\":[1,]}", "E_JSON", "value expected at byte 14"},
		{"{\"records\" []}", "E_JSON", "colon expected at byte 11"},
		{"{\"records\":[]", "E_JSON", "the text is cut off at byte 13"},
		{"{\"records\":[]}x", "E_JSON", "data after the document at byte 14"},
		{"{\"a\":tru}", "E_JSON", "no JSON value at byte 5"},
		{"{\"a\":\"\\x\"}", "E_JSON", "no such escape at byte 6"},
		{"{\"a\":\"\\ud800\"}", "E_JSON", "no such escape at byte 6"},
		{"{\"a\":\"\n\"}", "E_JSON", "control character in a string at byte 6"},
		{"{\"a\":\"\xff\"}", "E_JSON", "invalid UTF-8 at byte 5"},
		{"{\"a\":1}", "E_RECORDS", "records array missing"},
		{"{\"records\":{}}", "E_RECORDS", "records array missing"},
	};
	struct sp_arena *arena = sp_arena_new(0);
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct envelope e;
		struct sp_why why;
		const char *code;
		assert_int_equal(envelope_read(sp_str(cases[i].body), arena, &e, &code, &why), SP_BAD_DATA);
		assert_string_equal(code, cases[i].code);
		assert_string_equal(why.text, cases[i].text);
	}
	sp_arena_free(&arena);
}

static void nesting_is_bounded(void **state)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct sp_buf body = {0};
	struct envelope e;
	struct sp_why why;
	const char *code;
	(void)state;
	sp_buf_str(&body, "{\"x\":");
	for (int i = 0; i < 100000; i++)
		sp_buf_str(&body, i % 2 ? "{\"x\":" : "[");
	assert_int_equal(envelope_read(sp_buf_view(&body), arena, &e, &code, &why), SP_BAD_DATA);
	assert_non_null(strstr(why.text, "too deep"));
	sp_buf_free(&body);
	sp_arena_free(&arena);
}

static void any_layout_gives_the_same(void **state)
{
	static const char *const layouts[] = {
		"{\"requestId\":\"a/b\",\"timestamp\":1650963501265,\"records\":[{\"data\":\"QQ/+\"},{},{\"data\":\"\"},7,{\"data\":null}]}",
		"\xef\xbb\xbf {\r\n\t\"records\" : [ {\"data\" : \"QQ/+\"} , { } , {\"data\":\"\"},\n7,{\"data\":null} ] ,\n \"timestamp\" : 1650963501265 , "
		"\"requestId\":\"a\\/b\" } \n",
		"{\"requestId\":1,\"records\":[{\"data\":\"no\"}],\"timestamp\":\"x\",\"requestId\":\"\\u0061/b\",\"more\":{\"records\":[[],[{}]]},"
		"\"records\":[{\"data\":\"no\",\"data\":\"QQ\\/\\u002b\"},{\"x\":\"data\"},{\"d\\u0061ta\":\"\"},7,{\"data\":\"no\",\"data\":null}],"
		"\"timestamp\":1.650963501265e12}",
	};
	struct sp_arena *arena = sp_arena_new(0);
	(void)state;
	for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
		struct envelope e;
		const char *code;
		assert_int_equal(envelope_read(sp_str(layouts[i]), arena, &e, &code, NULL), SP_OK);
		assert_true(sp_eq(e.request_id, SP_LIT("a/b")));
		assert_int_equal(e.timestamp_ms, 1650963501265);
		assert_int_equal(e.n_records, 5);
		assert_true(e.records[0].has_data && sp_eq(e.records[0].data, SP_LIT("QQ/+")));
		assert_true(e.records[2].has_data && e.records[2].data.n == 0);
		assert_false(e.records[1].has_data || e.records[3].has_data || e.records[4].has_data);
		assert_true(sp_eq(e.records[3].json, SP_LIT("7"))); /* evidence is the item as it stands */
	}
	sp_arena_free(&arena);
}

static void a_timestamp_that_is_none_is_ignored(void **state)
{
	static const char *const values[] = {"\"1650963501265\"", "-5", "0", "null", "1.5", "1e300", "[]"};
	struct sp_arena *arena = sp_arena_new(0);
	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		struct sp_buf body = {0};
		struct envelope e;
		const char *code;
		sp_buf_printf(&body, "{\"timestamp\":%s,\"records\":[]}", values[i]);
		assert_int_equal(envelope_read(sp_buf_view(&body), arena, &e, &code, NULL), SP_OK);
		assert_int_equal(e.timestamp_ms, 0);
		assert_null(e.request_id.p);
		sp_buf_free(&body);
	}
	sp_arena_free(&arena);
}

static void no_memory_is_no_fault_of_the_sender(void **state)
{
	struct sp_arena *arena = sp_arena_new(1024);
	struct envelope e;
	const char *code;
	(void)state;
	assert_int_equal(envelope_read(SP_LIT("{\"records\":[1]}"), arena, &e, &code, NULL), SP_NO_MEM);
	sp_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_name_the_place),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(any_layout_gives_the_same),
		cmocka_unit_test(a_timestamp_that_is_none_is_ignored),
		cmocka_unit_test(no_memory_is_no_fault_of_the_sender),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
