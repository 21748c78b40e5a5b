/* A worker between an ingest and a ship played by the test, with a converter that does what the body says. */
#include "convert/worker.h"

#include "common/alloc.h"
#include "common/log.h"
#include "convert/delivery.h"
#include "convert/sketches.h"
#include "tests/lib/handover_lib.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the converter: bodies are words; "plain" makes 4 samples, "large" a payload that must be offered ---- */

#define LARGE_BYTES (FRAME_OFFER_FROM_BYTES + 1)

struct converter {
	uint64_t epoch;
	int runs;
	uint8_t *large;
	struct sketches *sketches;
};

static struct converter the_converter;

struct converter *converter_new(size_t memory_budget)
{
	(void)memory_budget;
	the_converter = (struct converter){.large = sp_alloc(LARGE_BYTES), .sketches = sketches_new()};
	return &the_converter;
}

void converter_free(struct converter **c)
{
	sp_free((*c)->large);
	sketches_free(&(*c)->sketches);
	*c = NULL;
}

enum sp_status converter_plan(struct converter *c, const Standpipe__Plan *plan, struct sp_why *why)
{
	(void)why;
	c->epoch = plan->epoch;
	return SP_OK;
}

struct sketches *converter_sketches(struct converter *c)
{
	return c->sketches;
}

void converter_rest(struct converter *c)
{
	(void)c;
}

enum sp_status converter_run(
    struct converter *c, const struct convert_in *in, struct convert_out *out, struct sp_why *why)
{
	static const struct convert_slice slice = {.shard = 1, .len = 4, .raw_len = 8, .series = 2, .samples = 4};
	static struct convert_group group;
	c->runs++;
	*out = (struct convert_out){
	    .request_id = SP_LIT("found in the body"), .records = 1, .samples = 4, .account = SP_LIT("123456789012")};
	group =
	    (struct convert_group){.id = 0, .payload = SP_LIT("body"), .slices = &slice, .n_slices = 1, .samples = 4};
	out->groups = &group;
	out->n_groups = 1;
	if (sp_eq(in->body, SP_LIT("large")))
		group.payload = sp_bytes(c->large, LARGE_BYTES);
	if (sp_eq(in->body, SP_LIT("refuse"))) {
		out->http_status = 400;
		out->code = "E_JSON";
		snprintf(out->text, sizeof out->text, "no JSON");
	}
	if (sp_eq(in->body, SP_LIT("memory")))
		return sp_fail(why, SP_NO_MEM, "too much");
	if (sp_eq(in->body, SP_LIT("broken")))
		return sp_fail(why, SP_IO, "broken");
	while (sp_eq(in->body, SP_LIT("stuck")))
		pause();
	return SP_OK;
}

/* ---- the stage ---- */

static struct stage stage;
static struct peer ingest, ship;
static struct worker *worker;

static int set_up(void **state)
{
	(void)state;
	stage_open(&stage);
	peer_bind(&ingest, &stage, "work.sock");
	peer_bind(&ship, &stage, "ship.sock");
	assert_int_equal(worker_new(stage.loop, stage.zmq, &stage.settings, 3, &worker, NULL), SP_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	worker_free(&worker);
	peer_close(&ingest);
	peer_close(&ship);
	stage_close(&stage);
	return 0;
}

static void fill_state(Standpipe__State *s, uint64_t epoch)
{
	standpipe__state__init(s);
	s->accepting = STANDPIPE__STATE__ACCEPTING__YES;
	s->plan_epoch = epoch;
	s->spool_id = (ProtobufCBinaryData){16, (uint8_t *)"sixteen bytes id"};
}

/* Answers the HELLO that p has just got. */
static void answer_hello(struct peer *p, uint64_t epoch)
{
	Standpipe__Welcome m = STANDPIPE__WELCOME__INIT;
	Standpipe__State s;
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	const struct frame *f = p->got;
	assert_int_equal(((const Standpipe__Hello *)f->message)->worker, 3);
	p->session = f->header.session;
	fill_state(&s, epoch);
	plan.epoch = epoch;
	if (p == &ship) {
		m.state = &s;
		m.plan = &plan;
	}
	struct frame_header h = frame_answer(f, FRAME_WELCOME);
	peer_send(p, &h, &m.base);
}

static void welcome(struct peer *p, uint64_t epoch)
{
	peer_expect(p, FRAME_HELLO);
	answer_hello(p, epoch);
}

static bool is_ready(void *arg)
{
	(void)arg;
	return worker_ready(worker);
}

static void both_welcome(void)
{
	welcome(&ship, 1);
	welcome(&ingest, 0);
	assert_true(stage_until(&stage, is_ready, NULL, STAGE_LIMIT_MS));
}

static const char *needed_tenant; /* of the jobs sent; NULL: none */

static void send_job(uint64_t job, const char *body, Standpipe__Job__Kind kind)
{
	Standpipe__Job m = STANDPIPE__JOB__INIT;
	struct frame_header h = {
	    .type = FRAME_JOB, .session = ingest.session, .job = job, .attempt = 1, .remaining_ms = 500, .key = "key"};
	zmq_msg_t parts[2];
	m.kind = kind;
	m.request_id = (char *)"from the header";
	m.has_request_id = true;
	m.source_arn = (char *)"arn";
	if (needed_tenant) {
		m.needs_tenant = true;
		m.key_name = (char *)needed_tenant;
	}
	assert_int_equal(frame_pack(&m.base, &parts[0]), SP_OK);
	zmq_msg_init_size(&parts[1], strlen(body));
	memcpy(zmq_msg_data(&parts[1]), body, strlen(body));
	assert_int_equal(frame_send_parts(ingest.zsock, ingest.identity, &h, parts, 2), SP_OK);
	zmq_msg_close(&parts[0]);
	zmq_msg_close(&parts[1]);
}

static void send_stored(struct frame_header store, Standpipe__Stored__Status status)
{
	Standpipe__Stored m = STANDPIPE__STORED__INIT;
	m.status = status;
	store.type = FRAME_STORED;
	peer_send(&ship, &store, &m.base);
}

static const Standpipe__Done *expect_done(uint64_t job, Standpipe__Done__Status status)
{
	const struct frame *f = peer_expect(&ingest, FRAME_DONE);
	const Standpipe__Done *m = (const Standpipe__Done *)f->message;
	assert_true(f->header.job == job && f->header.attempt == 1 && f->header.session == ingest.session);
	assert_memory_equal(f->header.key, "key", 3);
	assert_int_equal(m->status, status);
	return m;
}

static void a_job_is_stored_and_then_done(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	const struct frame *f = peer_expect(&ship, FRAME_STORE);
	const Standpipe__Store *m = (const Standpipe__Store *)f->message;
	assert_true(f->header.session == ship.session && f->header.job == 1);
	assert_int_equal(m->plan_epoch, 1);
	assert_int_equal(m->n_groups, 1);
	assert_int_equal(m->groups[0]->slices[0]->samples, 4);
	assert_string_equal(m->source_arn, "arn");
	assert_int_equal(f->n_bulk, 1);
	assert_true(sp_eq(f->bulk[0], SP_LIT("body")));
	assert_true(peer_hears_nothing(&ingest, 20)); /* not before ship's word */
	send_stored(f->header, STANDPIPE__STORED__STATUS__COMMITTED);
	const Standpipe__Done *d = expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
	assert_string_equal(d->request_id, "found in the body");
	assert_int_equal(d->counts->samples, 4);
	assert_string_equal(d->counts->account, "123456789012");
	assert_memory_equal(d->spool_id.data, "sixteen bytes id", 16);
	send_stored(ship.got->header, STANDPIPE__STORED__STATUS__COMMITTED);
	assert_true(peer_hears_nothing(&ingest, 20)); /* once */
}

static void every_ending_of_a_store_is_told(void **state)
{
	static const struct {
		Standpipe__Stored__Status stored;
		Standpipe__Done__Status done;
	} cases[] = {{STANDPIPE__STORED__STATUS__DUPLICATE, STANDPIPE__DONE__STATUS__DUPLICATE},
	    {STANDPIPE__STORED__STATUS__FULL, STANDPIPE__DONE__STATUS__FULL},
	    {STANDPIPE__STORED__STATUS__BUSY, STANDPIPE__DONE__STATUS__BUSY},
	    {STANDPIPE__STORED__STATUS__ERROR, STANDPIPE__DONE__STATUS__ERROR}};
	(void)state;
	both_welcome();
	for (size_t i = 0; i < 4; i++) {
		send_job(i, "plain", STANDPIPE__JOB__KIND__CONVERT);
		send_stored(peer_expect(&ship, FRAME_STORE)->header, cases[i].stored);
		expect_done(i, cases[i].done);
	}
}

static void what_cannot_be_converted_never_reaches_ship(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "refuse", STANDPIPE__JOB__KIND__CONVERT);
	const Standpipe__Done *m = expect_done(1, STANDPIPE__DONE__STATUS__REFUSED);
	assert_int_equal(m->http_status, 400);
	assert_string_equal(m->code, "E_JSON");
	assert_string_equal(m->text, "no JSON");
	send_job(2, "memory", STANDPIPE__JOB__KIND__CONVERT);
	expect_done(2, STANDPIPE__DONE__STATUS__BUSY);
	send_job(3, "broken", STANDPIPE__JOB__KIND__CONVERT);
	expect_done(3, STANDPIPE__DONE__STATUS__ERROR);
	assert_true(peer_hears_nothing(&ship, 10));
}

static void a_key_of_its_own_is_never_taken_for_one_of_all_others(void **state)
{
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	Standpipe__Tenant others = STANDPIPE__TENANT__INIT, red = STANDPIPE__TENANT__INIT;
	Standpipe__Tenant *tenants[] = {&others, &red};
	struct frame_header h = {.type = FRAME_PLAN};
	(void)state;
	both_welcome();
	needed_tenant = "red";
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	expect_done(1, STANDPIPE__DONE__STATUS__BUSY); /* ship has not seen the key yet */
	assert_true(peer_hears_nothing(&ship, 10));
	red.key_name = (char *)"red";
	plan.epoch = 2;
	plan.tenants = tenants;
	plan.n_tenants = 2;
	h.session = ship.session;
	peer_send(&ship, &h, &plan.base);
	assert_true(peer_hears_nothing(&ship, 50));
	send_job(2, "plain", STANDPIPE__JOB__KIND__CONVERT);
	assert_int_equal(((const Standpipe__Store *)peer_expect(&ship, FRAME_STORE)->message)->plan_epoch, 2);
	send_stored(ship.got->header, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(2, STANDPIPE__DONE__STATUS__ACCEPTED);
	needed_tenant = "blue"; /* and ship sees it no more */
	send_job(3, "plain", STANDPIPE__JOB__KIND__CONVERT);
	expect_done(3, STANDPIPE__DONE__STATUS__BUSY);
	needed_tenant = NULL;
}

static void one_is_converted_while_another_waits_for_its_commit(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header first = peer_expect(&ship, FRAME_STORE)->header;
	send_job(2, "plain", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header second = peer_expect(&ship, FRAME_STORE)->header;
	send_stored(second, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(2, STANDPIPE__DONE__STATUS__ACCEPTED);
	send_stored(first, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
}

static void send_go(struct frame_header offer, Standpipe__Go__Answer answer)
{
	Standpipe__Go m = STANDPIPE__GO__INIT;
	m.answer = answer;
	offer.type = FRAME_GO;
	peer_send(&ship, &offer, &m.base);
}

static void a_large_one_is_offered_until_there_is_room(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "large", STANDPIPE__JOB__KIND__CONVERT);
	const struct frame *f = peer_expect(&ship, FRAME_OFFER);
	assert_int_equal(((const Standpipe__Offer *)f->message)->bytes, LARGE_BYTES);
	send_go(f->header, STANDPIPE__GO__ANSWER__BUSY);
	send_go(peer_expect(&ship, FRAME_OFFER)->header, STANDPIPE__GO__ANSWER__GO);
	f = peer_expect(&ship, FRAME_STORE);
	assert_int_equal(f->bulk[0].n, LARGE_BYTES);
	send_stored(f->header, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
	send_job(2, "large", STANDPIPE__JOB__KIND__CONVERT);
	send_go(peer_expect(&ship, FRAME_OFFER)->header, STANDPIPE__GO__ANSWER__DUPLICATE);
	expect_done(2, STANDPIPE__DONE__STATUS__DUPLICATE);
	/* No room until the deadline. */
	send_job(3, "large", STANDPIPE__JOB__KIND__CONVERT);
	for (int i = 0; i < 3; i++)
		send_go(peer_expect(&ship, FRAME_OFFER)->header, STANDPIPE__GO__ANSWER__BUSY);
	expect_done(3, STANDPIPE__DONE__STATUS__BUSY);
}

static void a_stale_plan_means_converting_again(void **state)
{
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header store = peer_expect(&ship, FRAME_STORE)->header;
	plan.epoch = 2;
	peer_send(&ship, &(struct frame_header){.type = FRAME_PLAN, .session = ship.session}, &plan.base);
	send_stored(store, STANDPIPE__STORED__STATUS__STALE_PLAN);
	const struct frame *f = peer_expect(&ship, FRAME_STORE);
	assert_int_equal(((const Standpipe__Store *)f->message)->plan_epoch, 2);
	assert_int_equal(the_converter.runs, 2);
	send_stored(f->header, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
}

static void a_plan_that_never_fits_ends_in_busy(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	for (int i = 0; i < 4; i++)
		send_stored(peer_expect(&ship, FRAME_STORE)->header, STANDPIPE__STORED__STATUS__STALE_PLAN);
	expect_done(1, STANDPIPE__DONE__STATUS__BUSY);
}

static void refuse(struct peer *p, uint64_t session)
{
	Standpipe__Refused m = STANDPIPE__REFUSED__INIT;
	peer_send(p, &(struct frame_header){.type = FRAME_REFUSED, .session = session}, &m.base);
}

static void what_ship_forgot_is_sent_again(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	uint64_t session = peer_expect(&ship, FRAME_STORE)->header.session;
	refuse(&ship, session); /* a new ship does not know the session */
	refuse(&ship, session); /* nor its other messages: one new session is enough */
	welcome(&ship, 1);
	assert_true(ship.session != session);
	const struct frame *f = peer_expect(&ship, FRAME_STORE);
	assert_true(f->header.session == ship.session);
	send_stored(f->header, STANDPIPE__STORED__STATUS__DUPLICATE);
	expect_done(1, STANDPIPE__DONE__STATUS__DUPLICATE);
	assert_int_equal(the_converter.runs, 1);
}

static void a_ship_that_goes_is_missed_at_once_and_greeted_when_it_is_back(void **state)
{
	const Standpipe__Ping *m;
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	peer_expect(&ship, FRAME_STORE);
	ingest.skip = 0;
	int64_t start = sp_mono_now().ms;
	peer_close(&ship);
	do
		m = (const Standpipe__Ping *)peer_expect(&ingest, FRAME_PING)->message;
	while (m->state->ship_seen_ms_ago >= 0);
	assert_true(sp_mono_now().ms - start < 4500); /* by its connection, not by the heartbeat that fails after 5 s */
	stage_run(&stage, 50); /* closing goes on in the background */
	peer_bind(&ship, &stage, "ship.sock");
	/* The worker says hello once a second, and what it said to the former ship may still be on its way: each is answered. */
	bool greeted = false;
	for (int i = 0; i < 100 && !greeted; i++) {
		bool heard = !peer_hears_nothing(&ship, 100);
		greeted = heard && ship.got->header.type != FRAME_HELLO;
		if (heard && !greeted)
			answer_hello(&ship, 1);
	}
	assert_true(greeted && ship.got->header.type == FRAME_STORE);
	send_stored(ship.got->header, STANDPIPE__STORED__STATUS__COMMITTED);
	do
		m = (const Standpipe__Ping *)peer_expect(&ingest, FRAME_PING)->message;
	while (m->state->ship_seen_ms_ago < 0);
	ingest.skip = 1u << FRAME_PING;
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
}

static void ship_hears_what_series_are_active(void **state)
{
	(void)state;
	const Standpipe__Ping *m;
	both_welcome();
	sp_hll_add(sketches_get(the_converter.sketches, 2, SP_LIT("AWS/EC2")), 1);
	sp_hll_add(sketches_get(the_converter.sketches, 2, SP_LIT("\xff")), 1);
	sp_hll_add(sketches_get(the_converter.sketches, 2, SP_LIT("AWS/EC2")), 2);
	ship.skip &= ~(1u << FRAME_PING);
	do
		m = (const Standpipe__Ping *)peer_expect(&ship, FRAME_PING)->message;
	while (m->n_sketches == 0);
	assert_int_equal(m->plan_epoch, 1);
	assert_int_equal(m->n_sketches, 2);
	assert_int_equal(m->sketches[0]->group, 2);
	assert_string_equal(m->sketches[0]->namespace_, "AWS/EC2");
	assert_int_equal(m->sketches[0]->registers.len, SP_HLL_BYTES);
	assert_int_equal(m->sketches[0]->registers.data[0], 51); /* of 2 */
	assert_string_equal(m->sketches[1]->namespace_, "other");
	m = (const Standpipe__Ping *)peer_expect(&ship, FRAME_PING)->message;
	assert_int_equal(m->n_sketches, 0);
	struct sp_hll *again = sketches_get(the_converter.sketches, 2, SP_LIT("AWS/EC2"));
	assert_true(sp_hll_estimate(again) == 0);
}

static void silence_is_asked_about(void **state)
{
	static const Standpipe__Told__Answer answers[] = {
	    STANDPIPE__TOLD__ANSWER__UNKNOWN, STANDPIPE__TOLD__ANSWER__COMMITTED};
	Standpipe__Told m = STANDPIPE__TOLD__INIT;
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	peer_expect(&ship, FRAME_STORE);
	for (int i = 0; i < 2; i++) {
		stage_run(&stage, 1000); /* the limit of peer_expect alone is just too short */
		struct frame_header h = peer_expect(&ship, FRAME_ASK)->header;
		assert_memory_equal(h.key, "key", 3);
		h.type = FRAME_TOLD;
		m.answer = answers[i];
		peer_send(&ship, &h, &m.base);
		if (i == 0)
			peer_expect(&ship, FRAME_STORE);
	}
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
}

static void a_new_ingest_gets_no_old_jobs_but_learns_what_was_committed(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header store = peer_expect(&ship, FRAME_STORE)->header;
	uint64_t old = ingest.session;
	refuse(&ingest, old);
	welcome(&ingest, 0);
	uint64_t new = ingest.session;
	assert_true(new != old);
	ingest.session = old;
	send_job(2, "plain", STANDPIPE__JOB__KIND__CONVERT); /* was still in a queue */
	ingest.session = new;
	assert_true(peer_hears_nothing(&ship, 30));
	send_stored(store, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED); /* in the new session */
}

static void what_a_former_ingest_left_takes_no_place_of_a_new_one_s_jobs(void **state)
{
	(void)state;
	both_welcome();
	for (uint64_t job = 1; job <= 2; job++) {
		send_job(job, "plain", STANDPIPE__JOB__KIND__CONVERT);
		peer_expect(&ship, FRAME_STORE);
	}
	refuse(&ingest, ingest.session);
	welcome(&ingest, 0);
	for (uint64_t job = 3; job <= 4; job++) {
		send_job(job, "plain", STANDPIPE__JOB__KIND__CONVERT);
		assert_int_equal(peer_expect(&ship, FRAME_STORE)->header.job, job);
	}
	send_job(5, "plain", STANDPIPE__JOB__KIND__CONVERT);
	expect_done(5, STANDPIPE__DONE__STATUS__BUSY);
}

static void what_ship_said_in_a_former_session_counts_for_nothing(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "large", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header offer = peer_expect(&ship, FRAME_OFFER)->header;
	refuse(&ship, ship.session);
	send_go(offer, STANDPIPE__GO__ANSWER__GO); /* was on its way; the new session has no such room */
	welcome(&ship, 1);
	send_go(peer_expect(&ship, FRAME_OFFER)->header, STANDPIPE__GO__ANSWER__GO);
	send_stored(peer_expect(&ship, FRAME_STORE)->header, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
}

static void ship_s_state_is_passed_on_at_once_and_each_second(void **state)
{
	Standpipe__State s;
	(void)state;
	both_welcome();
	ingest.skip = 0;
	const Standpipe__Ping *m = (const Standpipe__Ping *)peer_expect(&ingest, FRAME_PING)->message;
	assert_int_equal(m->state->accepting, STANDPIPE__STATE__ACCEPTING__YES);
	assert_in_range(m->state->ship_seen_ms_ago, 0, 2000);
	fill_state(&s, 1);
	s.accepting = STANDPIPE__STATE__ACCEPTING__FULL;
	s.unauthorized_keys = (char *[]){(char *)"key"};
	s.n_unauthorized_keys = 1;
	int64_t start = sp_mono_now().ms;
	peer_send(&ship, &(struct frame_header){.type = FRAME_STATE, .session = ship.session}, &s.base);
	do
		m = (const Standpipe__Ping *)peer_expect(&ingest, FRAME_PING)->message;
	while (m->state->accepting != STANDPIPE__STATE__ACCEPTING__FULL);
	assert_string_equal(m->state->unauthorized_keys[0], "key");
	assert_true(sp_mono_now().ms - start < 4500); /* by its connection, not by the heartbeat that fails after 5 s */
	m = (const Standpipe__Ping *)peer_expect(&ingest, FRAME_PING)->message;
	assert_true(m->state->ship_seen_ms_ago > 0); /* ship has said nothing since */
}

static void a_body_set_aside_is_handed_on_unparsed(void **state)
{
	(void)state;
	both_welcome();
	send_job(1, "stuck", STANDPIPE__JOB__KIND__SET_ASIDE);
	const struct frame *f = peer_expect(&ship, FRAME_STORE);
	const Standpipe__Store *m = (const Standpipe__Store *)f->message;
	assert_int_equal(the_converter.runs, 0);
	assert_int_equal(m->n_quarantine, 1);
	assert_true(m->quarantine[0]->do_not_parse);
	assert_int_equal(m->quarantine[0]->record, -1);
	assert_true(sp_eq(f->bulk[0], SP_LIT("stuck")));
	send_stored(f->header, STANDPIPE__STORED__STATUS__COMMITTED);
	assert_string_equal(expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED)->request_id, "from the header");
}

static void note(void *arg)
{
	*(int *)arg += 1;
}

static void stopping_finishes_what_is_at_hand(void **state)
{
	int stopped = 0;
	(void)state;
	both_welcome();
	send_job(1, "plain", STANDPIPE__JOB__KIND__CONVERT);
	struct frame_header store = peer_expect(&ship, FRAME_STORE)->header;
	worker_stop(worker, note, &stopped);
	peer_expect(&ingest, FRAME_BYE);
	assert_int_equal(stopped, 0);
	send_stored(store, STANDPIPE__STORED__STATUS__COMMITTED);
	expect_done(1, STANDPIPE__DONE__STATUS__ACCEPTED);
	peer_expect(&ship, FRAME_BYE);
	assert_int_equal(stopped, 1);
}

/* In a process of its own, because it must end. */
static void a_stuck_converter_ends_the_process(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(STDERR_FILENO);
		stage_open(&stage);
		stage.settings.convert_job_limit = 50;
		peer_bind(&ingest, &stage, "work.sock");
		peer_bind(&ship, &stage, "ship.sock");
		assert_int_equal(worker_new(stage.loop, stage.zmq, &stage.settings, 3, &worker, NULL), SP_OK);
		both_welcome();
		send_job(1, "stuck", STANDPIPE__JOB__KIND__CONVERT);
		stage_run(&stage, STAGE_LIMIT_MS);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SP_EXIT_FAILED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stuck_converter_ends_the_process), /* first: fork comes before threads */
	    TEST(a_job_is_stored_and_then_done),
	    TEST(every_ending_of_a_store_is_told),
	    TEST(what_cannot_be_converted_never_reaches_ship),
	    TEST(a_key_of_its_own_is_never_taken_for_one_of_all_others),
	    TEST(one_is_converted_while_another_waits_for_its_commit),
	    TEST(a_large_one_is_offered_until_there_is_room),
	    TEST(a_stale_plan_means_converting_again),
	    TEST(a_plan_that_never_fits_ends_in_busy),
	    TEST(what_ship_forgot_is_sent_again),
	    TEST(a_ship_that_goes_is_missed_at_once_and_greeted_when_it_is_back),
	    TEST(ship_hears_what_series_are_active),
	    TEST(silence_is_asked_about),
	    TEST(a_new_ingest_gets_no_old_jobs_but_learns_what_was_committed),
	    TEST(what_a_former_ingest_left_takes_no_place_of_a_new_one_s_jobs),
	    TEST(what_ship_said_in_a_former_session_counts_for_nothing),
	    TEST(ship_s_state_is_passed_on_at_once_and_each_second),
	    TEST(a_body_set_aside_is_handed_on_unparsed),
	    TEST(stopping_finishes_what_is_at_hand),
	};
	sp_log_init("convert", 3, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
