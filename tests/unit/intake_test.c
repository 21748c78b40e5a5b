/* Ship's side of the hand-over with a writer that does what the test says, and workers played by the test. */
#include "ship/intake.h"

#include "common/alloc.h"
#include "common/log.h"
#include "tests/lib/handover_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the writer ---- */

static struct store_request *with_writer[16];
static size_t n_with_writer;
static enum writer_known known;

void writer_store(struct writer *w, struct store_request *r)
{
	(void)w;
	with_writer[n_with_writer++] = r;
}

enum writer_known writer_knows(const struct writer *w, const uint8_t key[16])
{
	(void)w, (void)key;
	return known;
}

const uint8_t *writer_spool_id(const struct writer *w)
{
	(void)w;
	return (const uint8_t *)"sixteen bytes id";
}

static void commit(size_t i, enum store_result result)
{
	struct store_request *r = with_writer[i];
	memmove(&with_writer[i], &with_writer[i + 1], (--n_with_writer - i) * sizeof with_writer[0]);
	r->done(r->arg, r, result);
}

/* ---- the stage ---- */

static struct stage stage;
static struct intake *intake;
static struct peer worker;
static uint32_t dests[] = {3, 5};
static Standpipe__Group group = STANDPIPE__GROUP__INIT;
static Standpipe__Group *groups[] = {&group};
static struct plan_dests plan_dests = {dests, 2};
static struct plan plan;

static void intake_open(void)
{
	struct sp_why why;
	char lock[128];
	snprintf(lock, sizeof lock, "%s/ship.sock.lock", stage.dir);
	unlink(lock); /* of one that this process had before */
	assert_int_equal(intake_new(stage.loop, stage.zmq, &stage.settings, NULL, &intake, &why), SP_OK);
	intake_set_plan(intake, &plan);
	intake_set_state(intake, STANDPIPE__STATE__ACCEPTING__YES);
}

static int set_up(void **state)
{
	(void)state;
	stage_open(&stage);
	group.shards = 4;
	plan = (struct plan){.message = STANDPIPE__PLAN__INIT, .dests = &plan_dests};
	plan.message.epoch = 9;
	plan.message.n_groups = 1;
	plan.message.groups = groups;
	n_with_writer = 0;
	known = WRITER_UNKNOWN;
	intake_open();
	peer_connect(&worker, &stage, "ship.sock");
	peer_hello(&worker);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	while (n_with_writer)
		commit(0, STORE_COMMITTED);
	peer_close(&worker);
	intake_free(&intake);
	stage_close(&stage);
	return 0;
}

/* A STORE of one payload and one quarantined piece; change makes it wrong. */
struct store_message {
	Standpipe__Store m;
	Standpipe__StoreGroup g;
	Standpipe__Slice s;
	Standpipe__QuarantineItem q;
	Standpipe__Lane lane;
	Standpipe__StoreGroup *gs[2];
	Standpipe__Slice *ss[1];
	Standpipe__Lane *ls[1];
	Standpipe__QuarantineItem *qs[1];
	size_t payload_n;
	int bulk_frames;
};

static void store_message_init(struct store_message *t)
{
	*t = (struct store_message){.m = STANDPIPE__STORE__INIT,
	    .g = STANDPIPE__STORE_GROUP__INIT,
	    .s = STANDPIPE__SLICE__INIT,
	    .q = STANDPIPE__QUARANTINE_ITEM__INIT,
	    .lane = STANDPIPE__LANE__INIT,
	    .payload_n = 100,
	    .bulk_frames = 2};
	t->gs[0] = t->gs[1] = &t->g;
	t->ss[0] = &t->s;
	t->qs[0] = &t->q;
	t->ls[0] = &t->lane;
	t->g.lanes = t->ls;
	t->lane.name = (char *)"team";
	t->lane.merged = 3;
	t->m.plan_epoch = 9;
	t->m.n_groups = t->m.n_quarantine = t->g.n_slices = 1;
	t->m.groups = t->gs;
	t->m.quarantine = t->qs;
	t->m.key_name = (char *)"prod";
	t->g.slices = t->ss;
	t->s.shard = 3;
	t->s.off = 10;
	t->s.len = 90;
	t->s.samples = 7;
	t->q.reason = (char *)"bad_frame";
	t->q.off = 1;
	t->q.len = 2;
	t->q.pieces = 1;
}

static uint32_t attempt = 1;

static void send_store(const struct store_message *t, uint64_t job)
{
	struct frame_header h = {
	    .type = FRAME_STORE, .session = worker.session, .job = job, .attempt = attempt, .key = "key"};
	zmq_msg_t parts[4];
	assert_int_equal(frame_pack(&t->m.base, &parts[0]), SP_OK);
	for (int i = 1; i <= t->bulk_frames; i++) {
		zmq_msg_init_size(&parts[i], i == 1 ? t->payload_n : 4);
		memset(zmq_msg_data(&parts[i]), 'p', zmq_msg_size(&parts[i]));
	}
	assert_int_equal(frame_send_parts(worker.zsock, NULL, &h, parts, (size_t)t->bulk_frames + 1), SP_OK);
	for (int i = 0; i <= t->bulk_frames; i++)
		zmq_msg_close(&parts[i]);
}

static bool is_with_writer(void *arg)
{
	return n_with_writer >= *(size_t *)arg;
}

static void wait_for_writer(size_t n)
{
	assert_true(stage_until(&stage, is_with_writer, &n, STAGE_LIMIT_MS));
	assert_int_equal(n_with_writer, n);
}

static void expect_stored(uint64_t job, Standpipe__Stored__Status status)
{
	const struct frame *f = peer_expect(&worker, FRAME_STORED);
	const Standpipe__Stored *m = (const Standpipe__Stored *)f->message;
	assert_int_equal(m->status, status);
	assert_true(f->header.job == job && f->header.attempt == attempt);
	assert_memory_equal(f->header.key, "key", 3);
	assert_memory_equal(m->spool_id.data, "sixteen bytes id", 16);
}

static void the_answer_comes_after_the_commit_and_once(void **state)
{
	static const struct {
		enum store_result result;
		Standpipe__Stored__Status status;
	} cases[] = {{STORE_COMMITTED, STANDPIPE__STORED__STATUS__COMMITTED},
	    {STORE_DUPLICATE, STANDPIPE__STORED__STATUS__DUPLICATE}, {STORE_FULL, STANDPIPE__STORED__STATUS__FULL},
	    {STORE_ERROR, STANDPIPE__STORED__STATUS__ERROR}};
	struct store_message t;
	(void)state;
	store_message_init(&t);
	for (size_t i = 0; i < 4; i++) {
		send_store(&t, i);
		wait_for_writer(1);
		assert_true(peer_hears_nothing(&worker, 10));
		assert_false(intake_idle(intake));
		commit(0, cases[i].result);
		assert_true(intake_idle(intake));
		expect_stored(i, cases[i].status);
		assert_true(peer_hears_nothing(&worker, 5));
	}
}

static void the_writer_gets_what_the_worker_said(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	send_store(&t, 1);
	wait_for_writer(1);
	const struct store_request *r = with_writer[0];
	assert_memory_equal(r->key, "key", 3);
	assert_string_equal(r->key_name, "prod");
	assert_int_equal(r->n_groups, 1);
	assert_int_equal(r->groups[0].n, 100);
	assert_int_equal(r->groups[0].bytes[99], 'p');
	assert_int_equal(r->groups[0].n_dests, 2);
	assert_int_equal(r->groups[0].dests[1], 5);
	assert_int_equal(r->groups[0].n_slices, 1);
	assert_int_equal(r->groups[0].slices[0].off, 10);
	assert_int_equal(r->groups[0].slices[0].samples, 7);
	assert_int_equal(r->n_quarantine, 1);
	assert_string_equal(r->quarantine[0].reason, "bad_frame");
	assert_int_equal(r->quarantine[0].bytes.n, 2);
}

static void a_store_that_does_not_add_up_is_an_error(void **state)
{
	(void)state;
	for (int i = 0; i < 11; i++) {
		struct store_message t;
		store_message_init(&t);
		switch (i) {
		case 0:
			t.bulk_frames = 1;
			break;
		case 1:
			t.bulk_frames = 3;
			break;
		case 2:
			t.g.group = 1;
			break;
		case 3:
			t.s.shard = 4;
			break;
		case 4:
			t.s.off = 11;
			break;
		case 5:
			t.s.off = UINT64_MAX;
			break;
		case 6:
			t.s.len = 0;
			break;
		case 7:
			t.q.off = 4;
			break;
		case 8:
			t.q.len = UINT64_MAX;
			break;
		case 9:
			t.q.reason = (char *)"Not a word";
			break;
		case 10:
			t.m.n_groups = 2, t.bulk_frames = 3;
			break; /* the same group twice */
		}
		send_store(&t, 1);
		expect_stored(1, STANDPIPE__STORED__STATUS__ERROR);
		assert_int_equal(n_with_writer, 0);
	}
}

static void lanes_are_those_of_the_plan_and_have_names(void **state)
{
	static const struct {
		const char *by, *name;
		uint32_t n_lanes, lane;
		bool good;
	} cases[] = {{"account", "team", 1, 1, true}, {"account", "", 1, 1, true}, {"", "", 0, 0, true}, {"", "team", 1, 1, false},
	    {"", "team", 1, 0, false}, {"", "", 0, 1, false}, {"account", "team", 1, 0, false}, {"account", "team", 1, 2, false},
	    {"account", "team", 0, 1, false}, {"account", "a b", 1, 1, false}, {"account", "a\r\nb", 1, 1, false}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct store_message t;
		store_message_init(&t);
		group.lane_by = (char *)cases[i].by;
		t.lane.name = (char *)cases[i].name;
		t.g.n_lanes = cases[i].n_lanes;
		t.s.lane = cases[i].lane;
		send_store(&t, i);
		if (cases[i].good) {
			wait_for_writer(1);
			const struct store_group *g = &with_writer[0]->groups[0];
			assert_int_equal(g->lane != NULL, t.g.n_lanes);
			if (g->lane) {
				assert_string_equal(g->lane, cases[i].name);
				assert_int_equal(g->merged, 3);
			}
			commit(0, STORE_COMMITTED);
		}
		expect_stored(i, cases[i].good ? STANDPIPE__STORED__STATUS__COMMITTED : STANDPIPE__STORED__STATUS__ERROR);
		assert_int_equal(n_with_writer, 0);
	}
	group.lane_by = (char *)"";
}

/* What waits of one lane must not keep what others sent in the spool. */
static void each_lane_has_its_own_part_of_the_payload(void **state)
{
	static const struct {
		uint32_t lane, off, len;
	} slices[] = {{1, 0, 10}, {1, 10, 5}, {2, 15, 20}, {1, 35, 65}};
	static const struct {
		const char *lane;
		size_t from, n, slices, merged;
	} parts[] = {{"one", 0, 15, 2, 3}, {"two", 15, 20, 1, 0}, {"one", 35, 65, 1, 0}, {"", 0, 0, 0, 4}};
	struct store_message t;
	Standpipe__Slice s[4], *ss[4];
	Standpipe__Lane l[3] = {STANDPIPE__LANE__INIT, STANDPIPE__LANE__INIT, STANDPIPE__LANE__INIT}, *ls[3] = {&l[0], &l[1], &l[2]};
	(void)state;
	store_message_init(&t);
	for (size_t i = 0; i < 4; i++) {
		s[i] = t.s;
		s[i].lane = slices[i].lane;
		s[i].off = slices[i].off;
		s[i].len = slices[i].len;
		ss[i] = &s[i];
	}
	l[0].name = (char *)"one";
	l[0].merged = 3;
	l[1].name = (char *)"two";
	l[2].merged = 4;
	t.g.slices = ss;
	t.g.n_slices = 4;
	t.g.lanes = ls;
	t.g.n_lanes = 3;
	group.lane_by = (char *)"account";
	send_store(&t, 1);
	wait_for_writer(1);
	const struct store_request *r = with_writer[0];
	assert_int_equal(r->n_groups, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct store_group *g = &r->groups[i];
		assert_string_equal(g->lane, parts[i].lane);
		assert_int_equal(g->n, parts[i].n);
		assert_int_equal(g->n_slices, parts[i].slices);
		assert_int_equal(g->merged, parts[i].merged);
		assert_int_equal(g->n_dests, r->groups[0].n_dests);
		if (parts[i].n)
			assert_int_equal(g->bytes - r->groups[0].bytes, parts[i].from);
		for (size_t k = 0, off = 0; k < g->n_slices; off += g->slices[k++].len)
			assert_int_equal(g->slices[k].off, off);
	}
	commit(0, STORE_COMMITTED);
	expect_stored(1, STANDPIPE__STORED__STATUS__COMMITTED);
	group.lane_by = (char *)"";
}

static void a_store_by_an_older_plan_is_stale(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	plan.message.epoch = 10;
	intake_set_plan(intake, &plan);
	const struct frame *f = peer_expect(&worker, FRAME_PLAN);
	assert_int_equal(((const Standpipe__Plan *)f->message)->epoch, 10);
	send_store(&t, 1);
	expect_stored(1, STANDPIPE__STORED__STATUS__STALE_PLAN);
}

static Standpipe__Go__Answer offer(uint64_t job, uint64_t bytes)
{
	Standpipe__Offer m = STANDPIPE__OFFER__INIT;
	m.bytes = bytes;
	peer_send(&worker,
	    &(struct frame_header){.type = FRAME_OFFER, .session = worker.session, .job = job, .attempt = attempt}, &m.base);
	return ((const Standpipe__Go *)peer_expect(&worker, FRAME_GO)->message)->answer;
}

static void large_stores_are_admitted_by_room(void **state)
{
	const size_t share = (size_t)stage.settings.memory / 4;
	struct store_message t;
	(void)state;
	store_message_init(&t);
	t.payload_n = FRAME_OFFER_FROM_BYTES + 1;
	send_store(&t, 1); /* without asking */
	expect_stored(1, STANDPIPE__STORED__STATUS__ERROR);
	assert_int_equal(offer(1, share - 1000), STANDPIPE__GO__ANSWER__GO);
	assert_int_equal(offer(2, 2000), STANDPIPE__GO__ANSWER__BUSY);
	assert_int_equal(
	    offer(1, t.payload_n), STANDPIPE__GO__ANSWER__GO); /* the same job once more: replaces the first */
	assert_int_equal(offer(2, 2000), STANDPIPE__GO__ANSWER__GO);
	send_store(&t, 1);
	wait_for_writer(1);
	assert_int_equal(offer(3, share - 2000), STANDPIPE__GO__ANSWER__BUSY);
	commit(0, STORE_COMMITTED);
	expect_stored(1, STANDPIPE__STORED__STATUS__COMMITTED);
	assert_int_equal(offer(3, share - 2000), STANDPIPE__GO__ANSWER__GO);
	/* A worker that goes away gives its room back; one delivery alone is let in however large. */
	peer_close(&worker);
	stage_run(&stage, 30);
	peer_connect(&worker, &stage, "ship.sock");
	peer_hello(&worker);
	assert_int_equal(offer(4, 2 * share), STANDPIPE__GO__ANSWER__GO);
	assert_int_equal(offer(5, 1), STANDPIPE__GO__ANSWER__BUSY);
	known = WRITER_COMMITTED;
	assert_int_equal(offer(6, 1), STANDPIPE__GO__ANSWER__DUPLICATE);
}

/* A job that was given out again may be here twice, from one worker. */
static void each_attempt_has_its_own_room(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	t.payload_n = FRAME_OFFER_FROM_BYTES + 1;
	for (attempt = 1; attempt <= 2; attempt++)
		assert_int_equal(offer(1, t.payload_n), STANDPIPE__GO__ANSWER__GO);
	for (attempt = 1; attempt <= 2; attempt++) {
		send_store(&t, 1);
		wait_for_writer(attempt);
	}
	for (attempt = 1; attempt <= 2; attempt++) {
		commit(0, STORE_COMMITTED);
		expect_stored(1, STANDPIPE__STORED__STATUS__COMMITTED);
	}
	attempt = 1;
}

static void the_state_is_told_on_change_and_decides(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	worker.skip = 0;
	intake_set_state(intake, STANDPIPE__STATE__ACCEPTING__FULL);
	const Standpipe__State *s;
	do
		s = (const Standpipe__State *)peer_expect(&worker, FRAME_STATE)->message;
	while (s->accepting != STANDPIPE__STATE__ACCEPTING__FULL);
	assert_int_equal(s->plan_epoch, 9);
	worker.skip = 1u << FRAME_STATE;
	send_store(&t, 1); /* the writer may know it */
	wait_for_writer(1);
	commit(0, STORE_DUPLICATE);
	expect_stored(1, STANDPIPE__STORED__STATUS__DUPLICATE);
	assert_int_equal(offer(1, 100), STANDPIPE__GO__ANSWER__FULL);
	intake_set_state(intake, STANDPIPE__STATE__ACCEPTING__FAILING);
	send_store(&t, 2);
	expect_stored(2, STANDPIPE__STORED__STATUS__BUSY);
	intake_set_state(intake, STANDPIPE__STATE__ACCEPTING__YES);
	send_store(&t, 3);
	wait_for_writer(1);
	intake_stop(intake);
	send_store(&t, 4);
	expect_stored(4, STANDPIPE__STORED__STATUS__BUSY);
	commit(0, STORE_COMMITTED); /* what the writer had is answered */
	expect_stored(3, STANDPIPE__STORED__STATUS__COMMITTED);
}

static void keys_that_receivers_do_not_accept_are_told_at_once(void **state)
{
	static const char *const keys[] = {"one", "two"};
	const Standpipe__State *s;
	(void)state;
	for (size_t n = 2; n-- > 0;) { /* fewer are news too */
		intake_set_unauthorized(intake, keys, n + 1);
		worker.skip = 0;
		do
			s = (const Standpipe__State *)peer_expect(&worker, FRAME_STATE)->message;
		while (s->n_unauthorized_keys != n + 1);
		assert_string_equal(s->unauthorized_keys[n], keys[n]);
	}
	worker.skip = 1u << FRAME_STATE;
}

static void who_asks_is_told(void **state)
{
	Standpipe__Ask m = STANDPIPE__ASK__INIT;
	(void)state;
	for (int i = 0; i < 3; i++) {
		known = (enum writer_known[]){WRITER_UNKNOWN, WRITER_COMMITTED, WRITER_PENDING}[i];
		peer_send(&worker, &(struct frame_header){.type = FRAME_ASK, .session = worker.session}, &m.base);
		assert_int_equal(((const Standpipe__Told *)peer_expect(&worker, FRAME_TOLD)->message)->answer,
		    ((int[]){STANDPIPE__TOLD__ANSWER__UNKNOWN, STANDPIPE__TOLD__ANSWER__COMMITTED,
			STANDPIPE__TOLD__ANSWER__PENDING}[i]));
	}
}

static void after_a_restart_workers_must_say_hello(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	intake_free(&intake);
	stage_run(&stage, 50); /* closing goes on in the background */
	intake_open();
	stage_run(&stage, 600); /* until the worker's socket has connected again */
	send_store(&t, 1);
	const struct frame *f = peer_expect(&worker, FRAME_REFUSED);
	assert_int_equal(((const Standpipe__Refused *)f->message)->reason, STANDPIPE__REFUSED__REASON__SAY_HELLO);
	assert_true(f->header.session == worker.session);
	assert_int_equal(n_with_writer, 0);
	peer_hello(&worker);
	const Standpipe__Welcome *w = (const Standpipe__Welcome *)worker.got->message;
	assert_int_equal(w->plan->epoch, 9);
	assert_int_equal(w->state->accepting, STANDPIPE__STATE__ACCEPTING__YES);
	send_store(&t, 1);
	wait_for_writer(1);
}

static void another_release_is_refused(void **state)
{
	Standpipe__Hello m = peer_hello_message();
	(void)state;
	m.release = (char *)"9.9.9";
	peer_send(&worker, &(struct frame_header){.type = FRAME_HELLO, .session = 5}, &m.base);
	const Standpipe__Refused *r = (const Standpipe__Refused *)peer_expect(&worker, FRAME_REFUSED)->message;
	assert_int_equal(r->reason, STANDPIPE__REFUSED__REASON__RELEASE);
}

static void a_worker_that_died_gets_no_answer_and_nothing_breaks(void **state)
{
	struct store_message t;
	(void)state;
	store_message_init(&t);
	send_store(&t, 1);
	wait_for_writer(1);
	peer_close(&worker);
	stage_run(&stage, 30);
	commit(0, STORE_COMMITTED);
	assert_true(intake_idle(intake));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_answer_comes_after_the_commit_and_once),
	    TEST(the_writer_gets_what_the_worker_said),
	    TEST(a_store_that_does_not_add_up_is_an_error),
	    TEST(lanes_are_those_of_the_plan_and_have_names), TEST(each_lane_has_its_own_part_of_the_payload),
	    TEST(a_store_by_an_older_plan_is_stale),
	    TEST(large_stores_are_admitted_by_room),
	    TEST(each_attempt_has_its_own_room),
	    TEST(the_state_is_told_on_change_and_decides),
	    TEST(keys_that_receivers_do_not_accept_are_told_at_once),
	    TEST(who_asks_is_told),
	    TEST(after_a_restart_workers_must_say_hello),
	    TEST(another_release_is_refused),
	    TEST(a_worker_that_died_gets_no_answer_and_nothing_breaks),
	};
	sp_log_init("ship", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
