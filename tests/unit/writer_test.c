#include "ship/spool/writer.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "ship/spool/edit.h"
#include "ship/spool/spool_impl.h"
#include "tests/lib/spool_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DELIVERIES 300

struct fixture {
	char *dir;
	struct settings *s;
	struct sp_loop *loop;
	struct writer *w;
	struct delivery d[DELIVERIES];
	size_t answered, committed, duplicates, batches, with_payload, settled, looked;
	bool settle;
	uint64_t seqs[3][4]; /* last one seen, by destination and shard */
};

static struct sp_why why;
static atomic_int ahead_s, days_ahead;

/* libc's, for all of this program. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, t);
	t->tv_sec += clock == CLOCK_MONOTONIC ? ahead_s : clock == CLOCK_REALTIME ? days_ahead * 86400L : 0;
	return rc;
}

static void stop_late(void *arg)
{
	(void)arg;
	fail_msg("no answer in time");
}

static int set_up(void **state)
{
	struct fixture *f = sp_new(struct fixture);
	f->dir = spool_dir_new();
	f->s = spool_settings_new(f->dir);
	f->loop = sp_loop_new();
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	writer_close(&f->w);
	sp_loop_free(&f->loop);
	for (size_t i = 0; i < DELIVERIES; i++)
		delivery_clear(&f->d[i]);
	spool_dir_remove(f->dir);
	sp_free(f->s);
	sp_free(f);
	return 0;
}

static struct sp_loop *stopped;

static void stop_now(void *arg)
{
	(void)arg;
	sp_loop_stop(stopped);
}

static void run(struct fixture *f)
{
	struct sp_timer late = {0};
	sp_timer_set(f->loop, &late, 60000, stop_late, NULL);
	sp_loop_run(f->loop);
	sp_timer_cancel(f->loop, &late);
}

static void settle_done(void *arg)
{
	struct fixture *f = arg;
	f->settled++;
}

static void on_batch(void *arg, const struct batch *b, struct payload *p)
{
	struct fixture *f = arg;
	assert_true(b->seq > f->seqs[b->dest][b->shard]);
	f->seqs[b->dest][b->shard] = b->seq;
	f->batches++;
	if (p) {
		assert_true(slice_is_whole(p->bytes + b->off, b->len));
		assert_true(sp_eq(sp_bytes(p->bytes + p->n, p->n_info), SP_LIT("info")));
		f->with_payload++;
	}
	if (f->settle)
		writer_settle(f->w, b, 1, b->samples, NULL, 0, settle_done, f);
}

static void stored(void *arg, struct store_request *r, enum store_result result)
{
	struct fixture *f = arg;
	f->committed += result == STORE_COMMITTED;
	f->duplicates += result == STORE_DUPLICATE;
	assert_int_equal(writer_knows(f->w, r->key), WRITER_COMMITTED);
	if (++f->answered == DELIVERIES)
		sp_loop_stop(f->loop);
}

static void store_all(struct fixture *f, size_t distinct, size_t size)
{
	writer_on_batch(f->w, on_batch, NULL, f);
	for (size_t i = 0; i < DELIVERIES; i++) {
		delivery_init(&f->d[i], i % distinct, size);
		f->d[i].r.done = stored;
		f->d[i].r.arg = f;
		writer_store(f->w, &f->d[i].r);
		assert_int_not_equal(writer_knows(f->w, f->d[i].r.key), WRITER_UNKNOWN);
	}
	run(f);
}

static void each_delivery_is_answered_once_and_its_batches_come_first(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(writer_dest_id(f->w, "b"), 2);
	assert_int_equal(writer_dest_id(f->w, "c"), 0);
	assert_false(writer_is_full(f->w));
	assert_int_equal(writer_knows(f->w, (uint8_t[16]){9}), WRITER_UNKNOWN);
	store_all(f, 200, 1000);
	assert_int_equal(f->committed, 200);
	assert_int_equal(f->duplicates, 100);
	assert_int_equal(f->batches, 200 * 8);
	assert_int_equal(f->with_payload, 200 * 8);
	assert_int_equal(writer_totals(f->w, 1).spooled, 200 * DELIVERY_SAMPLES);
}

static void settling_in_the_callback_empties_the_spool(void **state)
{
	struct fixture *f = *state;
	f->settle = true;
	store_all(f, DELIVERIES, 100);
	writer_close(&f->w); /* finishes what the callbacks asked for */
	assert_int_equal(f->settled, DELIVERIES * 8);
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	for (uint32_t d = 1; d <= 2; d++) {
		assert_int_equal(writer_totals(f->w, d).delivered, DELIVERIES * DELIVERY_SAMPLES);
		assert_int_equal(writer_totals(f->w, d).spooled, 0);
	}
}

static void the_cache_is_bounded(void **state)
{
	struct fixture *f = *state;
	writer_close(&f->w);
	f->s->memory = 16 * 100000; /* the senders' part: room for one payload, but nobody keeps it */
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	store_all(f, DELIVERIES, 20000);
	assert_int_equal(f->batches, DELIVERIES * 8);
	assert_true(f->with_payload < f->batches);
	assert_int_equal(payload_bytes_held(), 0);
}

static void count_rows(struct spool *sp, void *arg)
{
	struct fixture *f = arg;
	f->looked = spool_totals(sp, 1)->batches;
}

static void read_done(void *arg, struct payload *p)
{
	struct fixture *f = arg;
	assert_non_null(p);
	assert_int_equal(p->n, 4000);
	sp_loop_stop(f->loop);
}

static void query_done(void *arg)
{
	struct fixture *f = arg;
	assert_int_equal(f->looked, DELIVERIES * 4);
}

static void list_done(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms)
{
	struct fixture *f = arg;
	assert_int_equal(reached_ms, 0);
	assert_int_equal(n, 100);
	assert_true(more);
	writer_query(f->w, count_rows, query_done, f);
	writer_mark_maybe(f->w, b, 2);
	writer_note_decoding(f->w, b[0].payload, settle_done, f);
	writer_read(f->w, b[0].payload, read_done, f);
}

static void lists_reads_and_queries_come_back_in_order(void **state)
{
	struct fixture *f = *state;
	store_all(f, DELIVERIES, 1000);
	writer_list(f->w, 2, 3, 0, 100, list_done, f);
	run(f);
	assert_int_equal(f->looked, DELIVERIES * 4);
}

static void bury_first(void *arg, const struct batch *b, struct payload *p)
{
	struct fixture *f = arg;
	static uint8_t body[200000];
	struct dead_letter dead = {.dest = b->dest, .reason = "rejected", .body = sp_bytes(body, sizeof body), .samples = b->samples};
	(void)p;
	if (f->batches++ == 0)
		writer_settle(f->w, b, 1, 0, &dead, 1, NULL, NULL);
}

static void one_committed(void *arg, struct store_request *r, enum store_result result)
{
	struct fixture *f = arg;
	(void)r;
	f->committed += result == STORE_COMMITTED;
	sp_loop_stop(f->loop);
}

static void store_again(struct fixture *f, size_t i)
{
	delivery_init(&f->d[i], i, 1000);
	f->d[i].r.done = one_committed;
	f->d[i].r.arg = f;
	writer_store(f->w, &f->d[i].r);
}

static void an_edit_of_damaged_rows_changes_nothing_and_stops_nobody(void **state)
{
	struct fixture *f = *state;
	struct edit e = {.verb = EDIT_REPLAY, .table = INSPECT_DEADLETTER};
	writer_on_batch(f->w, bury_first, NULL, f);
	store_again(f, 0);
	run(f);
	writer_close(&f->w);
	spool_damage_long_rows(f->dir);
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	writer_edit(f->w, &e, settle_done, f);
	store_again(f, 1);
	run(f);
	assert_int_equal(f->committed, 2);
	assert_int_equal(f->settled, 1);
	assert_int_equal(e.status, SP_BAD_DATA);
	assert_int_equal(writer_totals(f->w, 1).dead_lettered + writer_totals(f->w, 2).dead_lettered, 10);
	assert_int_equal(writer_totals(f->w, 1).spooled, 2 * DELIVERY_SAMPLES - 10);
}

static void dies(void *arg)
{
	(void)arg;
	_exit(0);
}

static void note_two(void *arg)
{
	struct fixture *f = arg;
	writer_note_decoding(f->w, 1, dies, NULL);
	writer_note_decoding(f->w, 2, stop_late, NULL);
	usleep(200000); /* long enough for the database thread to commit whatever it was given */
}

static void count_noted(struct spool *sp, void *arg)
{
	int64_t *noted = arg;
	for (int64_t id = 1; id <= 2; id++)
		noted[id] = db_number(sp->db, "SELECT strikes FROM decoding WHERE payload = ?1", DB_ARGS(db_int(id)));
	assert_int_equal(db_end(sp->db, &why), SP_OK);
}

/* Two want to decode at once, and the first ends the process: it alone gets the strike. */
static void the_blame_is_for_the_one_that_is_being_decoded(void **state)
{
	struct fixture *f = *state;
	struct sp_timer soon = {0};
	int64_t strikes[3] = {0};
	writer_close(&f->w);
	pid_t child = fork();
	if (child == 0) {
		if (writer_open(f->loop, f->s, &f->w, &why) == SP_OK) {
			sp_timer_set(f->loop, &soon, 0, note_two, f);
			run(f);
		}
		_exit(1);
	}
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	writer_query(f->w, count_noted, stop_now, strikes);
	stopped = f->loop;
	run(f);
	assert_int_equal(strikes[1], 1);
	assert_int_equal(strikes[2], 0);
}

static double last_received(const char *source)
{
	return sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L(source)) * 1000;
}

static void store_one(struct fixture *f, size_t i, uint64_t number, const char *source, int64_t received_ms)
{
	delivery_init(&f->d[i], number, 100);
	f->d[i].r.done = stored;
	f->d[i].r.arg = f;
	f->d[i].r.source_arn = source;
	f->d[i].r.received_ms = received_ms;
	f->answered = DELIVERIES - 1;
	writer_store(f->w, &f->d[i].r);
	run(f);
}

static void find_source(struct spool *sp, void *arg)
{
	*(int64_t *)arg = db_number(sp->db, "SELECT value FROM meta WHERE key = 'source arn:1'", DB_NO_ARGS);
	assert_int_equal(db_end(sp->db, &why), SP_OK);
}

static int64_t written(struct fixture *f)
{
	int64_t at_ms = 0;
	stopped = f->loop;
	writer_query(f->w, find_source, stop_now, &at_ms);
	run(f);
	return at_ms;
}

static void it_is_known_after_a_restart_when_a_stream_last_delivered(void **state)
{
	struct fixture *f = *state;
	int64_t now = sp_wall_ms() / 1000 * 1000;
	double left_out = sp_metric_value(M_METRICS_LEFT_OUT, NULL);
	store_one(f, 0, 0, "arn:1", now);
	assert_true(written(f) == now && last_received("arn:1") == (double)now);
	store_one(f, 1, 1, "arn:1", now + 1000);
	assert_true(written(f) == now && last_received("arn:1") == (double)now + 1000);
	store_one(f, 2, 2, "arn:1", now - 1000); /* not back in time */
	store_one(f, 3, 3, "arn:old", now - INT64_C(31) * 86400 * 1000);
	store_one(f, 4, 4, "not an ARN", now);
	assert_true(sp_metric_value(M_METRICS_LEFT_OUT, NULL) == left_out + 1);
	for (int i = 0; i < 2; i++) {
		writer_close(&f->w);
		assert_true(last_received("arn:1") == 0);
		if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
			fail_msg("open: %s", why.text);
		assert_true(last_received("arn:1") == (double)now + 1000 + 60000 * i);
		assert_true(last_received("arn:old") == 0 && last_received("not an ARN") == 0);
		store_one(f, 5 + (size_t)i, 0, "arn:1", now + 61000); /* a repeat shows too that the stream is alive */
		assert_int_equal(written(f), now + 61000);
	}
	assert_int_equal(f->duplicates, 2);
}

static void books_that_do_not_balance_are_known(void **state)
{
	struct fixture *f = *state;
	char path[512];
	sqlite3 *db;
	store_one(f, 0, 0, "arn:1", 1700000000000);
	assert_int_equal(writer_unbalanced(f->w), 0);
	writer_close(&f->w);
	snprintf(path, sizeof path, "%s/spool.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE counter SET value = value + 1 WHERE dest = 2", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	if (writer_open(f->loop, f->s, &f->w, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	assert_int_equal(writer_unbalanced(f->w), 1);
}

static void change_nothing(struct spool *sp, void *arg)
{
	(void)sp, (void)arg;
}

static void accept_one_too_many(struct spool *sp, void *arg)
{
	(void)arg;
	spool_change(sp, 1)->accepted++;
}

static void expect_one_more(struct spool *sp, void *arg)
{
	(void)arg;
	spool_change(sp, 1)->spooled++;
}

static void asked(struct fixture *f, void (*query)(struct spool *sp, void *arg))
{
	stopped = f->loop;
	writer_query(f->w, query, stop_now, NULL);
	sp_loop_run(f->loop);
}

/* A minute after the change; between the two further queries is what the thread does each second. */
static uint64_t unbalanced_after(struct fixture *f, void (*change)(struct spool *sp, void *arg))
{
	asked(f, change);
	ahead_s += 61;
	asked(f, change_nothing);
	asked(f, change_nothing);
	return writer_unbalanced(f->w);
}

static void the_books_are_checked_each_minute(void **state)
{
	struct fixture *f = *state;
	store_one(f, 0, 0, "arn:1", 1700000000000);
	assert_int_equal(unbalanced_after(f, change_nothing), 0);
	assert_int_equal(unbalanced_after(f, accept_one_too_many), 1);
	assert_int_equal(unbalanced_after(f, expect_one_more), 2); /* they add up again, but no batch has it */
	writer_metrics(f->w);
	assert_true(sp_metric_value(M_BOOKS_UNBALANCED, NULL) == 2);
}

static void evidence_expires_while_it_runs(void **state)
{
	struct fixture *f = *state;
	struct store_quarantine bad = {.reason = "bad_frame", .bytes = SP_LIT("x")};
	delivery_init(&f->d[0], 0, 100);
	f->d[0].slices[0].dead_reason = "too_many_labels";
	f->d[0].r.quarantine = &bad;
	f->d[0].r.n_quarantine = 1;
	f->d[0].r.done = stored;
	f->d[0].r.arg = f;
	f->answered = DELIVERIES - 1;
	writer_store(f->w, &f->d[0].r);
	run(f);
	for (int days = 29; days <= 31; days += 2) {
		bool over = days > 30;
		days_ahead = days;
		assert_int_equal(unbalanced_after(f, change_nothing), 0);
		writer_metrics(f->w);
		assert_true(sp_metric_value(M_DEADLETTER_ITEMS, NULL) == (over ? 0 : 2));
		assert_true(sp_metric_value(M_QUARANTINE_ITEMS, NULL) == !over);
		assert_true(sp_metric_value(M_QUARANTINE_EXPIRED, NULL) == over);
		assert_int_equal(writer_totals(f->w, 1).expired, over ? f->d[0].slices[0].samples : 0);
		assert_int_equal(writer_totals(f->w, 1).dead_lettered, over ? 0 : f->d[0].slices[0].samples);
	}
	days_ahead = 0;
}

int main(void)
{
#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WRITER_TEST(each_delivery_is_answered_once_and_its_batches_come_first),
		WRITER_TEST(settling_in_the_callback_empties_the_spool),
		WRITER_TEST(the_cache_is_bounded),
		WRITER_TEST(the_blame_is_for_the_one_that_is_being_decoded),
		WRITER_TEST(it_is_known_after_a_restart_when_a_stream_last_delivered),
		WRITER_TEST(an_edit_of_damaged_rows_changes_nothing_and_stops_nobody),
		WRITER_TEST(lists_reads_and_queries_come_back_in_order),
		WRITER_TEST(books_that_do_not_balance_are_known),
		WRITER_TEST(the_books_are_checked_each_minute),
		WRITER_TEST(evidence_expires_while_it_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
