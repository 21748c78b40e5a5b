/* What is left of the spool when its process is killed, when the power is cut, when a sync fails, when the disk is full, when bits flip.
 *
 * A child stores deliveries and says on a pipe which of them were answered; the parent opens what the child left. */
#include "common/alloc.h"
#include "common/log.h"
#include "ship/spool/edit.h"
#include "tests/lib/faulty_vfs.h"
#include "tests/lib/spool_lib.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DELIVERIES 120
#define WAVE 5
#define SLICE_BYTES 40000 /* 120 deliveries need more than one checkpoint */

static struct sp_why why;

/* ---- the child ---- */

enum plan { PLAN_CRASH, PLAN_LAZY_SYNC, PLAN_SYNC_FAILS, PLAN_DISK_FULL };

struct child {
	enum plan plan;
	int report;
	struct sp_loop *loop;
	struct writer *w;
	struct delivery d[DELIVERIES];
	size_t next, answered, settling, settled, full;
	struct sp_timer pause;
};

static sqlite3 *child_db;

static int catch_handle(sqlite3 *db, char **text, const struct sqlite3_api_routines *api)
{
	(void)text, (void)api;
	child_db = db;
	return SQLITE_OK;
}

static void sync_less(struct spool *sp, void *arg)
{
	(void)sp, (void)arg;
	SP_BUG_IF(sqlite3_exec(child_db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) != SQLITE_OK);
}

static void ignore(void *arg)
{
	(void)arg;
}

static void count_settled(void *arg)
{
	struct child *c = arg;
	c->settled++;
	if (c->plan == PLAN_DISK_FULL && c->settled == c->settling)
		sp_loop_stop(c->loop);
}

/* Every second delivery is delivered at once, every tenth is refused in part. */
static void on_batch(void *arg, const struct batch *b, struct payload *p)
{
	struct child *c = arg;
	SP_BUG_IF(!p && c->plan != PLAN_DISK_FULL);
	uint64_t n = p ? slice_number(p->bytes + b->off) : 0;
	struct dead_letter dead = {.dest = b->dest, .reason = "rejected", .body = SP_LIT("x"), .samples = 3, .series = 1};
	if (n % 10 == 4)
		writer_settle(c->w, b, 1, b->samples - 3, &dead, 1, count_settled, c);
	else if (n % 2 == 0 || c->plan == PLAN_DISK_FULL)
		writer_settle(c->w, b, 1, b->samples, NULL, 0, count_settled, c);
	else
		return;
	c->settling++;
}

static void send_wave(struct child *c);

static void stored(void *arg, struct store_request *r, enum store_result result)
{
	struct child *c = arg;
	uint64_t n = slice_number(r->groups[0].bytes);
	if (result == STORE_COMMITTED)
		SP_BUG_IF(write(c->report, &n, sizeof n) != sizeof n);
	else
		c->full++;
	c->answered++;
	if (c->answered == DELIVERIES || (c->plan == PLAN_DISK_FULL && c->full && c->answered == c->next))
		sp_loop_stop(c->loop);
	else if (c->answered == c->next)
		send_wave(c);
}

static void send_wave(struct child *c)
{
	if (c->plan == PLAN_SYNC_FAILS && c->next == DELIVERIES / 2)
		faulty_vfs_fail_sync = 1;
	for (int i = 0; i < WAVE; i++, c->next++) {
		delivery_init(&c->d[c->next], c->next, SLICE_BYTES);
		c->d[c->next].r.done = stored;
		c->d[c->next].r.arg = c;
		writer_store(c->w, &c->d[c->next].r);
	}
}

static void pause_over(void *arg)
{
	struct child *c = arg;
	sp_loop_stop(c->loop);
}

static void too_late(void *arg)
{
	(void)arg;
	_exit(99);
}

static _Noreturn void child(enum plan plan, const char *dir, int report)
{
	struct child *c = sp_new(struct child);
	struct settings *s = spool_settings_new(dir);
	struct sp_timer late = {0};
	c->plan = plan;
	c->report = report;
	if (plan != PLAN_CRASH || getenv("POWER_CUT"))
		faulty_vfs_register();
	if (plan == PLAN_LAZY_SYNC)
		sqlite3_auto_extension((void (*)(void))catch_handle);
	c->loop = sp_loop_new();
	sp_timer_set(c->loop, &late, 50000, too_late, NULL);
	if (writer_open(c->loop, s, &c->w, &why) != SP_OK)
		_exit(98);
	if (plan == PLAN_LAZY_SYNC)
		writer_query(c->w, sync_less, ignore, NULL);
	if (plan == PLAN_DISK_FULL)
		faulty_vfs_max_bytes = 2 << 20;
	else
		writer_on_batch(c->w, on_batch, NULL, c);
	send_wave(c);
	sp_loop_run(c->loop);
	if (plan == PLAN_DISK_FULL) { /* everything that was taken can be settled on the full disk, and then there is room again */
		SP_BUG_IF(c->full == 0 || c->full == c->answered);
		for (uint64_t seq = 1; seq <= 8 * (c->answered - c->full); seq++) {
			struct batch b = {.dest = (seq - 1) % 2 + 1, .shard = (uint32_t)((seq - 1) / 2 % 4), .seq = seq,
				.payload = (seq - 1) / 8 * 8 + 1, .samples = 10 + (uint32_t)((seq - 1) / 2 % 4)};
			writer_settle(c->w, &b, 1, b.samples, NULL, 0, count_settled, c);
			c->settling++;
		}
		sp_loop_run(c->loop);
		/* At once, or when the log has been emptied after a while of idleness. */
		for (int i = 0; i < 2; i++) {
			size_t full = c->full;
			delivery_init(&c->d[c->next], 5000 + (uint64_t)i, SLICE_BYTES);
			c->d[c->next].r.done = stored;
			c->d[c->next].r.arg = c;
			writer_store(c->w, &c->d[c->next++].r);
			sp_loop_run(c->loop);
			if (c->full == full)
				_exit(0);
			sp_timer_set(c->loop, &c->pause, 12000, pause_over, c);
			sp_loop_run(c->loop);
		}
		_exit(97);
	}
	writer_close(&c->w);
	_exit(0);
}

struct outcome {
	int status; /* of waitpid */
	bool answered[DELIVERIES];
	size_t n;
};

static struct outcome run_child(enum plan plan, const char *dir)
{
	struct outcome o = {0};
	int pipe_fds[2], status;
	uint64_t n;
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipe_fds[0]);
		child(plan, dir, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	while (read(pipe_fds[0], &n, sizeof n) == sizeof n) {
		if (n < DELIVERIES)
			o.answered[n] = true;
		o.n++;
	}
	close(pipe_fds[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	o.status = status;
	return o;
}

/* ---- the parent ---- */

static uint8_t seen[DELIVERIES][2][4];

static void read_all(struct spool *sp)
{
	static struct batch b[DELIVERIES];
	memset(seen, 0, sizeof seen);
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++) {
			size_t n = 0;
			bool more = true;
			int64_t reached_ms;
			assert_int_equal(spool_list(sp, dest, shard, 0, DELIVERIES, b, &n, &more, &reached_ms, &why), SP_OK);
			assert_false(more);
			for (size_t i = 0; i < n; i++) {
				struct payload *p = NULL;
				assert_int_equal(spool_read(sp, b[i].payload, &p, &why), SP_OK);
				assert_non_null(p);
				assert_true(slice_is_whole(p->bytes + b[i].off, b[i].len));
				assert_int_equal(b[i].flags, BATCH_MAYBE_DELIVERED);
				assert_true(slice_number(p->bytes + b[i].off) < DELIVERIES);
				seen[slice_number(p->bytes + b[i].off)][dest - 1][shard]++;
				payload_unref(&p);
			}
		}
}

/* How many answered deliveries are not there whole; and everything that must hold in any case. */
static size_t count_lost(const char *dir, const struct outcome *o)
{
	struct settings *s = spool_settings_new(dir);
	struct spool *sp = NULL;
	size_t lost = 0, known = 0;
	uint32_t wrong = 1;
	if (spool_open(s, &sp, &why) != SP_OK)
		fail_msg("open: %s", why.text);
	read_all(sp);
	for (uint64_t n = 0; n < DELIVERIES; n++) {
		struct delivery d;
		delivery_init(&d, n, 8);
		bool is_known = spool_knows(sp, d.r.key), settles = n % 2 == 0;
		delivery_clear(&d);
		known += is_known;
		lost += o->answered[n] && !is_known;
		for (int k = 0; k < 8; k++) {
			if (settles) /* all of it or what was not settled yet */
				assert_true(seen[n][k / 4][k % 4] <= is_known);
			else /* once, or never if it was not accepted */
				assert_int_equal(seen[n][k / 4][k % 4], is_known);
		}
	}
	assert_int_equal(spool_check_books(sp, &wrong, &why), SP_OK);
	assert_int_equal(wrong, 0);
	for (uint32_t d = 1; d <= 2; d++)
		assert_int_equal(spool_totals(sp, d)->accepted, known * DELIVERY_SAMPLES);
	assert_int_equal(spool_close(&sp, &why), SP_OK);
	sp_free(s);
	return lost;
}

static void cut_power(const char *dir)
{
	char path[512];
	snprintf(path, sizeof path, "%s/spool.db", dir);
	faulty_vfs_cut(path);
	snprintf(path, sizeof path, "%s/spool.db-wal", dir);
	faulty_vfs_cut(path);
}

static const char *const crash_points[] = {"ship.at_open_new_db", "ship.at_reserve_create", "ship.before_begin:9", "ship.after_insert:42",
	"ship.before_commit:9", "ship.after_commit_before_ack:9", "ship.after_ack:70", "ship.during_delete_commit:5",
	"ship.deadletter_before_commit:2", "ship.during_checkpoint:2"};

static void crash_everywhere(bool power_cut)
{
	for (size_t i = 0; i < sizeof crash_points / sizeof *crash_points; i++) {
		char *dir = spool_dir_new();
		setenv("STANDPIPE_CRASH_AT", crash_points[i], 1);
		struct outcome o = run_child(PLAN_CRASH, dir);
		unsetenv("STANDPIPE_CRASH_AT");
		if (!WIFSIGNALED(o.status) || WTERMSIG(o.status) != SIGKILL)
			fail_msg("%s: was not reached (status %x)", crash_points[i], o.status);
		if (power_cut)
			cut_power(dir);
		if (count_lost(dir, &o))
			fail_msg("%s: answered deliveries were lost", crash_points[i]);
		spool_dir_remove(dir);
	}
}

static void nothing_answered_is_lost_by_a_kill(void **state)
{
	(void)state;
	crash_everywhere(false);
}

static void nothing_answered_is_lost_by_a_power_cut(void **state)
{
	(void)state;
	setenv("POWER_CUT", "1", 1);
	crash_everywhere(true);
	unsetenv("POWER_CUT");
}

/* Otherwise the test above would prove nothing. */
static void a_power_cut_is_noticed_when_commits_are_not_synced(void **state)
{
	char *dir = spool_dir_new();
	(void)state;
	setenv("STANDPIPE_CRASH_AT", "ship.after_ack:40", 1);
	struct outcome o = run_child(PLAN_LAZY_SYNC, dir);
	unsetenv("STANDPIPE_CRASH_AT");
	assert_true(WIFSIGNALED(o.status));
	cut_power(dir);
	assert_true(count_lost(dir, &o) > 0);
	spool_dir_remove(dir);
}

static void a_failed_sync_ends_the_process_without_an_answer(void **state)
{
	char *dir = spool_dir_new();
	(void)state;
	struct outcome o = run_child(PLAN_SYNC_FAILS, dir);
	assert_true(WIFEXITED(o.status));
	assert_int_equal(WEXITSTATUS(o.status), SP_EXIT_STORAGE);
	assert_int_equal(o.n, DELIVERIES / 2);
	for (size_t n = DELIVERIES / 2; n < DELIVERIES; n++)
		assert_false(o.answered[n]);
	cut_power(dir);
	assert_int_equal(count_lost(dir, &o), 0);
	spool_dir_remove(dir);
}

static void a_full_disk_refuses_drains_and_accepts_again(void **state)
{
	char *dir = spool_dir_new();
	(void)state;
	struct outcome o = run_child(PLAN_DISK_FULL, dir);
	assert_true(WIFEXITED(o.status));
	assert_int_equal(WEXITSTATUS(o.status), 0);
	spool_dir_remove(dir);
}

/* ---- purge and replay ---- */

#define LETTERS (40 * 8) /* more than three steps of a replay, less than two of a purge */

/* Every batch of 40 deliveries is a dead letter. */
static void bury_all(struct settings *s)
{
	struct spool *sp = NULL;
	struct batch b[64];
	assert_int_equal(spool_open(s, &sp, &why), SP_OK);
	spool_begin(sp);
	for (uint64_t n = 0; n < LETTERS / 8; n++) {
		struct delivery d;
		enum store_result result;
		delivery_init(&d, n, 100);
		spool_store(sp, &d.r, NULL, NULL, &result);
		delivery_clear(&d);
	}
	assert_int_equal(spool_commit(sp, &why), SP_OK);
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++) {
			size_t n = 0;
			bool more;
			int64_t reached_ms;
			assert_int_equal(spool_list(sp, dest, shard, 0, 64, b, &n, &more, &reached_ms, &why), SP_OK);
			spool_begin(sp);
			for (size_t i = 0; i < n; i++) {
				const struct dead_letter dead = {.dest = dest, .shard = shard, .reason = "rejected", .body = SP_LIT("\1\0x"),
					.samples = b[i].samples, .series = 1};
				spool_settle(sp, &b[i], 1, 0, &dead, 1);
			}
			assert_int_equal(spool_commit(sp, &why), SP_OK);
		}
	assert_int_equal(spool_sizes(sp).dead_rows, LETTERS);
	assert_int_equal(spool_close(&sp, &why), SP_OK);
}

struct editor {
	struct sp_loop *loop;
	struct writer *w;
	struct edit edit;
};

static void step_over(void *arg)
{
	struct editor *e = arg;
	memcpy(e->edit.after, e->edit.last, sizeof e->edit.after);
	if (e->edit.more)
		writer_edit(e->w, &e->edit, step_over, e);
	else
		sp_loop_stop(e->loop);
}

/* Runs it to its end, or to the crash point; returns what waitpid says. */
static int edit_in_child(struct settings *s, enum edit_verb verb, const char *crash_at)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct editor e = {.loop = sp_loop_new(), .edit = {.verb = verb, .table = INSPECT_DEADLETTER}};
		if (crash_at)
			setenv("STANDPIPE_CRASH_AT", crash_at, 1);
		if (writer_open(e.loop, s, &e.w, &why) != SP_OK)
			_exit(98);
		writer_edit(e.w, &e.edit, step_over, &e);
		sp_loop_run(e.loop);
		writer_close(&e.w);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Each dead letter is still one, or a batch that waits, or was counted as dropped; and what is done is done once. */
static void check_edit(struct settings *s, enum edit_verb verb, bool is_done)
{
	struct spool *sp = NULL;
	uint32_t wrong = 1;
	assert_int_equal(spool_open(s, &sp, &why), SP_OK);
	assert_int_equal(spool_check_books(sp, &wrong, &why), SP_OK);
	assert_int_equal(wrong, 0);
	uint64_t letters = spool_sizes(sp).dead_rows, batches = spool_totals(sp, 1)->batches + spool_totals(sp, 2)->batches;
	uint64_t dropped = spool_totals(sp, 1)->dropped + spool_totals(sp, 2)->dropped;
	for (uint32_t d = 1; d <= 2; d++)
		assert_int_equal(spool_totals(sp, d)->accepted, LETTERS / 8 * DELIVERY_SAMPLES);
	assert_int_equal(letters > 0, !is_done);
	assert_int_equal(letters + batches, verb == EDIT_REPLAY ? LETTERS : letters);
	assert_int_equal(dropped > 0, verb == EDIT_PURGE && is_done);
	assert_int_equal(spool_close(&sp, &why), SP_OK);
}

static void a_purge_or_replay_that_is_killed_loses_and_doubles_nothing(void **state)
{
	static const struct {
		enum edit_verb verb;
		const char *at;
		bool is_done;
	} cases[] = {{EDIT_REPLAY, "ship.deadletter_before_commit:2", false}, {EDIT_REPLAY, "ship.after_commit_before_ack:2", false},
		{EDIT_PURGE, "ship.deadletter_before_commit:1", false}, {EDIT_PURGE, "ship.after_commit_before_ack:1", true}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *dir = spool_dir_new();
		struct settings *s = spool_settings_new(dir);
		bury_all(s);
		int status = edit_in_child(s, cases[i].verb, cases[i].at);
		if (!WIFSIGNALED(status))
			fail_msg("%s: was not reached (status %x)", cases[i].at, status);
		check_edit(s, cases[i].verb, cases[i].is_done);
		assert_int_equal(edit_in_child(s, cases[i].verb, NULL), 0);
		check_edit(s, cases[i].verb, true);
		sp_free(s);
		spool_dir_remove(dir);
	}
}

/* ---- bits ---- */

static char *file_read(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	rewind(f);
	char *bytes = sp_alloc(*n);
	assert_int_equal(fread(bytes, 1, *n, f), *n);
	fclose(f);
	return bytes;
}

static void file_write(const char *path, const char *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

/* Opens and reads a spool that may be damaged anywhere: whatever it hands out is what was put in. Returns how many slices came out. */
static size_t read_damaged(struct settings *s)
{
	struct spool *sp = NULL;
	struct batch b[16];
	size_t whole = 0;
	if (spool_open(s, &sp, &why) != SP_OK)
		return 0;
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++) {
			size_t n = 0;
			bool more;
			int64_t reached_ms;
			if (spool_list(sp, dest, shard, 0, 16, b, &n, &more, &reached_ms, &why) != SP_OK)
				continue;
			for (size_t i = 0; i < n; i++) {
				struct payload *p = NULL;
				if (spool_read(sp, b[i].payload, &p, &why) != SP_OK || !p)
					continue;
				assert_int_equal(b[i].samples, 10 + shard);
				assert_true(slice_is_whole(p->bytes + b[i].off, b[i].len));
				whole++;
				payload_unref(&p);
			}
		}
	if (spool_close(&sp, &why) != SP_OK)
		assert_null(sp);
	return whole;
}

static void a_flipped_bit_never_comes_out_as_data(void **state)
{
	char *dir = spool_dir_new(), path[512];
	struct settings *s = spool_settings_new(dir);
	struct spool *sp = NULL;
	enum store_result result;
	size_t n, whole = 0, rounds = 0;
	(void)state;
	assert_int_equal(spool_open(s, &sp, &why), SP_OK);
	for (uint64_t i = 0; i < 4; i++) {
		struct delivery d;
		delivery_init(&d, i, 6000);
		spool_begin(sp);
		spool_store(sp, &d.r, NULL, NULL, &result);
		assert_int_equal(spool_commit(sp, &why), SP_OK);
		delivery_clear(&d);
	}
	assert_int_equal(spool_close(&sp, &why), SP_OK);
	snprintf(path, sizeof path, "%s/spool.db", dir);
	char *good = file_read(path, &n);
	sp_log_init("test", -1, SP_LOG_ERROR + 1, SP_LOG_TEXT); /* hundreds of damaged files */
	for (size_t at = 0; at < n; at += at < 16384 ? 61 : 1999, rounds++) {
		char *bad = sp_alloc(n);
		memcpy(bad, good, n);
		bad[at] = (char)(bad[at] ^ 1 << at % 8);
		file_write(path, bad, n);
		sp_free(bad);
		whole += read_damaged(s);
		spool_dir_clear(dir);
	}
	print_message("%zu flips, %zu of %zu slices came out whole\n", rounds, whole, rounds * 32);
	assert_true(whole > rounds * 8); /* most of them hit only one delivery, or nothing */
	sp_free(good);
	sp_free(s);
	spool_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_answered_is_lost_by_a_kill),
		cmocka_unit_test(nothing_answered_is_lost_by_a_power_cut),
		cmocka_unit_test(a_power_cut_is_noticed_when_commits_are_not_synced),
		cmocka_unit_test(a_failed_sync_ends_the_process_without_an_answer),
		cmocka_unit_test(a_full_disk_refuses_drains_and_accepts_again),
		cmocka_unit_test(a_purge_or_replay_that_is_killed_loses_and_doubles_nothing),
		cmocka_unit_test(a_flipped_bit_never_comes_out_as_data),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
