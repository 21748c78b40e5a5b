/* A directory of access keys: files come, change, break and go while it is used, and only a good one changes anything. */
#include "common/keys_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char main_file[] = "ingest: {listen: '127.0.0.1:0'}\n"
				"keys: {main: {value: abc}}\n"
				"destinations: {one: {url: 'http://127.0.0.1:1/'}}\n";
static char dir[64];

static void put(const char *name, const char *text)
{
	char to[128], fresh[128];
	snprintf(to, sizeof to, "%s/%s", dir, name);
	snprintf(fresh, sizeof fresh, "%s/.fresh", dir);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(fresh, to), 0);
}

static void take_away(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static bool again;

static enum sp_status open_dir(enum sp_role role, struct keys_dir **d, struct settings **s, struct sp_why *why)
{
	struct conf *base = conf_new();
	assert_int_equal(conf_read_yaml_text(base, "main.yaml", sp_str(main_file), why), SP_OK);
	enum sp_status status = keys_dir_new(&base, dir, role, again, d, s, why);
	assert_null(base);
	return status;
}

static const struct key_settings *key(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->n_keys; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return &s->keys[i];
	return NULL;
}

static void keys_come_change_and_go(void **state)
{
	struct keys_dir *d;
	struct settings *s;
	struct sp_why why;
	(void)state;
	put("a.yaml", "hash: [" HASH "]\nlabels: {team: x}\n");
	put("a.yaml~", "nonsense");
	put(".hidden.yaml", "nonsense");
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_OK);
	assert_int_equal(s->n_keys, 2);
	assert_true(key(s, "a")->in_dir);
	assert_false(key(s, "main")->in_dir);
	assert_string_equal(key(s, "a")->labels.values[0], "x");
	settings_free(&s);
	assert_null(keys_dir_poll(d));

	put("b.yaml", "hash: " HASH "\ndestinations: [one]\nrate: 5\n");
	put("a.yaml", "hash: [" HASH "]\nlabels: {team: y}\n");
	s = keys_dir_poll(d);
	assert_non_null(s);
	assert_int_equal(s->n_keys, 3);
	assert_string_equal(key(s, "a")->labels.values[0], "y");
	assert_int_equal(key(s, "b")->rate, 5);
	settings_free(&s);
	assert_null(keys_dir_poll(d));

	take_away("a.yaml");
	s = keys_dir_poll(d);
	assert_non_null(s);
	assert_null(key(s, "a"));
	settings_free(&s);
	take_away("b.yaml");
	s = keys_dir_poll(d);
	assert_int_equal(s->n_keys, 1);
	settings_free(&s);
	keys_dir_free(&d);
	take_away("a.yaml~");
	take_away(".hidden.yaml");
}

static void a_broken_file_keeps_its_former_content_and_holds_up_no_other(void **state)
{
	static const char *const broken[] = {"hash: [", "hash: [sha256:12]\n", "hash: [" HASH "]\nlabel: {a: b}\n", "", "value: [a, b]\n",
		"hash: [" HASH "]\ndestinations: [nowhere]\n", "hash: [" HASH "]\nvalue: x\n", "- a\n"};
	struct keys_dir *d;
	struct settings *s;
	struct sp_why why;
	(void)state;
	put("a.yaml", "hash: [" HASH "]\nlabels: {team: x}\n");
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_OK);
	settings_free(&s);
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		char good[100];
		put("a.yaml", broken[i]);
		assert_null(keys_dir_poll(d));
		assert_null(keys_dir_poll(d));
		snprintf(good, sizeof good, "value: v%zu", i);
		put("b.yaml", good);
		s = keys_dir_poll(d);
		assert_non_null(s);
		assert_string_equal(key(s, "a")->labels.values[0], "x");
		assert_string_equal(key(s, "b")->value, good + 7);
		settings_free(&s);
	}
	put("a.yaml", "hash: [" HASH "]\nlabels: {team: z}\n");
	s = keys_dir_poll(d);
	assert_string_equal(key(s, "a")->labels.values[0], "z");
	settings_free(&s);

	/* The whole directory away: nothing changes, and what is there afterwards counts. */
	char elsewhere[80];
	snprintf(elsewhere, sizeof elsewhere, "%s.away", dir);
	assert_int_equal(rename(dir, elsewhere), 0);
	assert_null(keys_dir_poll(d));
	assert_int_equal(rename(elsewhere, dir), 0);
	assert_null(keys_dir_poll(d));
	take_away("a.yaml");
	take_away("b.yaml");
	s = keys_dir_poll(d);
	assert_int_equal(s->n_keys, 1);
	settings_free(&s);
	keys_dir_free(&d);
}

static void a_broken_file_at_the_start_is_refused_with_its_place(void **state)
{
	struct keys_dir *d = NULL;
	struct settings *s = NULL;
	struct sp_why why;
	(void)state;
	put("a.yaml", "hash: [" HASH "]\nlabels: {team: x}\nnonsense: 1\n");
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "/a.yaml:3: there is no setting keys.a.nonsense"));
	take_away("a.yaml");
	put("main.yaml", "value: x\n");
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "keys.main is configured at main.yaml:2 already"));
	take_away("main.yaml");
	put("No Name.yaml", "value: x\n");
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "cannot be a name in keys"));
	take_away("No Name.yaml");
}

static void who_starts_again_leaves_out_what_has_become_wrong(void **state)
{
	struct keys_dir *d;
	struct settings *s;
	struct sp_why why;
	(void)state;
	put("a.yaml", "nonsense: 1\n");
	put("b.yaml", "value: x\n");
	again = true;
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_OK);
	assert_null(key(s, "a"));
	assert_string_equal(key(s, "b")->value, "x");
	settings_free(&s);
	assert_null(keys_dir_poll(d));
	put("a.yaml", "value: y\n");
	s = keys_dir_poll(d);
	assert_string_equal(key(s, "a")->value, "y");
	settings_free(&s);
	keys_dir_free(&d);
	take_away("a.yaml");
	take_away("b.yaml");
	/* Without the directory there are the keys of the main file. */
	char elsewhere[80];
	snprintf(elsewhere, sizeof elsewhere, "%s.away", dir);
	assert_int_equal(rename(dir, elsewhere), 0);
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_OK);
	assert_int_equal(s->n_keys, 1);
	settings_free(&s);
	keys_dir_free(&d);
	assert_int_equal(rename(elsewhere, dir), 0);
	again = false;
}

/* As Kubernetes mounts a ConfigMap: files are links through ..data, which is replaced. */
static void files_may_be_links_that_all_change_at_once(void **state)
{
	struct keys_dir *d;
	struct settings *s;
	struct sp_why why;
	char one[96], two[96], data[96], fresh[96], link[96];
	(void)state;
	snprintf(one, sizeof one, "%s/..1", dir);
	snprintf(two, sizeof two, "%s/..2", dir);
	snprintf(data, sizeof data, "%s/..data", dir);
	snprintf(fresh, sizeof fresh, "%s/..fresh", dir);
	snprintf(link, sizeof link, "%s/a.yaml", dir);
	assert_int_equal(mkdir(one, 0700) | mkdir(two, 0700), 0);
	put("..1/a.yaml", "value: x\n");
	put("..2/a.yaml", "value: y\n");
	assert_int_equal(symlink("..1", data) | symlink("..data/a.yaml", link), 0);
	assert_int_equal(open_dir(SP_ROLE_ALL, &d, &s, &why), SP_OK);
	assert_string_equal(key(s, "a")->value, "x");
	settings_free(&s);
	assert_int_equal(symlink("..2", fresh) | rename(fresh, data), 0);
	s = keys_dir_poll(d);
	assert_string_equal(key(s, "a")->value, "y");
	settings_free(&s);
	keys_dir_free(&d);
	take_away("a.yaml");
	take_away("..1/a.yaml");
	take_away("..2/a.yaml");
	take_away("..data");
	assert_int_equal(rmdir(one) | rmdir(two), 0);
}

static void both_roles_refuse_the_same(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {{"labels: {team: x}\n", "needs either file, hash or value"}, {"hash: [x]\n", "sha256"}, {"value: x\nlabels: {1x: y}\n", "label"},
	    {"value: x\nfilters: [{action: maybe}]\n", "include or exclude"}};
	static const enum sp_role roles[] = {SP_ROLE_INGEST, SP_ROLE_SHIP};
	struct keys_dir *d = NULL;
	struct settings *s = NULL;
	struct sp_why why;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		for (size_t r = 0; r < 2; r++) {
			put("a.yaml", bad[i].text);
			assert_int_equal(open_dir(roles[r], &d, &s, &why), SP_CONFIG);
			assert_non_null(strstr(why.text, bad[i].words));
		}
	/* Only ship has destinations. */
	put("a.yaml", "value: x\ndestinations: [nowhere]\n");
	assert_int_equal(open_dir(SP_ROLE_SHIP, &d, &s, &why), SP_CONFIG);
	assert_int_equal(open_dir(SP_ROLE_INGEST, &d, &s, &why), SP_OK);
	settings_free(&s);
	keys_dir_free(&d);
	take_away("a.yaml");
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/keys_dir_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_change_and_go),
		cmocka_unit_test(a_broken_file_keeps_its_former_content_and_holds_up_no_other),
		cmocka_unit_test(a_broken_file_at_the_start_is_refused_with_its_place),
		cmocka_unit_test(who_starts_again_leaves_out_what_has_become_wrong),
		cmocka_unit_test(files_may_be_links_that_all_change_at_once),
		cmocka_unit_test(both_roles_refuse_the_same),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
