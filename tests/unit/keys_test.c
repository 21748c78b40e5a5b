/* Access keys: several at a time, read again when their files change, and never lost to a file that cannot be read. */
#include "ingest/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char name_a[] = "a", name_old[] = "old", name_new[] = "new", alpha[] = "alpha";

static char *path_of(const char *name)
{
	static char paths[4][128];
	static int i;
	i = (i + 1) % 4;
	snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
	return paths[i];
}

/* As a careful operator does: another file under the same name. */
static void put(const char *name, const char *text, size_t n)
{
	char *to = path_of(name), *fresh = path_of("fresh");
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(fresh, to), 0);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static const char *find(const struct keys *k, const char *presented)
{
	const struct key *key = keys_find(k, sp_str(presented));
	return key ? key_name(key) : NULL;
}

static void old_and_new_key_are_both_good(void **state)
{
	struct key_settings v[] = {{.name = name_old, .value = alpha}, {.name = name_new}};
	struct settings s = {.keys = v, .n_keys = 2};
	struct keys *k;
	struct sp_why why;
	(void)state;
	v[1].file = path_of("new");
	put_text("new", " {\"beta\": 1} \r\n"); /* blanks around it do not come through HTTP */
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	assert_false(keys_none(k));
	assert_string_equal(find(k, "alpha"), "old");
	assert_string_equal(find(k, "{\"beta\": 1}"), "new");
	assert_null(find(k, "alph"));
	assert_null(find(k, "alphaa"));
	assert_null(find(k, "ALPHA"));
	assert_null(find(k, ""));
	assert_null(keys_find(k, SP_LIT("alpha\0")));
	keys_free(&k);
}

static void a_changed_file_counts_from_the_next_look(void **state)
{
	struct key_settings v[] = {{.name = name_a}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct keys *k;
	struct sp_why why;
	(void)state;
	char file[128];
	snprintf(file, sizeof file, "%s", path_of("a"));
	v[0].file = file;
	put_text("a", "one\n");
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	put_text("a", "two\n");
	assert_string_equal(find(k, "one"), "a");
	keys_poll(k);
	assert_null(find(k, "one"));
	assert_string_equal(find(k, "two"), "a");
	/* Gone, empty, too long, not readable: the former key stays in force; what comes after is taken. */
	assert_int_equal(unlink(file), 0);
	keys_poll(k);
	assert_string_equal(find(k, "two"), "a");
	put_text("a", "");
	keys_poll(k);
	assert_string_equal(find(k, "two"), "a");
	put_text("a", " \n");
	keys_poll(k);
	assert_string_equal(find(k, "two"), "a");
	put_text("a", "three\n");
	assert_int_equal(chmod(file, 0), 0);
	keys_poll(k);
	if (geteuid() != 0) /* root reads everything */
		assert_string_equal(find(k, "two"), "a");
	assert_int_equal(chmod(file, 0600), 0); /* changes neither size nor time of the file */
	keys_poll(k);
	assert_string_equal(find(k, "three"), "a");
	keys_free(&k);
}

static void a_key_has_4096_bytes_at_most(void **state)
{
	struct key_settings v[] = {{.name = name_a}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct sp_why why;
	char file[128];
	static char text[4098];
	(void)state;
	snprintf(file, sizeof file, "%s", path_of("long"));
	v[0].file = file;
	memset(text, 'k', sizeof text - 1);
	for (size_t n = ACCESS_KEY_MAX; n <= ACCESS_KEY_MAX + 1; n++) {
		struct keys *k = NULL;
		put("long", text, n);
		assert_int_equal(keys_new(&s, NULL, &k, &why), n == ACCESS_KEY_MAX ? SP_OK : SP_CONFIG);
		if (!k)
			continue;
		assert_string_equal(key_name(keys_find(k, sp_bytes(text, n))), "a");
		assert_null(keys_find(k, sp_bytes(text, n + 1)));
		keys_free(&k);
	}
	assert_non_null(strstr(why.text, "keys.a"));
	assert_null(strstr(why.text, "kkk")); /* the secret itself is not told */
}

/* printf %s new-secret | sha256sum, and the same of old-secret. */
static char hash_new[] = "sha256:fc97bb52861fcf328d0a7abe201f9632b8703e436656348f6d1b398f42e92c39",
	    hash_old[] = "sha256:5D865DEAE06FBD34FE9CE848F3E5FC4368F2F612B18AEF47F29F2164563A0140";

static void a_file_may_hold_old_and_new_key(void **state)
{
	struct key_settings v[] = {{.name = name_a}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct keys *k;
	struct sp_why why;
	char file[128];
	(void)state;
	snprintf(file, sizeof file, "%s", path_of("a"));
	v[0].file = file;
	put_text("a", "old one\r\n\n  new one \n");
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	assert_string_equal(find(k, "old one"), "a");
	assert_string_equal(find(k, "new one"), "a");
	assert_null(find(k, "old one\n\nnew one"));
	put_text("a", "new one\n");
	keys_poll(k);
	assert_null(find(k, "old one"));
	assert_string_equal(find(k, "new one"), "a");
	put_text("a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	keys_poll(k);
	assert_null(find(k, "1"));
	assert_string_equal(find(k, "new one"), "a");
	put_text("a", "1\n2\n3\n4\n5\n6\n7\n8\n");
	keys_poll(k);
	assert_string_equal(find(k, "8"), "a");
	keys_free(&k);
}

static void a_hash_is_as_good_as_its_key(void **state)
{
	char *hashes[] = {hash_old, hash_new};
	struct key_settings v[] = {{.name = name_a, .hash = {hashes, 2}}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct keys *k;
	struct sp_why why;
	(void)state;
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	assert_string_equal(find(k, "old-secret"), "a");
	assert_string_equal(find(k, "new-secret"), "a");
	assert_null(find(k, hash_new)); /* whoever reads the file cannot deliver */
	keys_free(&k);
}

static void only_listed_streams_may_use_a_key(void **state)
{
	char *globs[] = {(char[]){"arn:aws:firehose:*:111122223333:deliverystream/metrics-?"}, (char[]){"arn:aws:firehose:eu-west-1:444455556666:deliverystream/m"}};
	struct key_settings v[] = {{.name = name_a, .value = alpha, .source_arns = {globs, 2}}, {.name = name_new, .value = (char[]){"beta"}}};
	struct settings s = {.keys = v, .n_keys = 2};
	struct keys *k;
	struct sp_why why;
	static char long_arn[5000];
	(void)state;
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	const struct key *listed = keys_find(k, SP_LIT("alpha")), *open = keys_find(k, SP_LIT("beta"));
	assert_true(key_allows(listed, SP_LIT("arn:aws:firehose:us-east-1:111122223333:deliverystream/metrics-1")));
	assert_true(key_allows(listed, SP_LIT("arn:aws:firehose:eu-west-1:444455556666:deliverystream/m")));
	assert_false(key_allows(listed, SP_LIT("arn:aws:firehose:us-east-1:111122223333:deliverystream/metrics-10")));
	assert_false(key_allows(listed, SP_LIT("arn:aws:firehose:eu-west-1:444455556666:deliverystream/mm")));
	assert_false(key_allows(listed, SP_LIT("")));
	memset(long_arn, 'a', sizeof long_arn);
	assert_false(key_allows(listed, sp_bytes(long_arn, sizeof long_arn)));
	assert_true(key_allows(open, SP_LIT("")));
	keys_free(&k);
}

static void a_quota_lets_a_minute_of_it_through_at_once(void **state)
{
	struct key_settings v[] = {{.name = name_a, .value = alpha, .rate = 2, .bytes_per_second = 1000}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct sp_mono now = {5000};
	struct keys *k;
	struct sp_why why;
	(void)state;
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	struct key *key = keys_find(k, SP_LIT("alpha"));
	for (int i = 0; i < 120; i++) {
		assert_int_equal(key_limits(key, now), REFUSE_NOTHING);
		keys_charge(k, "a", 1, 100);
	}
	assert_int_equal(key_limits(key, now), REFUSE_RATE);
	now.ms += 400; /* 0.8 of a delivery */
	assert_int_equal(key_limits(key, now), REFUSE_NOTHING);
	/* One of any size goes through when something is left, and the next ones pay for it. */
	keys_charge(k, "a", 0, 200000);
	assert_int_equal(key_limits(key, now), REFUSE_QUOTA);
	now.ms += 151000;
	assert_int_equal(key_limits(key, now), REFUSE_QUOTA);
	now.ms += 2000;
	assert_int_equal(key_limits(key, now), REFUSE_NOTHING);
	keys_charge(k, "gone", 1, 1);
	keys_free(&k);
}

static void a_key_that_cannot_be_read_at_the_start_is_an_error(void **state)
{
	struct key_settings v[] = {{.name = name_a}};
	struct settings s = {.keys = v, .n_keys = 1};
	struct keys *k = NULL;
	struct sp_why why;
	char file[128];
	(void)state;
	snprintf(file, sizeof file, "%s", path_of("missing"));
	v[0].file = file;
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "missing"));
	s.n_keys = 0;
	assert_int_equal(keys_new(&s, NULL, &k, &why), SP_OK);
	assert_true(keys_none(k));
	assert_null(find(k, "anything"));
	keys_free(&k);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/keys_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = {"new", "a", "long", "fresh"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		unlink(path_of(names[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_and_new_key_are_both_good),
		cmocka_unit_test(a_changed_file_counts_from_the_next_look),
		cmocka_unit_test(a_key_has_4096_bytes_at_most),
		cmocka_unit_test(a_file_may_hold_old_and_new_key),
		cmocka_unit_test(a_hash_is_as_good_as_its_key),
		cmocka_unit_test(only_listed_streams_may_use_a_key),
		cmocka_unit_test(a_quota_lets_a_minute_of_it_through_at_once),
		cmocka_unit_test(a_key_that_cannot_be_read_at_the_start_is_an_error),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
