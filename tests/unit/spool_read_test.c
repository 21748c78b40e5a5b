/* Rows that are damaged, or that crash their reader, are never handed out. */
#include "tests/lib/spool_fixture.h"

static void a_payload_that_crashes_its_reader_three_times_is_set_aside(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	stored_number(f->sp, 2, 100);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
		for (int k = 1; k >= 0; k--) { /* the second one first: it was decoded well */
			spool_begin(f->sp);
			spool_note_decoding(f->sp, b[k].payload);
			assert_int_equal(spool_commit(f->sp, &why), SP_OK);
		}
		closed(f);
		/* What a kill would have left. */
		char sql[256];
		snprintf(sql, sizeof sql,
			"UPDATE meta SET value = 0 WHERE key = 'clean'; INSERT INTO decoding VALUES (%d, %d, 1)", (int)b[0].payload, i);
		edit(f, sql);
		opened(f);
	}
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 1);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 2)->dead_lettered, DELIVERY_SAMPLES);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 8);
	assert_books(f->sp);
}

static void a_damaged_payload_is_never_handed_out(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	stored_number(f->sp, 2, 100);
	closed(f);
	edit(f, "UPDATE payload SET body = CAST(substr(body, 1, 150) || x'00' || substr(body, 152) AS BLOB) WHERE id = 1");
	opened(f);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_null(payload_read(f->sp, &b[0]));
	struct payload *p = payload_read(f->sp, &b[1]);
	assert_non_null(p);
	payload_unref(&p);
	assert_int_equal(spool_sizes(f->sp).damaged_rows, 8);
	assert_int_equal(spool_totals(f->sp, 2)->dead_lettered, DELIVERY_SAMPLES);
	/* Somebody had a batch of it under way meanwhile: it is not counted twice. */
	settled(f->sp, b, 1, b[0].samples, NULL, 0);
	assert_int_equal(spool_totals(f->sp, 1)->delivered, 0);
	assert_books(f->sp);
	/* Three slices of each destination are intact. */
	struct edit e = replay_all(f->sp);
	assert_true(e.rows == 6 && e.refused == 2);
	assert_non_null(strstr(e.refusal, "damaged in the spool"));
	assert_books(f->sp);
	closed(f);
	edit(f, "CREATE TEMP TABLE t(n CHECK(n = 2)); "
			"INSERT INTO t SELECT count(*) FROM dead WHERE reason = 'crc' AND CAST(answer AS TEXT) LIKE '%damaged%'");
}

static void a_payload_that_cannot_be_read_takes_no_other_with_it(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 50000);
	stored_number(f->sp, 2, 100);
	closed(f);
	spool_damage_long_rows(f->dir);
	opened(f);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_null(payload_read(f->sp, &b[0]));
	struct payload *p = payload_read(f->sp, &b[1]);
	assert_non_null(p);
	payload_unref(&p);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, DELIVERY_SAMPLES);
	assert_books(f->sp);
}

static void a_damaged_batch_row_is_never_handed_out(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	stored_number(f->sp, 2, 100);
	closed(f);
	edit(f, "UPDATE batch SET off = off + 1 WHERE dest = 1 AND shard = 2 AND payload = 1");
	opened(f);
	assert_int_equal(listed(f->sp, 1, 2, b, 4), 1);
	assert_int_equal(b[0].payload > 1, true);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 12);
	assert_books(f->sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(a_payload_that_crashes_its_reader_three_times_is_set_aside),
		SPOOL_TEST(a_damaged_payload_is_never_handed_out),
		SPOOL_TEST(a_payload_that_cannot_be_read_takes_no_other_with_it),
		SPOOL_TEST(a_damaged_batch_row_is_never_handed_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
