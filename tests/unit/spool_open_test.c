/* Start and stop: whose file it is, and what an earlier process left behind. */
#include "tests/lib/spool_fixture.h"

#include <dirent.h>
#include <unistd.h>

static void the_batches_of_an_unclean_stop_are_maybe_delivered(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	closed(f);
	edit(f, "UPDATE meta SET value = 0 WHERE key = 'clean'");
	opened(f);
	stored_number(f->sp, 2, 100);
	closed(f);
	opened(f); /* a clean stop in between does not make it forgotten */
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_int_equal(b[0].flags, BATCH_MAYBE_DELIVERED);
	assert_int_equal(b[1].flags, 0);
	spool_begin(f->sp);
	spool_mark_maybe(f->sp, b + 1, 1);
	assert_int_equal(spool_commit(f->sp, &why), SP_OK);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_int_equal(b[1].flags, BATCH_MAYBE_DELIVERED);
}

static void what_is_there_after_three_unclean_stops_in_a_row_goes_as_it_is(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	for (int stops = 1; stops <= 5; stops++) {
		closed(f);
		if (stops != 4)
			edit(f, "UPDATE meta SET value = 0 WHERE key = 'clean'");
		opened(f);
		assert_int_equal(listed(f->sp, 1, 0, b, 4), 1);
		assert_int_equal(b[0].flags & BATCH_AS_IT_IS, stops == 3 ? BATCH_AS_IT_IS : 0);
	}
	stored_number(f->sp, 2, 100);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_int_equal(b[1].flags, 0);
}

static void a_spool_has_one_owner(void **state)
{
	struct spool_fixture *f = *state;
	struct spool *second = NULL;
	opened(f);
	assert_int_equal(spool_open(f->s, &second, &why), SP_LOCKED);
	assert_int_equal(spool_open_to_read(f->s, &second, &why), SP_LOCKED);
	assert_null(second);
}

static void a_newer_spool_or_another_database_is_refused(void **state)
{
	struct spool_fixture *f = *state;
	opened(f);
	closed(f);
	edit(f, "PRAGMA user_version = 99");
	assert_int_equal(spool_open(f->s, &f->sp, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "newer"));
	edit(f, "PRAGMA user_version = 2; PRAGMA application_id = 5");
	assert_int_equal(spool_open(f->s, &f->sp, &why), SP_CONFIG);
	edit(f, "PRAGMA application_id = 1397772371");
	opened(f);
}

static void shards_change_only_while_nothing_waits(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	closed(f);
	f->s->dests[0].shards = 8;
	assert_int_equal(spool_open(f->s, &f->sp, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "destinations.a.shards"));
	f->s->dests[0].shards = 4;
	opened(f);
	for (uint32_t shard = 0; shard < 4; shard++)
		settled(f->sp, b, listed(f->sp, 1, shard, b, 4), 0, NULL, 0);
	closed(f);
	f->s->dests[0].shards = 8;
	opened(f);
	closed(f);
	f->s->dests[0].shards = 4;
	opened(f);
}

static void a_damaged_database_is_kept_and_a_new_one_begun(void **state)
{
	struct spool_fixture *f = *state;
	char path[512];
	opened(f);
	stored_number(f->sp, 1, 100);
	closed(f);
	snprintf(path, sizeof path, "%s/spool.db", f->dir);
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	fputs("no database at all", file);
	fclose(file);
	opened(f);
	assert_int_equal(spool_totals(f->sp, 1)->accepted, 0);
	assert_int_equal(stored_number(f->sp, 1, 100), STORE_COMMITTED);
	size_t kept = 0;
	DIR *d = opendir(f->dir);
	for (struct dirent *e; (e = readdir(d));)
		kept += strncmp(e->d_name, "spool.corrupt-", 14) == 0 && strstr(e->d_name, ".db") && !strstr(e->d_name, ".db-");
	closedir(d);
	assert_int_equal(kept, 1);
}

static void volatile_file_systems_are_refused(void **state)
{
	struct spool_fixture *f = *state;
	f->s->spool_allow_volatile = false;
	f->s->spool_dir = (char[]){"/dev/shm/spool-test"};
	if (access("/dev/shm", W_OK) != 0)
		skip();
	assert_int_equal(spool_open(f->s, &f->sp, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "tmpfs"));
	rmdir(f->s->spool_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(the_batches_of_an_unclean_stop_are_maybe_delivered),
		SPOOL_TEST(what_is_there_after_three_unclean_stops_in_a_row_goes_as_it_is),
		SPOOL_TEST(a_spool_has_one_owner),
		SPOOL_TEST(a_newer_spool_or_another_database_is_refused),
		SPOOL_TEST(shards_change_only_while_nothing_waits),
		SPOOL_TEST(a_damaged_database_is_kept_and_a_new_one_begun),
		SPOOL_TEST(volatile_file_systems_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
