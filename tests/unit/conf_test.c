/* The view that a child gets: what its role needs and nothing else, unchanged, on a descriptor nobody can write to. */
#include "common/conf.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char yaml[] = "keys: {prod: {value: key-secret}}\n"
			   "ingest: {listen: 127.0.0.1:1, paths: [/a, \"/b,c\"]}\n"
			   "destinations: {main: {url: https://x/, headers: {X-Token: head-secret}}}\n"
			   "spool: {max: 7GiB}\n";

static int view_of_text(const char *text, enum sp_role role)
{
	struct sp_why why = {0};
	struct conf *c = conf_new();
	struct sp_buf view = {0};
	assert_int_equal(conf_read_yaml_text(c, "s.yaml", sp_str(text), &why), SP_OK);
	conf_write_view(c, role, &view);
	int fd = conf_open_view(sp_buf_view(&view));
	assert_true(fd >= 0);
	sp_buf_free(&view);
	conf_free(&c);
	return fd;
}

static int view_of(enum sp_role role)
{
	return view_of_text(yaml, role);
}

static bool holds(int fd, const char *text)
{
	uint8_t bytes[4096];
	ssize_t n = pread(fd, bytes, sizeof bytes, 0);
	return memmem(bytes, (size_t)n, text, strlen(text)) != NULL;
}

static void a_view_holds_only_what_the_role_needs(void **state)
{
	(void)state;
	int ingest = view_of(SP_ROLE_INGEST), convert = view_of(SP_ROLE_CONVERT), ship = view_of(SP_ROLE_SHIP);
	assert_true(holds(ingest, "key-secret") && !holds(ingest, "head-secret") && !holds(ingest, "spool.max"));
	assert_false(holds(convert, "secret") || holds(convert, "https"));
	assert_true(holds(ship, "head-secret") && !holds(ship, "key-secret"));
	close(ingest), close(convert), close(ship);
}

static void ship_knows_where_keys_are_only_to_send_them(void **state)
{
	static const char *const lanes[] = {"", ", lanes: {by: key, token: key}"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		char text[200];
		snprintf(text, sizeof text, "keys: {a: {file: /key-of-a}}\ndestinations: {main: {url: https://x/%s}}\n", lanes[i]);
		int fd = view_of_text(text, SP_ROLE_SHIP);
		assert_true(holds(fd, "/key-of-a") == (i == 1));
		close(fd);
	}
}

static void a_view_reads_back_with_its_places(void **state)
{
	(void)state;
	struct sp_why why = {0};
	struct settings *s;
	struct conf *c = conf_new();
	int fd = view_of(SP_ROLE_INGEST);
	assert_int_equal(conf_read_view(c, fd, &why), SP_OK);
	assert_int_equal(settings_load(c, SP_ROLE_INGEST, &s, &why), SP_OK);
	assert_int_equal(s->ingest_paths.n, 2);
	assert_string_equal(s->ingest_paths.v[1], "/b,c"); /* a comma is no separator inside a YAML list */
	assert_string_equal(s->keys[0].value, "key-secret");
	settings_free(&s);
	conf_set(c, "keys.prod.file", "/also", "the command line");
	assert_int_equal(settings_load(c, SP_ROLE_INGEST, &s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "s.yaml:1: keys.prod needs either"));
	conf_free(&c);
	close(fd);
}

static void a_view_is_sealed(void **state)
{
	(void)state;
	int fd = view_of(SP_ROLE_SHIP);
	errno = 0;
	assert_true(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
	close(fd);
}

static void a_damaged_view_is_refused(void **state)
{
	(void)state;
	int fd = memfd_create("view", MFD_CLOEXEC);
	struct sp_why why;
	struct conf *c = conf_new();
	assert_int_equal(write(fd, "spool.max\0S7GiB\0s.yaml", 22), 22); /* the last NUL is missing */
	assert_int_equal(conf_read_view(c, fd, &why), SP_CONFIG);
	conf_free(&c);
	close(fd);
}

static void a_secret_loses_one_newline_only(void **state)
{
	(void)state;
	static const struct {
		const char *file, *secret;
	} cases[] = {
	    {"abc", "abc"}, {"abc\n", "abc"}, {"abc\n\n", "abc\n"}, {" abc ", " abc "}, {"", NULL}, {"\n", NULL}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char path[] = "/tmp/standpipe_secret_XXXXXX";
		int fd = mkstemp(path);
		struct sp_buf out = {0};
		struct sp_why why;
		assert_int_equal(write(fd, cases[i].file, strlen(cases[i].file)), strlen(cases[i].file));
		assert_int_equal(secret_read(path, &out, &why), cases[i].secret ? SP_OK : SP_CONFIG);
		if (cases[i].secret)
			assert_true(sp_eq(sp_buf_view(&out), sp_str(cases[i].secret)));
		sp_buf_free(&out);
		close(fd);
		unlink(path);
	}
}

static void a_missing_file_is_named(void **state)
{
	(void)state;
	struct sp_why why;
	struct conf *c = conf_new();
	assert_int_equal(conf_read_yaml(c, "/nowhere/standpipe.yaml", &why), SP_CONFIG);
	assert_string_equal(why.text, "cannot open /nowhere/standpipe.yaml: No such file or directory");
	conf_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_view_holds_only_what_the_role_needs),
	    cmocka_unit_test(ship_knows_where_keys_are_only_to_send_them),
	    cmocka_unit_test(a_view_reads_back_with_its_places),
	    cmocka_unit_test(a_view_is_sealed),
	    cmocka_unit_test(a_damaged_view_is_refused),
	    cmocka_unit_test(a_secret_loses_one_newline_only),
	    cmocka_unit_test(a_missing_file_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
