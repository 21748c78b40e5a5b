/* The access key that a lane sends: the first of its file, whatever becomes of the file later. */
#include "ship/auth/auth.h"

#include "common/alloc.h"
#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/standpipe-token-XXXXXX", other[] = "/tmp/standpipe-token-XXXXXX";

static void put(const char *to, const char *text)
{
	char *fresh = sp_asprintf("%s.new", to);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, to), 0);
	sp_free(fresh);
}

static struct token *token_of(const char *key, const char *file)
{
	struct key_settings keys[] = {{.name = (char *)"other"}, {.name = (char *)"team", .file = (char *)file}};
	struct settings s = {.keys = keys, .n_keys = 2};
	struct token *t = token_new(key);
	token_find(t, &s);
	return t;
}

static void the_first_line_that_is_not_empty_is_sent(void **state)
{
	static const char *const cases[][2] = {{"one", "one"}, {"\n\n one \r\ntwo\n", "one"}, {"one\ntwo", "one"},
	    {"", NULL}, {"\n\n", NULL}, {"a\x01z\n", NULL}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		put(path, cases[i][0]);
		struct token *t = token_of("team", path);
		assert_null(token_line(t));
		assert_true(token_poll(t) == (cases[i][1] != NULL));
		if (cases[i][1])
			assert_string_equal(token_line(t) + strlen("Authorization: Bearer "), cases[i][1]);
		else
			assert_null(token_line(t));
		assert_false(token_poll(t));
		token_free(&t);
	}
}

static void another_key_is_seen_and_a_missing_one_leaves_the_last(void **state)
{
	struct key_settings keys[] = {{.name = (char *)"team", .file = other}};
	struct settings s = {.keys = keys, .n_keys = 1};
	(void)state;
	put(path, "one\n");
	struct token *t = token_of("team", path);
	assert_true(token_poll(t));
	put(path, "one\ntwo\n");
	assert_false(token_poll(t)); /* still the first */
	put(path, "three\n");
	assert_true(token_poll(t));
	unlink(path);
	assert_false(token_poll(t));
	assert_string_equal(token_line(t), "Authorization: Bearer three");
	unlink(other);
	token_find(t, &s); /* the key has another file, which comes later */
	assert_false(token_poll(t));
	put(other, "four\n");
	assert_true(token_poll(t));
	s.n_keys = 0;
	token_find(t, &s);
	assert_false(token_poll(t));
	assert_string_equal(token_line(t), "Authorization: Bearer four");
	token_free(&t);
}

static void without_its_key_there_is_none(void **state)
{
	struct token *t = token_of("nobody", path);
	(void)state;
	assert_false(token_poll(t));
	assert_null(token_line(t));
	token_free(&t);
	token_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_line_that_is_not_empty_is_sent),
	    cmocka_unit_test(another_key_is_seen_and_a_missing_one_leaves_the_last),
	    cmocka_unit_test(without_its_key_there_is_none),
	};
	close(mkstemp(path));
	close(mkstemp(other));
	sp_log_init("ship", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	unlink(other);
	return failed;
}
