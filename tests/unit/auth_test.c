/* Secrets from files: the header they make, and that a change is seen. */
#include "ship/auth/auth.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/standpipe-auth-XXXXXX";

static void put(const char *text)
{
	/* as an operator or Kubernetes does it: a new file in the place of the old one */
	char *fresh = sp_asprintf("%s.new", path);
	FILE *to = fopen(fresh, "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
	assert_int_equal(rename(fresh, path), 0);
	sp_free(fresh);
}

static struct auth *make(struct dest_settings *d)
{
	struct auth *a;
	struct sp_why why;
	d->name = (char *)(uintptr_t) "main";
	assert_int_equal(auth_new(NULL, NULL, NULL, d, NULL, NULL, &a, &why), SP_OK);
	return a;
}

static const char *header(struct auth *a)
{
	return auth_lines(a, SP_LIT("body"))[0];
}

static void without_settings_there_is_no_header(void **state)
{
	struct dest_settings d = {0};
	struct auth *a = make(&d);
	(void)state;
	assert_null(header(a));
	assert_false(auth_poll(a));
	auth_free(&a);
}

static void a_bearer_token(void **state)
{
	struct dest_settings d = {.bearer_token_file = path};
	(void)state;
	put("t0ken\n");
	struct auth *a = make(&d);
	assert_string_equal(header(a), "Authorization: Bearer t0ken");
	auth_free(&a);
}

static void basic_authentication(void **state)
{
	struct dest_settings d = {
	    .basic_auth_username = (char *)(uintptr_t) "Aladdin", .basic_auth_password_file = path};
	(void)state;
	put("open sesame");
	struct auth *a = make(&d);
	assert_string_equal(
	    header(a), "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="); /* RFC 7617's example */
	auth_free(&a);
}

static void a_change_is_seen(void **state)
{
	struct dest_settings d = {.bearer_token_file = path};
	(void)state;
	put("one");
	struct auth *a = make(&d);
	assert_false(auth_poll(a));
	put("one\n");
	assert_false(auth_poll(a)); /* another file, the same secret */
	put("two");
	assert_true(auth_poll(a));
	assert_string_equal(header(a), "Authorization: Bearer two");
	assert_false(auth_poll(a));
	put("");
	assert_false(auth_poll(a)); /* unusable: the last one stays */
	assert_int_equal(unlink(path), 0);
	assert_false(auth_poll(a));
	assert_string_equal(header(a), "Authorization: Bearer two");
	put("three");
	assert_true(auth_poll(a));
	auth_free(&a);
}

static void what_cannot_be_a_header_is_refused(void **state)
{
	static const char *const texts[] = {"", "\n", "two\nlines", "a\rb"};
	struct dest_settings d = {.name = (char *)(uintptr_t) "main", .bearer_token_file = path};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct auth *a;
		struct sp_why why;
		put(texts[i]);
		assert_int_equal(auth_new(NULL, NULL, NULL, &d, NULL, NULL, &a, &why), SP_CONFIG);
		assert_non_null(strstr(why.text, path));
	}
	d.bearer_token_file = (char *)(uintptr_t) "/nonexistent/token";
	struct auth *a;
	struct sp_why why;
	assert_int_equal(auth_new(NULL, NULL, NULL, &d, NULL, NULL, &a, &why), SP_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_settings_there_is_no_header),
	    cmocka_unit_test(a_bearer_token), cmocka_unit_test(basic_authentication),
	    cmocka_unit_test(a_change_is_seen), cmocka_unit_test(what_cannot_be_a_header_is_refused)};
	int fd = mkstemp(path);
	if (fd < 0)
		return 1;
	close(fd);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
