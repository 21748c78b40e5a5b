#include "ship/spool/spool.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "ship/spool/edit.h"
#include "ship/spool/sources.h"
#include "ship/spool/spool_impl.h"
#include "tests/lib/spool_lib.h"

#include <dirent.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char *dir;
	struct settings *s;
	struct spool *sp;
};

static struct sp_why why;

static int set_up(void **state)
{
	struct fixture *f = sp_new(struct fixture);
	f->dir = spool_dir_new();
	f->s = spool_settings_new(f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	if (f->sp)
		assert_int_equal(spool_close(&f->sp, &why), SP_OK);
	spool_dir_remove(f->dir);
	sp_free(f->s);
	sp_free(f);
	return 0;
}

static void opened(struct fixture *f)
{
	if (spool_open(f->s, &f->sp, &why) != SP_OK)
		fail_msg("open: %s", why.text);
}

static void closed(struct fixture *f)
{
	assert_int_equal(spool_close(&f->sp, &why), SP_OK);
}

static enum store_result stored(struct spool *sp, const struct store_request *r)
{
	enum store_result result = STORE_ERROR;
	spool_begin(sp);
	spool_store(sp, r, NULL, NULL, &result);
	if (spool_commit(sp, &why) != SP_OK)
		fail_msg("store: %s", why.text);
	return result;
}

static enum store_result stored_number(struct spool *sp, uint64_t n, size_t size)
{
	struct delivery d;
	delivery_init(&d, n, size);
	enum store_result result = stored(sp, &d.r);
	delivery_clear(&d);
	return result;
}

static void settled(struct spool *sp, const struct batch *b, size_t n, uint64_t delivered, const struct dead_letter *dead, size_t n_dead)
{
	spool_begin(sp);
	spool_settle(sp, b, n, delivered, dead, n_dead);
	if (spool_commit(sp, &why) != SP_OK)
		fail_msg("settle: %s", why.text);
}

static size_t listed(struct spool *sp, uint32_t dest, uint32_t shard, struct batch *out, size_t max)
{
	size_t n = 0;
	bool more = true;
	assert_int_equal(spool_list(sp, dest, shard, 0, max, out, &n, &more, &why), SP_OK);
	return n;
}

static void assert_books(struct spool *sp)
{
	uint32_t wrong = 1;
	assert_int_equal(spool_check_books(sp, &wrong, &why), SP_OK);
	assert_int_equal(wrong, 0);
}

/* Changes the file as somebody with an editor would. */
static void edit(struct fixture *f, const char *sql)
{
	sqlite3 *db;
	char path[512], *text = NULL;
	snprintf(path, sizeof path, "%s/spool.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

static void what_is_stored_is_there_after_a_restart(void **state)
{
	struct fixture *f = *state;
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
			struct payload *p = NULL;
			assert_int_equal(listed(f->sp, dest, shard, b, 8), 1);
			assert_int_equal(b[0].samples, 10 + shard);
			assert_int_equal(b[0].flags, 0);
			assert_int_equal(spool_read(f->sp, b[0].payload, &p, &why), SP_OK);
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
	struct fixture *f = *state;
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

static void keys_are_forgotten_by_time(void **state)
{
	struct fixture *f = *state;
	opened(f);
	for (uint64_t n = 0; n < 5; n++)
		stored_number(f->sp, n, 100);
	closed(f);
	edit(f, "UPDATE accepted SET at_s = at_s - 3 * 3600 - 10 WHERE n <= 3");
	opened(f); /* with a first tick */
	assert_int_equal(spool_sizes(f->sp).ledger_keys, 2);
	assert_int_equal(stored_number(f->sp, 0, 100), STORE_COMMITTED);
	assert_int_equal(stored_number(f->sp, 4, 100), STORE_DUPLICATE);
}

static void a_rollback_undoes_everything(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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

static void there_is_a_limit_to_the_streams_that_are_watched(void **state)
{
	struct fixture *f = *state;
	struct sources *sources;
	char arn[16];
	double left_out = sp_metric_value(M_METRICS_LEFT_OUT, NULL);
	opened(f);
	assert_int_equal(sources_load(f->sp, 1000, &sources, &why), SP_OK);
	for (int i = 0; i < SOURCES_MAX; i++) {
		snprintf(arn, sizeof arn, "arn:%d", i);
		assert_true(sources_seen(sources, arn, SOURCE_SAVED_EVERY_MS));
	}
	assert_false(sources_seen(sources, "arn:one too many", SOURCE_SAVED_EVERY_MS));
	assert_true(sp_metric_value(M_METRICS_LEFT_OUT, NULL) == left_out + 1);
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:4999")) == SOURCE_SAVED_EVERY_MS / 1000.);
	assert_true(sources_seen(sources, "arn:7", 1000 + SOURCE_FORGOTTEN_MS));
	/* All others have been silent for too long: they make way. */
	assert_true(sources_seen(sources, "arn:new", SOURCE_SAVED_EVERY_MS + 1 + SOURCE_FORGOTTEN_MS));
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:4999")) == 0);
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:7")) > 0);
	sources_free(&sources);
}

static void a_payload_goes_with_its_last_batch(void **state)
{
	struct fixture *f = *state;
	struct batch b[2];
	struct payload *p = NULL;
	opened(f);
	stored_number(f->sp, 1, 100);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(listed(f->sp, 1 + i / 4, i % 4, b, 2), 1);
		assert_int_equal(spool_read(f->sp, b[0].payload, &p, &why), SP_OK);
		assert_non_null(p);
		payload_unref(&p);
		settled(f->sp, b, 1, b[0].samples, NULL, 0);
	}
	assert_int_equal(spool_read(f->sp, b[0].payload, &p, &why), SP_OK);
	assert_null(p);
	assert_int_equal(spool_totals(f->sp, 1)->delivered, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, 0);
	assert_int_equal(spool_totals(f->sp, 1)->oldest_ms, 0);
	/* Settling again changes nothing. */
	settled(f->sp, b, 1, b[0].samples, NULL, 0);
	assert_int_equal(spool_totals(f->sp, 2)->delivered, DELIVERY_SAMPLES);
	assert_books(f->sp);
}

static void every_sample_settled_is_delivered_dead_or_merged(void **state)
{
	struct fixture *f = *state;
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

static struct edit replay_all(struct spool *sp)
{
	struct edit e = {.verb = EDIT_REPLAY, .table = INSPECT_DEADLETTER};
	spool_begin(sp);
	edit_run(sp, &e, NULL, NULL, NULL);
	assert_int_equal(spool_commit(sp, &why), SP_OK);
	return e;
}

static struct edit purge_all(struct spool *sp, enum inspect_table table, const char *destination)
{
	struct edit e = {.verb = EDIT_PURGE, .table = table};
	snprintf(e.pick.destination, sizeof e.pick.destination, "%s", destination);
	spool_begin(sp);
	edit_run(sp, &e, NULL, NULL, NULL);
	assert_int_equal(spool_commit(sp, &why), SP_OK);
	return e;
}

static void what_is_purged_counts_as_dropped_and_once(void **state)
{
	struct fixture *f = *state;
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

static void a_full_spool_refuses_and_can_still_settle(void **state)
{
	struct fixture *f = *state;
	struct batch b[64];
	uint64_t n = 0;
	f->s->spool_max = 4 << 20;
	opened(f);
	while (stored_number(f->sp, n, 60000) == STORE_COMMITTED)
		n++;
	assert_in_range(n, 10, 16);
	assert_false(spool_knows(f->sp, (uint8_t[16]){(uint8_t)n, [15] = 1}));
	assert_in_range(spool_sizes(f->sp).used, 3 << 20, 4 << 20);
	while (!spool_is_full(f->sp)) /* smaller ones still fit */
		stored_number(f->sp, ++n, 1000);
	static uint8_t body[100000] = {100}; /* what it would be uncompressed */
	struct dead_letter dead = {.dest = 1, .reason = "rejected", .body = {body, sizeof body}, .samples = 10};
	assert_int_equal(listed(f->sp, 1, 0, b, 64) > 9, true);
	settled(f->sp, b, 1, 0, &dead, 1);
	assert_int_equal(replay_all(f->sp).status, SP_FULL);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 1);
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++)
			for (size_t k; (k = listed(f->sp, dest, shard, b, 64)) > 0;)
				settled(f->sp, b, k, 1, NULL, 0);
	assert_false(spool_is_full(f->sp));
	assert_int_equal(replay_all(f->sp).rows, 1);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 0);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, 10);
	assert_int_equal(stored_number(f->sp, 1000, 60000), STORE_COMMITTED);
	assert_books(f->sp);
}

static void note_batch_of_1(void *arg, const struct batch *b, const struct store_group *g)
{
	(void)g;
	if (b->dest == 1)
		((struct batch *)arg)[b->shard] = *b;
}

/* n deliveries of 4 x 1000 bytes for both destinations; 1 takes all at once, 2 nothing. Returns how many were committed. */
static uint64_t fill_queue_of_2(struct fixture *f, uint64_t n, enum store_result *last)
{
	uint64_t committed = 0;
	for (uint64_t i = 1; i <= n; i++) {
		struct delivery d;
		struct batch made[4];
		delivery_init(&d, i, 1000);
		spool_begin(f->sp);
		spool_store(f->sp, &d.r, note_batch_of_1, made, last);
		if (*last == STORE_COMMITTED)
			spool_settle(f->sp, made, 4, DELIVERY_SAMPLES, NULL, 0);
		assert_int_equal(spool_commit(f->sp, &why), SP_OK);
		delivery_clear(&d);
		committed += *last == STORE_COMMITTED;
	}
	return committed;
}

#define QUEUED_BYTES (4 * (1000 + BATCH_ROW_BYTES)) /* by one of them */

static void a_full_queue_refuses_what_concerns_it(void **state)
{
	struct fixture *f = *state;
	enum store_result last;
	struct delivery d;
	struct batch b[1];
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 25, &last), 20);
	assert_int_equal(last, STORE_FULL);
	assert_true(spool_totals(f->sp, 2)->full);
	assert_int_equal(spool_totals(f->sp, 2)->refused, 5);
	assert_false(spool_is_full(f->sp));
	delivery_init(&d, 100, 1000);
	d.group.n_dests = 1; /* the other one */
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	delivery_clear(&d);
	/* Room for one is not enough to take data again: there is a low mark. */
	for (uint32_t k = 0; k < 2; k++) {
		assert_int_equal(stored_number(f->sp, 26, 1000), STORE_FULL);
		for (uint32_t shard = 0; shard < 4; shard++) {
			assert_int_equal(listed(f->sp, 2, shard, b, 1), 1);
			settled(f->sp, b, 1, b[0].samples, NULL, 0);
		}
	}
	assert_int_equal(stored_number(f->sp, 26, 1000), STORE_FULL);
	closed(f);
	opened(f);
	assert_int_equal(spool_totals(f->sp, 2)->bytes, 18 * QUEUED_BYTES);
	assert_int_equal(stored_number(f->sp, 26, 1000), STORE_COMMITTED);
	assert_int_equal(spool_totals(f->sp, 2)->dropped, 0);
	assert_books(f->sp);
}

static void an_empty_queue_takes_a_delivery_of_any_size(void **state)
{
	struct fixture *f = *state;
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	opened(f);
	assert_int_equal(stored_number(f->sp, 1, 30000), STORE_COMMITTED);
	assert_true((int64_t)spool_totals(f->sp, 2)->bytes > f->s->dests[1].queue_max);
	assert_int_equal(stored_number(f->sp, 2, 100), STORE_FULL);
}

static void a_full_queue_drops_its_newest_and_nobody_elses(void **state)
{
	static char drop[] = "drop";
	struct fixture *f = *state;
	enum store_result last;
	struct batch b[32];
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	f->s->dests[1].on_full = drop;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 25, &last), 25);
	const struct writer_totals *one = spool_totals(f->sp, 1), *two = spool_totals(f->sp, 2);
	assert_int_equal(one->delivered, 25 * DELIVERY_SAMPLES);
	assert_int_equal(two->accepted, 25 * DELIVERY_SAMPLES);
	assert_int_equal(two->dropped, 5 * DELIVERY_SAMPLES);
	assert_int_equal(two->spooled, 20 * DELIVERY_SAMPLES);
	assert_books(f->sp);
	assert_int_equal(listed(f->sp, 2, 0, b, 32), 20);
	for (size_t i = 0; i < 20; i++) {
		struct payload *p = NULL;
		assert_int_equal(spool_read(f->sp, b[i].payload, &p, &why), SP_OK);
		assert_int_equal(slice_number(p->bytes + b[i].off), i + 1);
		payload_unref(&p);
	}
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM payload", DB_NO_ARGS), 20);
}

/* Small deliveries take more of the spool than of the queue, so the spool is looked at too. */
static void what_drops_never_fills_the_spool(void **state)
{
	static char drop[] = "drop";
	struct fixture *f = *state;
	enum store_result last;
	f->s->spool_max = 4 << 20;
	f->s->dests[1].queue_max = 3 << 20; /* the most that settings allow */
	f->s->dests[1].on_full = drop;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 800, &last), 800);
	assert_true(spool_totals(f->sp, 2)->dropped > 0);
	assert_books(f->sp);
}

static void one_sender_cannot_push_out_the_evidence_of_others(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[50000];
	struct store_quarantine q = {.reason = "bad_frame", .bytes = {bytes, sizeof bytes}};
	struct store_request r = {.quarantine = &q, .n_quarantine = 1, .key_name = "quiet", .bypass_ledger = true};
	f->s->spool_evidence_max = 1 << 20;
	opened(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stored(f->sp, &r), STORE_COMMITTED);
	r.key_name = "noisy";
	for (int i = 0; i < 100; i++)
		assert_int_equal(stored(f->sp, &r), STORE_COMMITTED);
	assert_in_range(spool_sizes(f->sp).quarantine_bytes, 900000, 1 << 20);
	uint64_t expired = spool_sizes(f->sp).quarantine_expired;
	enum store_result result;
	assert_true(expired > 80);
	spool_begin(f->sp);
	spool_store(f->sp, &r, NULL, NULL, &result);
	spool_rollback(f->sp);
	assert_int_equal(spool_sizes(f->sp).quarantine_expired, expired);
	closed(f);
	edit(f, "CREATE TEMP TABLE t(n CHECK(n = 3)); INSERT INTO t SELECT count(*) FROM quarantine WHERE sender = 'quiet'");
}

static void the_batches_of_an_unclean_stop_are_maybe_delivered(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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

static void a_payload_that_crashes_its_reader_three_times_is_set_aside(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	struct batch b[4];
	struct payload *p = NULL;
	opened(f);
	stored_number(f->sp, 1, 100);
	stored_number(f->sp, 2, 100);
	closed(f);
	edit(f, "UPDATE payload SET body = CAST(substr(body, 1, 150) || x'00' || substr(body, 152) AS BLOB) WHERE id = 1");
	opened(f);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_int_equal(spool_read(f->sp, b[0].payload, &p, &why), SP_OK);
	assert_null(p);
	assert_int_equal(spool_read(f->sp, b[1].payload, &p, &why), SP_OK);
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
	struct fixture *f = *state;
	struct batch b[4];
	struct payload *p = NULL;
	opened(f);
	stored_number(f->sp, 1, 50000);
	stored_number(f->sp, 2, 100);
	closed(f);
	spool_damage_long_rows(f->dir);
	opened(f);
	assert_int_equal(listed(f->sp, 1, 0, b, 4), 2);
	assert_int_equal(spool_read(f->sp, b[0].payload, &p, &why), SP_OK);
	assert_null(p);
	assert_int_equal(spool_read(f->sp, b[1].payload, &p, &why), SP_OK);
	assert_non_null(p);
	payload_unref(&p);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, DELIVERY_SAMPLES);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, DELIVERY_SAMPLES);
	assert_books(f->sp);
}

static void a_damaged_batch_row_is_never_handed_out(void **state)
{
	struct fixture *f = *state;
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

static void a_spool_has_one_owner(void **state)
{
	struct fixture *f = *state;
	struct spool *second = NULL;
	opened(f);
	assert_int_equal(spool_open(f->s, &second, &why), SP_LOCKED);
	assert_int_equal(spool_open_to_read(f->s, &second, &why), SP_LOCKED);
	assert_null(second);
}

static void a_newer_spool_or_another_database_is_refused(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
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

static void numbers_are_not_used_again_after_a_restart(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	struct delivery d;
	opened(f);
	delivery_init(&d, 1, 100);
	d.slices[3].off = 301;
	assert_int_equal(stored(f->sp, &d.r), STORE_ERROR);
	assert_false(spool_knows(f->sp, d.r.key));
	delivery_clear(&d);
}

static void a_damaged_database_is_kept_and_a_new_one_begun(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	f->s->spool_allow_volatile = false;
	f->s->spool_dir = (char[]){"/dev/shm/spool-test"};
	if (access("/dev/shm", W_OK) != 0)
		skip();
	assert_int_equal(spool_open(f->s, &f->sp, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "tmpfs"));
	rmdir(f->s->spool_dir);
}

static void too_little_free_space_refuses(void **state)
{
	struct fixture *f = *state;
	f->s->spool_min_free = INT64_C(1) << 60;
	opened(f);
	assert_true(spool_is_full(f->sp));
	assert_int_equal(stored_number(f->sp, 1, 100), STORE_FULL);
}

static void free_pages_are_given_back(void **state)
{
	struct fixture *f = *state;
	struct batch b[64];
	bool more = false;
	f->s->spool_max = 512 << 20;
	opened(f);
	for (uint64_t n = 0; n < 20; n++)
		stored_number(f->sp, n, 1 << 20);
	for (uint32_t i = 0; i < 8; i++)
		settled(f->sp, b, listed(f->sp, 1 + i / 4, i % 4, b, 64), 0, NULL, 0);
	int steps = 0;
	do
		assert_int_equal(spool_vacuum(f->sp, &more, &why), SP_OK);
	while (more && ++steps < 1000);
	assert_in_range(steps, 5, 100);
	assert_int_equal(spool_checkpoint(f->sp, true, &why), SP_OK);
	assert_books(f->sp);
}

/* ---- lanes ---- */

static void with_lanes(struct fixture *f, const char *default_lane, int64_t max)
{
	static char by[] = "key";
	f->s->n_dests = 1;
	f->s->dests[0].lanes_by = by;
	f->s->dests[0].lanes_max = max;
	f->s->dests[0].lanes_default = (char *)default_lane;
}

/* Delivery n, its first two slices (21 samples) of the first lane, the others (25) of the second, if there is one. */
static enum store_result stored_for_lanes(struct fixture *f, uint64_t n, size_t size, const char *first, const char *second)
{
	struct delivery d;
	delivery_init(&d, n, size);
	d.group.n_dests = 1;
	d.group.lane = first;
	d.group.merged = 1;
	struct store_group groups[2] = {d.group, d.group};
	if (second) {
		groups[0].n_slices = groups[1].n_slices = 2;
		groups[1].slices = d.slices + 2;
		groups[1].lane = second;
		groups[1].merged = 0;
		groups[1].dropped = 2;
		d.r.n_groups = 2;
	}
	d.r.groups = groups;
	enum store_result result = stored(f->sp, &d.r);
	delivery_clear(&d);
	return result;
}

static const struct writer_totals *totals_of(struct fixture *f, const char *name)
{
	uint32_t id = spool_dest_id(f->sp, name);
	assert_int_not_equal(id, 0);
	return spool_totals(f->sp, id);
}

static void each_lane_has_its_own_rows_and_books(void **state)
{
	struct fixture *f = *state;
	struct batch b[8];
	with_lanes(f, NULL, 10);
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", "zeta/2"), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "zeta/2", "third"), STORE_COMMITTED);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(spool_dest_name(f->sp, 2), "a/acme");
		assert_int_equal(totals_of(f, "a/acme")->accepted, 21 + 1);
		assert_int_equal(totals_of(f, "a/acme")->merged, 1);
		assert_int_equal(totals_of(f, "a/zeta/2")->accepted, 25 + 2 + 21 + 1);
		assert_int_equal(totals_of(f, "a/zeta/2")->dropped, 2);
		assert_int_equal(totals_of(f, "a/third")->spooled, 25);
		assert_int_equal(totals_of(f, "a")->accepted, 0);
		assert_int_equal(listed(f->sp, spool_dest_id(f->sp, "a/zeta/2"), 0, b, 8), 1);
		assert_books(f->sp);
		closed(f);
		opened(f);
	}
}

static void a_lane_that_was_not_committed_is_forgotten(void **state)
{
	struct fixture *f = *state;
	enum store_result result;
	struct delivery d;
	with_lanes(f, NULL, 1);
	opened(f);
	delivery_init(&d, 1, 100);
	d.group.n_dests = 1;
	d.group.lane = "acme";
	spool_begin(f->sp);
	spool_store(f->sp, &d.r, NULL, NULL, &result);
	assert_int_equal(spool_dest_id(f->sp, "a/acme"), 2);
	spool_rollback(f->sp);
	delivery_clear(&d);
	assert_int_equal(spool_dest_id(f->sp, "a/acme"), 0);
	assert_int_equal(spool_max_dest_id(f->sp), 1);
	assert_int_equal(stored_for_lanes(f, 1, 100, "other", "other"), STORE_COMMITTED);
	assert_int_equal(spool_dest_id(f->sp, "a/other"), 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dest", DB_NO_ARGS), 2);
	assert_books(f->sp);
}

static void what_can_have_no_lane_is_a_dead_letter_of_the_destination(void **state)
{
	struct fixture *f = *state;
	with_lanes(f, NULL, 1);
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", ""), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "acme", "second"), STORE_COMMITTED);
	assert_int_equal(totals_of(f, "a/acme")->spooled, 2 * 21);
	assert_int_equal(totals_of(f, "a")->dead_lettered, 2 * 25);
	assert_int_equal(totals_of(f, "a")->dropped, 2 * 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dead WHERE reason = 'bad_lane'", DB_NO_ARGS), 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dead WHERE reason = 'lane_limit'", DB_NO_ARGS), 2);
	assert_books(f->sp);
}

static void the_default_lane_takes_what_has_none(void **state)
{
	struct fixture *f = *state;
	with_lanes(f, "rest", 2);
	sp_map_put(&f->s->dests[0].lanes_map, "acme", "tenant-1");
	sp_map_put(&f->s->dests[0].lanes_map, "beta", "tenant-2");
	sp_map_put(&f->s->dests[0].lanes_map, "late", "tenant-3");
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", ""), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "unknown", "late"), STORE_COMMITTED);
	assert_int_equal(totals_of(f, "a/acme")->spooled, 21);
	assert_int_equal(totals_of(f, "a/rest")->spooled, 25 + 21 + 25); /* and "late" is one too many */
	assert_int_equal(totals_of(f, "a")->dead_lettered, 0);
	assert_books(f->sp);
	closed(f);
	sp_map_free(&f->s->dests[0].lanes_map);
}

/* Is a delivery for this lane queued? */
static bool is_taken(struct fixture *f, uint64_t n, const char *lane)
{
	uint32_t id = spool_dest_id(f->sp, lane);
	uint64_t batches = id ? spool_totals(f->sp, id)->batches : 0;
	(void)stored_for_lanes(f, n, 1000, lane + 2, NULL);
	return totals_of(f, lane)->batches > batches;
}

static void empty_lane(struct fixture *f, const char *lane)
{
	struct batch b[8];
	for (uint32_t shard = 0; shard < 4; shard++) {
		size_t n = listed(f->sp, spool_dest_id(f->sp, lane), shard, b, 8);
		for (size_t i = 0; i < n; i++)
			settled(f->sp, &b[i], 1, b[i].samples, NULL, 0);
	}
}

/* They fill all but a part of the queue of their destination: what others have under way finds room. */
static void lanes_that_are_away_leave_room_for_the_others(void **state)
{
	static char drop[] = "drop";
	struct fixture *f = *state;
	uint64_t n = 1;
	unsigned first = 0, second = 0;
	with_lanes(f, NULL, 10);
	f->s->dests[0].queue_max = 200 * QUEUED_BYTES;
	opened(f);
	while (is_taken(f, n++, "a/away"))
		first++;
	assert_in_range(first, 175, 178);
	assert_int_equal(totals_of(f, "a/away")->refused, 1);
	closed(f);
	f->s->dests[0].on_full = drop;
	opened(f);
	while (is_taken(f, n++, "a/second"))
		second++;
	assert_in_range(second, 18, 21);
	assert_int_equal(totals_of(f, "a/second")->dropped, DELIVERY_SAMPLES);
	for (int i = 0; i < 3; i++) {
		assert_true(is_taken(f, n++, "a/well"));
		assert_true(is_taken(f, n++, "a/well"));
		empty_lane(f, "a/well");
	}
	assert_false(totals_of(f, "a/well")->full);
	assert_books(f->sp);
}

int main(void)
{
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(what_is_stored_is_there_after_a_restart),
		SPOOL_TEST(a_repeat_is_a_duplicate_also_in_the_same_group_and_after_a_restart),
		SPOOL_TEST(keys_are_forgotten_by_time),
		SPOOL_TEST(a_rollback_undoes_everything),
		SPOOL_TEST(nothing_is_kept_of_what_follows_a_failure),
		SPOOL_TEST(what_the_converter_left_out_is_in_the_books),
		SPOOL_TEST(a_delivery_of_dead_letters_alone_keeps_no_payload),
		SPOOL_TEST(there_is_a_limit_to_the_streams_that_are_watched),
		SPOOL_TEST(a_payload_goes_with_its_last_batch),
		SPOOL_TEST(every_sample_settled_is_delivered_dead_or_merged),
		SPOOL_TEST(what_is_purged_counts_as_dropped_and_once),
		SPOOL_TEST(a_full_spool_refuses_and_can_still_settle),
		SPOOL_TEST(a_full_queue_refuses_what_concerns_it),
		SPOOL_TEST(an_empty_queue_takes_a_delivery_of_any_size),
		SPOOL_TEST(a_full_queue_drops_its_newest_and_nobody_elses),
		SPOOL_TEST(what_drops_never_fills_the_spool),
		SPOOL_TEST(each_lane_has_its_own_rows_and_books),
		SPOOL_TEST(a_lane_that_was_not_committed_is_forgotten),
		SPOOL_TEST(what_can_have_no_lane_is_a_dead_letter_of_the_destination),
		SPOOL_TEST(the_default_lane_takes_what_has_none),
		SPOOL_TEST(lanes_that_are_away_leave_room_for_the_others),
		SPOOL_TEST(one_sender_cannot_push_out_the_evidence_of_others),
		SPOOL_TEST(the_batches_of_an_unclean_stop_are_maybe_delivered),
		SPOOL_TEST(what_is_there_after_three_unclean_stops_in_a_row_goes_as_it_is),
		SPOOL_TEST(a_payload_that_crashes_its_reader_three_times_is_set_aside),
		SPOOL_TEST(a_damaged_payload_is_never_handed_out),
		SPOOL_TEST(a_damaged_batch_row_is_never_handed_out),
		SPOOL_TEST(a_payload_that_cannot_be_read_takes_no_other_with_it),
		SPOOL_TEST(a_spool_has_one_owner),
		SPOOL_TEST(a_newer_spool_or_another_database_is_refused),
		SPOOL_TEST(shards_change_only_while_nothing_waits),
		SPOOL_TEST(numbers_are_not_used_again_after_a_restart),
		SPOOL_TEST(slices_outside_their_bytes_are_an_error),
		SPOOL_TEST(a_damaged_database_is_kept_and_a_new_one_begun),
		SPOOL_TEST(volatile_file_systems_are_refused),
		SPOOL_TEST(too_little_free_space_refuses),
		SPOOL_TEST(free_pages_are_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
