/* What is stored and settled, and the books about it. */
#include "tests/lib/spool_fixture.h"

static void what_is_stored_is_there_after_a_restart(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[8];
	opened(f);
	uint8_t id[16];
	memcpy(id, spool_id(f->sp), 16);
	assert_int_equal(stored_number(f->sp, 7, 20000), STORE_COMMITTED);
	closed(f);
	opened(f);
	assert_memory_equal(id, spool_id(f->sp), 16);
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++) {
			assert_int_equal(listed(f->sp, dest, shard, b, 8), 1);
			assert_int_equal(b[0].samples, 10 + shard);
			assert_int_equal(b[0].flags, 0);
			struct payload *p = payload_read(f->sp, &b[0]);
			assert_non_null(p);
			assert_true(slice_is_whole(p->bytes + b[0].off, b[0].len));
			assert_int_equal(slice_number(p->bytes + b[0].off), 7);
			assert_true(sp_eq(sp_bytes(p->bytes + p->n, p->n_info), SP_LIT("info")));
			payload_unref(&p);
		}
	assert_int_equal(spool_totals(f->sp, 1)->spooled, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 2)->accepted, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 1)->oldest_ms, 1700000000000 + 7 * 60000);
	assert_books(f->sp);
}

static void a_repeat_is_a_duplicate_also_in_the_same_group_and_after_a_restart(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	enum store_result first, second;
	opened(f);
	delivery_init(&d, 1, 100);
	spool_begin(f->sp);
	spool_store(f->sp, &d.r, NULL, NULL, &first);
	spool_store(f->sp, &d.r, NULL, NULL, &second);
	assert_int_equal(spool_commit(f->sp, &why), SP_OK);
	assert_int_equal(first, STORE_COMMITTED);
	assert_int_equal(second, STORE_DUPLICATE);
	closed(f);
	opened(f);
	assert_int_equal(stored(f->sp, &d.r), STORE_DUPLICATE);
	assert_true(spool_knows(f->sp, d.r.key));
	d.r.bypass_ledger = true;
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, 2 * DELIVERY_SAMPLES);
	delivery_clear(&d);
}

static void a_rollback_undoes_everything(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	struct batch b[2];
	enum store_result result;
	struct store_quarantine q = {.reason = "bad_frame", .bytes = SP_LIT("x")};
	opened(f);
	stored_number(f->sp, 1, 100);
	struct writer_totals before = *spool_totals(f->sp, 1);
	delivery_init(&d, 2, 100);
	d.r.quarantine = &q;
	d.r.n_quarantine = 1;
	assert_int_equal(listed(f->sp, 1, 0, b, 2), 1);
	spool_begin(f->sp);
	spool_store(f->sp, &d.r, NULL, NULL, &result);
	spool_settle(f->sp, b, 1, 10, NULL, 0);
	spool_rollback(f->sp);
	assert_memory_equal(&before, spool_totals(f->sp, 1), sizeof before);
	assert_int_equal(spool_sizes(f->sp).quarantine_rows, 0);
	assert_false(spool_knows(f->sp, d.r.key));
	assert_int_equal(listed(f->sp, 1, 0, b, 2), 1);
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	assert_books(f->sp);
	delivery_clear(&d);
}

static void a_batch_made(void *arg, const struct batch *b, const struct store_group *g)
{
	(void)b, (void)g;
	++*(int *)arg;
}

/* A full disk makes SQLite roll back in the middle: what comes after it must not be committed one by one. */
static void nothing_is_kept_of_what_follows_a_failure(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	struct batch b[3];
	enum store_result result;
	int made = 0;
	opened(f);
	stored_number(f->sp, 1, 100);
	assert_int_equal(listed(f->sp, 1, 0, b, 3), 1);
	delivery_init(&d, 2, 100);
	spool_begin(f->sp);
	db_run(f->sp->db, "INSERT OR ROLLBACK INTO meta(key, value) VALUES ('clean', 1)", DB_NO_ARGS);
	spool_store(f->sp, &d.r, a_batch_made, &made, &result);
	spool_settle(f->sp, b, 1, 10, NULL, 0);
	assert_int_equal(spool_commit(f->sp, &why), SP_IO);
	assert_non_null(strstr(why.text, "UNIQUE"));
	spool_rollback(f->sp);
	assert_int_equal(made, 0);
	assert_false(spool_knows(f->sp, d.r.key));
	closed(f);
	opened(f);
	assert_int_equal(listed(f->sp, 1, 0, b, 3), 1);
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	assert_books(f->sp);
	delivery_clear(&d);
}

static void what_the_converter_left_out_is_in_the_books(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	struct batch b[2];
	opened(f);
	delivery_init(&d, 1, 100); /* four slices of 10, 11, 12 and 13 samples, for two destinations */
	d.group.dropped = 5;
	d.group.merged = 3;
	d.slices[1].dead_reason = "label_limit";
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	for (int i = 0; i < 2; i++) {
		const struct writer_totals *t = spool_totals(f->sp, 2);
		assert_int_equal(t->accepted, 46 + 5 + 3);
		assert_int_equal(t->spooled, 35);
		assert_int_equal(t->dead_lettered, 11);
		assert_int_equal(t->dropped, 5);
		assert_int_equal(t->merged, 3);
		assert_int_equal(spool_sizes(f->sp).dead_rows, 2);
		assert_int_equal(listed(f->sp, 1, 1, b, 2), 0);
		assert_int_equal(listed(f->sp, 1, 2, b, 2), 1);
		assert_books(f->sp);
		closed(f);
		if (i == 0)
			opened(f);
	}
	edit(f, "CREATE TABLE proof(x CHECK (x)); INSERT INTO proof SELECT info = CAST('info' AS BLOB) FROM payload;"
		"INSERT INTO proof SELECT reason = 'label_limit' AND sender = 'prod' AND samples = 11 AND length(body) = 100 FROM dead");
	delivery_clear(&d);
}

static void a_delivery_of_dead_letters_alone_keeps_no_payload(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	opened(f);
	delivery_init(&d, 1, 100);
	for (int i = 0; i < 4; i++)
		d.slices[i].dead_reason = "label_limit";
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 46);
	assert_int_equal(spool_totals(f->sp, 1)->batches, 0);
	assert_books(f->sp);
	closed(f);
	edit(f, "CREATE TABLE proof(x CHECK (x = 0)); INSERT INTO proof SELECT count(*) FROM payload");
	delivery_clear(&d);
}

static void a_payload_goes_with_its_last_batch(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[2];
	opened(f);
	stored_number(f->sp, 1, 100);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(listed(f->sp, 1 + i / 4, i % 4, b, 2), 1);
		struct payload *p = payload_read(f->sp, &b[0]);
		assert_non_null(p);
		payload_unref(&p);
		settled(f->sp, b, 1, b[0].samples, NULL, 0);
	}
	assert_null(payload_read(f->sp, &b[0]));
	assert_int_equal(spool_totals(f->sp, 1)->delivered, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, 0);
	assert_int_equal(spool_totals(f->sp, 1)->oldest_ms, 0);
	/* Settling again changes nothing. */
	settled(f->sp, b, 1, b[0].samples, NULL, 0);
	assert_int_equal(spool_totals(f->sp, 2)->delivered, DELIVERY_SAMPLES);
	assert_books(f->sp);
}

static int64_t reached(struct spool *sp, uint32_t dest, uint32_t shard)
{
	struct batch b;
	size_t n;
	bool more;
	int64_t ms;
	assert_int_equal(spool_list(sp, dest, shard, 0, 1, &b, &n, &more, &ms, &why), SP_OK);
	return ms;
}

static void how_far_each_shard_has_come_is_remembered(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	struct dead_letter dead = {.dest = 1, .reason = "rejected", .body = SP_LIT("body"), .series = 1, .samples = DELIVERY_SAMPLES / 4};
	opened(f);
	for (uint64_t n = 1; n <= 3; n++)
		stored_number(f->sp, n, 100);
	assert_int_equal(listed(f->sp, 1, 2, b, 4), 3);
	assert_int_equal(reached(f->sp, 1, 2), 0);
	settled(f->sp, b, 1, b[0].samples, NULL, 0);
	assert_int_equal(reached(f->sp, 1, 2), b[0].max_ms);
	assert_int_equal(reached(f->sp, 1, 1), 0);
	assert_int_equal(reached(f->sp, 2, 2), 0);
	dead.samples = b[2].samples;
	settled(f->sp, b + 2, 1, 0, &dead, 1); /* not that it is delivered */
	assert_int_equal(reached(f->sp, 1, 2), b[0].max_ms);
	size_t n = listed(f->sp, 2, 2, b + 3, 1);
	assert_int_equal(n, 1);
	dead = (struct dead_letter){.dest = 2, .reason = "maybe_duplicate", .body = SP_LIT("body"), .series = 1, .samples = b[3].samples};
	settled(f->sp, b + 3, 1, 0, &dead, 1); /* this may well be there */
	assert_int_equal(reached(f->sp, 2, 2), b[3].max_ms);
	spool_begin(f->sp);
	b[1].max_ms += 1000;
	spool_settle(f->sp, b + 1, 1, b[1].samples, NULL, 0);
	spool_rollback(f->sp);
	settled(f->sp, b + 1, 1, b[1].samples, NULL, 0);
	closed(f);
	opened(f);
	assert_int_equal(reached(f->sp, 1, 2), b[1].max_ms);
	assert_int_equal(reached(f->sp, 1, 1), 0);
	for (uint32_t shard = 0; shard < 4; shard++) { /* with another number of shards series are in others */
		n = listed(f->sp, 1, shard, b, 4);
		for (size_t i = 0; i < n; i++)
			settled(f->sp, b + i, 1, b[i].samples, NULL, 0);
	}
	int64_t newest = reached(f->sp, 1, 0);
	closed(f);
	f->s->dests[0].shards = 8;
	opened(f);
	closed(f);
	opened(f);
	for (uint32_t shard = 0; shard < 8; shard++)
		assert_int_equal(reached(f->sp, 1, shard), newest);
}

static void every_sample_settled_is_delivered_dead_or_merged(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4];
	struct dead_letter dead = {.dest = 1, .reason = "rejected", .http_status = 400, .answer = SP_LIT("too old"),
		.body = SP_LIT("body"), .series = 1, .samples = 3};
	opened(f);
	stored_number(f->sp, 1, 100);
	stored_number(f->sp, 2, 100);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	dead.seq = b[0].seq;
	settled(f->sp, b, 2, 15, &dead, 1);
	const struct writer_totals *t = spool_totals(f->sp, 1);
	assert_int_equal(t->delivered, 15);
	assert_int_equal(t->dead_lettered, 3);
	assert_int_equal(t->merged, 2);
	assert_int_equal(t->spooled, 2 * DELIVERY_SAMPLES - 20);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 1);
	closed(f);
	edit(f, "UPDATE dead SET at_ms = 0");
	opened(f);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 0);
	assert_int_equal(spool_totals(f->sp, 1)->expired, 3);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 0);
	assert_int_equal(spool_sizes(f->sp).dead_expired, 1);
	assert_books(f->sp);
}

static void a_damaged_dead_letter_stays_and_the_others_go(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[2];
	const struct dead_letter dead[] = {{.dest = 1, .reason = "rejected", .body = SP_LIT("\1a"), .samples = 3},
	    {.dest = 1, .reason = "rejected", .body = SP_LIT("\1b"), .samples = 4}};
	opened(f);
	stored_number(f->sp, 1, 100);
	assert_int_equal(listed(f->sp, 1, 0, b, 2), 1);
	settled(f->sp, b, 1, b[0].samples - 7, dead, 2);
	closed(f);
	edit(f, "UPDATE dead SET body = X'0163' WHERE id = 1");
	opened(f);
	struct edit e = replay_all(f->sp);
	assert_true(e.rows == 1 && e.refused == 1);
	assert_string_equal(e.refusal, "dead letter 1: its bytes are damaged");
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 3);
	assert_books(f->sp);
}

static void what_is_purged_counts_as_dropped_and_once(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[2], late[1];
	struct dead_letter dead = {.dest = 1, .reason = "rejected", .body = SP_LIT("body"), .samples = 3};
	const struct writer_totals *t;
	opened(f);
	stored_number(f->sp, 1, 100);
	assert_int_equal(listed(f->sp, 1, 0, b, 2), 1);
	assert_int_equal(listed(f->sp, 1, 1, late, 1), 1);
	settled(f->sp, b, 1, b[0].samples - 3, &dead, 1);
	assert_int_equal(purge_all(f->sp, INSPECT_DEADLETTER, "a").samples, 3);
	t = spool_totals(f->sp, 1);
	assert_true(t->dead_lettered == 0 && t->dropped == 3);
	assert_books(f->sp);
	assert_int_equal(purge_all(f->sp, INSPECT_SPOOL, "a").rows, 3);
	assert_int_equal(spool_totals(f->sp, 1)->dropped, DELIVERY_SAMPLES - b[0].samples + 3);
	assert_int_equal(spool_totals(f->sp, 2)->spooled, DELIVERY_SAMPLES);
	/* The answer to a request that was out comes now. */
	settled(f->sp, late, 1, late[0].samples - 3, &dead, 1);
	t = spool_totals(f->sp, 1);
	assert_true(t->dead_lettered == 0 && t->merged == 0 && t->delivered == b[0].samples - 3);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 0);
	assert_books(f->sp);
}

static void numbers_are_not_used_again_after_a_restart(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[4], again[4];
	opened(f);
	stored_number(f->sp, 1, 100);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(listed(f->sp, 1 + i / 4, i % 4, b, 4), 1);
		settled(f->sp, b, 1, 0, NULL, 0);
	}
	closed(f);
	opened(f);
	stored_number(f->sp, 2, 100);
	assert_int_equal(listed(f->sp, 1, 0, again, 4), 1);
	assert_true(again[0].seq > b[0].seq && again[0].payload > b[0].payload);
}

static void slices_outside_their_bytes_are_an_error(void **state)
{
	struct spool_fixture *f = *state;
	struct delivery d;
	opened(f);
	delivery_init(&d, 1, 100);
	d.slices[3].off = 301;
	assert_int_equal(stored(f->sp, &d.r), STORE_ERROR);
	assert_false(spool_knows(f->sp, d.r.key));
	delivery_clear(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(what_is_stored_is_there_after_a_restart),
		SPOOL_TEST(a_repeat_is_a_duplicate_also_in_the_same_group_and_after_a_restart),
		SPOOL_TEST(a_rollback_undoes_everything),
		SPOOL_TEST(nothing_is_kept_of_what_follows_a_failure),
		SPOOL_TEST(what_the_converter_left_out_is_in_the_books),
		SPOOL_TEST(a_delivery_of_dead_letters_alone_keeps_no_payload),
		SPOOL_TEST(a_payload_goes_with_its_last_batch),
		SPOOL_TEST(how_far_each_shard_has_come_is_remembered), SPOOL_TEST(every_sample_settled_is_delivered_dead_or_merged),
		SPOOL_TEST(a_damaged_dead_letter_stays_and_the_others_go),
		SPOOL_TEST(what_is_purged_counts_as_dropped_and_once),
		SPOOL_TEST(numbers_are_not_used_again_after_a_restart),
		SPOOL_TEST(slices_outside_their_bytes_are_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
