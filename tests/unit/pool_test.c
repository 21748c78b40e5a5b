/* The pool with workers played by the test: what ingest promises about each delivery. */
#include "ingest/pool.h"

#include "common/alloc.h"
#include "common/log.h"
#include "tests/lib/handover_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define LARGE (200 * 1024)

struct answer {
	int times, http_status;
	char code[32], result[32], request_id[64], text[64];
};

static struct stage stage;
static struct pool *pool;
static uint8_t spool_id[16] = "spool one";
static int bodies_out;

static int set_up(void **state)
{
	(void)state;
	stage_open(&stage);
	pool = pool_new(stage.loop, stage.zmq, &stage.settings, NULL);
	assert_non_null(pool);
	bodies_out = 0;
	memcpy(spool_id, "spool one", 10);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pool_free(&pool);
	stage_close(&stage);
	return 0;
}

static void note(void *arg, const struct outcome *o)
{
	struct answer *a = arg;
	a->times++;
	a->http_status = o->http_status;
	snprintf(a->code, sizeof a->code, "%s", o->code ? o->code : "");
	snprintf(a->result, sizeof a->result, "%s", o->result);
	snprintf(a->request_id, sizeof a->request_id, "%s", o->request_id);
	snprintf(a->text, sizeof a->text, "%s", o->text ? o->text : "");
}

static void body_back(void *arg, uint8_t *body, size_t n)
{
	(void)arg, (void)n;
	bodies_out--;
	sp_free(body);
}

static void submit(struct answer *a, const char *key, size_t n)
{
	struct delivery *d = delivery_new();
	d->body = sp_alloc(n);
	memset(d->body, key[0], n);
	d->body_n = n;
	d->body_free = body_back;
	d->request_id = sp_strdup(key);
	d->has_request_id = true;
	memcpy(d->key, key, strlen(key) < 16 ? strlen(key) : 16);
	d->done = note;
	d->done_arg = a;
	bodies_out++;
	pool_submit(pool, d);
	assert_true(a->times == 0 || a->times == 1);
}

/* A worker that ingest knows, with a ship in this state behind it. */
static void worker_tells(struct peer *p, Standpipe__State__Accepting accepting, int64_t seen_ms_ago)
{
	Standpipe__State s = STANDPIPE__STATE__INIT;
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	s.accepting = accepting;
	s.spool_id = (ProtobufCBinaryData){16, spool_id};
	s.ship_seen_ms_ago = seen_ms_ago;
	m.state = &s;
	peer_send(p, &(struct frame_header){.type = FRAME_PING, .session = p->session}, &m.base);
}

static bool is_taking(void *arg)
{
	(void)arg;
	return pool_refuses(pool, NULL, 0) == NULL;
}

static void worker_comes(struct peer *p)
{
	peer_connect(p, &stage, "work.sock");
	peer_hello(p);
	worker_tells(p, STANDPIPE__STATE__ACCEPTING__YES, 0);
	assert_true(stage_until(&stage, is_taking, NULL, STAGE_LIMIT_MS));
}

static void worker_says(struct peer *p, struct frame_header job, Standpipe__Done__Status status)
{
	Standpipe__Done m = STANDPIPE__DONE__INIT;
	m.status = status;
	m.spool_id = (ProtobufCBinaryData){16, spool_id};
	job.type = FRAME_DONE;
	peer_send(p, &job, &m.base);
}

static bool is_answered(void *arg)
{
	return ((struct answer *)arg)->times > 0;
}

static void expect_answer(struct answer *a, int http_status, const char *code, const char *result)
{
	assert_true(stage_until(&stage, is_answered, a, STAGE_LIMIT_MS));
	assert_int_equal(a->times, 1);
	assert_int_equal(a->http_status, http_status);
	assert_string_equal(a->code, code);
	assert_string_equal(a->result, result);
}

static const Standpipe__Job *job_of(const struct frame *f)
{
	return (const Standpipe__Job *)f->message;
}

static bool all_bodies_back(void *arg)
{
	(void)arg;
	return bodies_out == 0;
}

static void a_delivery_goes_to_a_worker_and_its_answer_comes_back(void **state)
{
	const size_t sizes[] = {10, LARGE};
	struct peer w;
	(void)state;
	worker_comes(&w);
	for (size_t i = 0; i < 2; i++) {
		struct answer a = {0};
		submit(&a, i ? "large" : "small", sizes[i]);
		const struct frame *f = peer_expect(&w, FRAME_JOB);
		assert_int_equal(f->n_bulk, 1);
		assert_int_equal(f->bulk[0].n, sizes[i]);
		assert_int_equal(f->bulk[0].p[sizes[i] - 1], i ? 'l' : 's');
		assert_int_equal(f->header.attempt, 1);
		assert_true(f->header.remaining_ms > 15000);
		assert_int_equal(job_of(f)->kind, STANDPIPE__JOB__KIND__CONVERT);
		assert_string_equal(job_of(f)->request_id, i ? "large" : "small");
		assert_int_equal(a.times, 0);
		worker_says(&w, f->header, STANDPIPE__DONE__STATUS__ACCEPTED);
		worker_says(&w, f->header, STANDPIPE__DONE__STATUS__ACCEPTED); /* once more changes nothing */
		expect_answer(&a, 200, "", "accepted");
	}
	peer_close(&w);
	stage_run(&stage, 20);
	assert_true(stage_until(&stage, all_bodies_back, NULL, STAGE_LIMIT_MS));
}

static void without_a_ship_that_accepts_nothing_is_taken(void **state)
{
	struct peer w;
	(void)state;
	assert_string_equal(pool_refuses(pool, NULL, 0)->code, "E_STARTING");
	worker_comes(&w);
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__FULL, 0);
	stage_run(&stage, 20);
	assert_string_equal(pool_refuses(pool, NULL, 0)->code, "E_STORE");
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, 3100);
	stage_run(&stage, 20);
	assert_string_equal(pool_refuses(pool, NULL, 0)->code, "E_STARTING");
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, -1);
	stage_run(&stage, 20);
	assert_string_equal(pool_refuses(pool, NULL, 0)->code, "E_STARTING");
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, 10);
	assert_true(stage_until(&stage, is_taking, NULL, STAGE_LIMIT_MS));
	pool_stop(pool);
	assert_string_equal(pool_refuses(pool, NULL, 0)->code, "E_SHUTDOWN");
	assert_int_equal(pool_refuses(pool, NULL, 0)->http_status, 503);
	peer_close(&w);
}

static bool is_key_refused(void *arg)
{
	const struct outcome *o = pool_refuses(pool, arg, 0);
	return o && o->http_status == 401 && strcmp(o->code, "E_TOKEN") == 0;
}

static void a_key_that_a_receiver_does_not_accept_is_refused_until_it_does(void **state)
{
	struct peer w;
	Standpipe__State s = STANDPIPE__STATE__INIT;
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	char *keys[] = {(char *)"one", (char *)"two"};
	(void)state;
	worker_comes(&w);
	s.accepting = STANDPIPE__STATE__ACCEPTING__YES;
	s.unauthorized_keys = keys, s.n_unauthorized_keys = 2;
	m.state = &s;
	peer_send(&w, &(struct frame_header){.type = FRAME_PING, .session = w.session}, &m.base);
	assert_true(stage_until(&stage, is_key_refused, keys[1], STAGE_LIMIT_MS));
	assert_null(pool_refuses(pool, "three", 0));
	assert_null(pool_refuses(pool, NULL, 0));
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, -1); /* ship has gone: that is what there is to say */
	stage_run(&stage, 20);
	assert_string_equal(pool_refuses(pool, "two", 0)->code, "E_STARTING");
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, 0);
	stage_run(&stage, 20);
	assert_null(pool_refuses(pool, "two", 0));
	peer_close(&w);
}

static void a_repeat_attaches_to_the_one_in_work_and_later_is_known(void **state)
{
	struct peer w;
	struct answer first = {0}, second = {0}, third = {0}, fourth = {0};
	(void)state;
	worker_comes(&w);
	submit(&first, "k", 10);
	struct frame_header job = peer_expect(&w, FRAME_JOB)->header;
	submit(&second, "k", 10);
	assert_true(peer_hears_nothing(&w, 30));
	worker_says(&w, job, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&first, 200, "", "accepted");
	expect_answer(&second, 200, "", "accepted");
	submit(&third, "k", 10);
	assert_int_equal(third.times, 0); /* never from within */
	expect_answer(&third, 200, "", "duplicate");
	assert_string_equal(third.request_id, "k");
	/* Another spool has another ledger: only ship can say. */
	memcpy(spool_id, "spool two", 10);
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, 0);
	stage_run(&stage, 20);
	submit(&fourth, "k", 10);
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__DUPLICATE);
	expect_answer(&fourth, 200, "", "duplicate");
	peer_close(&w);
}

static void at_the_deadline_the_answer_is_slow_and_the_late_commit_is_found(void **state)
{
	struct peer w;
	struct answer queued = {0}, sent = {0}, again = {0};
	(void)state;
	stage.settings.ingest_deadline = 50;
	submit(&queued, "queued", 10); /* no worker yet */
	expect_answer(&queued, 503, "E_SLOW", "slow");
	assert_true(pool_idle(pool));
	worker_comes(&w);
	assert_true(peer_hears_nothing(&w, 20)); /* it was dropped */
	submit(&sent, "sent", 10);
	struct frame_header job = peer_expect(&w, FRAME_JOB)->header;
	expect_answer(&sent, 503, "E_SLOW", "slow");
	worker_says(&w, job, STANDPIPE__DONE__STATUS__ACCEPTED);
	stage_run(&stage, 20);
	submit(&again, "sent", 10);
	expect_answer(&again, 200, "", "duplicate");
	peer_close(&w);
}

static void slowness_never_sends_a_job_twice(void **state)
{
	struct peer w, idle;
	struct answer a = {0}, again = {0};
	(void)state;
	stage.settings.ingest_deadline = 50;
	worker_comes(&w);
	submit(&a, "k", 10);
	struct frame_header job = peer_expect(&w, FRAME_JOB)->header;
	worker_comes(&idle);
	expect_answer(&a, 503, "E_SLOW", "slow");
	stage.settings.ingest_deadline = 20000;
	submit(&again, "k", 10);
	assert_true(peer_hears_nothing(&idle, 50));
	worker_says(&w, job, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&again, 200, "", "accepted");
	peer_close(&w);
	peer_close(&idle);
}

static void a_dead_worker_s_job_goes_to_another_one(void **state)
{
	struct peer w, other;
	struct answer a = {0};
	(void)state;
	worker_comes(&w);
	submit(&a, "k", LARGE);
	struct frame_header first = peer_expect(&w, FRAME_JOB)->header;
	peer_close(&w);
	worker_comes(&other);
	struct frame_header second = peer_expect(&other, FRAME_JOB)->header;
	assert_int_equal(second.job, first.job);
	assert_int_equal(second.attempt, 2);
	assert_int_equal(other.got->bulk[0].n, LARGE);
	worker_says(&other, first, STANDPIPE__DONE__STATUS__BUSY); /* an answer to the former attempt is none */
	worker_says(&other, second, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a, 200, "", "accepted");
	peer_close(&other);
}

/* The worker is the same, its session is new: what it says of the first attempt is not about the second. */
static void an_answer_to_a_former_attempt_frees_no_slot(void **state)
{
	struct peer w, other;
	struct answer a = {0};
	(void)state;
	worker_comes(&w);
	submit(&a, "k", 10);
	struct frame_header first = peer_expect(&w, FRAME_JOB)->header;
	peer_hello(&w);
	worker_tells(&w, STANDPIPE__STATE__ACCEPTING__YES, 0);
	assert_int_equal(peer_expect(&w, FRAME_JOB)->header.attempt, 2);
	first.session = w.session;
	worker_says(&w, first, STANDPIPE__DONE__STATUS__FULL);
	stage_run(&stage, 30);
	assert_int_equal(a.times, 0);
	peer_close(&w);
	worker_comes(&other);
	struct frame_header third = peer_expect(&other, FRAME_JOB)->header;
	assert_int_equal(third.attempt, 3);
	worker_says(&other, third, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a, 200, "", "accepted");
	peer_close(&other);
}

static struct {
	int times;
	bool others_had_a_turn;
} repeats;

static void repeat(void *arg, const struct outcome *o)
{
	(void)o;
	if (++repeats.times == 1000 || repeats.others_had_a_turn)
		return;
	struct delivery *d = delivery_new();
	memcpy(d->key, "known", 5);
	d->done = repeat;
	d->done_arg = arg;
	pool_submit(pool, d);
}

static void have_a_turn(void *arg)
{
	(void)arg;
	repeats.others_had_a_turn = true;
}

static void who_repeats_at_once_leaves_others_their_turn(void **state)
{
	struct peer w;
	struct answer a = {0};
	struct sp_timer timer = {0};
	const struct outcome none = {0};
	(void)state;
	worker_comes(&w);
	submit(&a, "known", 10);
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a, 200, "", "accepted");
	memset(&repeats, 0, sizeof repeats);
	repeat(NULL, &none);
	sp_timer_set(stage.loop, &timer, 0, have_a_turn, NULL);
	stage_run(&stage, 30);
	assert_in_range(repeats.times, 2, 10);
	peer_close(&w);
}

static void what_was_in_a_dying_worker_runs_alone(void **state)
{
	struct peer w, other;
	struct answer a = {0}, b = {0}, c = {0};
	(void)state;
	worker_comes(&w);
	submit(&a, "a", 10);
	submit(&b, "b", 10);
	peer_expect(&w, FRAME_JOB);
	peer_expect(&w, FRAME_JOB);
	peer_close(&w);
	worker_comes(&other);
	submit(&c, "c", 10);
	for (int i = 0; i < 2; i++) {
		struct frame_header h = peer_expect(&other, FRAME_JOB)->header;
		assert_true(h.key[0] == 'a' || h.key[0] == 'b');
		assert_true(peer_hears_nothing(&other, 20));
		worker_says(&other, h, STANDPIPE__DONE__STATUS__ACCEPTED);
	}
	worker_says(&other, peer_expect(&other, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a, 200, "", "accepted");
	expect_answer(&b, 200, "", "accepted");
	expect_answer(&c, 200, "", "accepted");
	peer_close(&other);
}

static void dies_with(const char *key)
{
	struct peer w;
	worker_comes(&w);
	assert_int_equal(peer_expect(&w, FRAME_JOB)->header.key[0], key[0]);
	assert_int_equal(job_of(w.got)->kind, STANDPIPE__JOB__KIND__CONVERT);
	peer_close(&w);
	stage_run(&stage, 30);
}

static void a_body_that_kills_three_workers_alone_is_set_aside(void **state)
{
	struct peer w;
	struct answer bad = {0}, good = {0};
	(void)state;
	submit(&bad, "bad", 10);
	dies_with("bad");
	dies_with("bad");
	/* The workers are well: another job is completed. */
	submit(&good, "good", 10);
	worker_comes(&w);
	assert_int_equal(peer_expect(&w, FRAME_JOB)->header.key[0], 'b');
	struct peer well;
	worker_comes(&well);
	worker_says(&well, peer_expect(&well, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&good, 200, "", "accepted");
	peer_close(&w);
	const struct frame *f = peer_expect(&well, FRAME_JOB);
	assert_int_equal(job_of(f)->kind, STANDPIPE__JOB__KIND__SET_ASIDE);
	worker_says(&well, f->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&bad, 200, "", "set_aside");
	peer_close(&well);
}

static void a_body_that_was_not_looked_at_is_not_cleared(void **state)
{
	struct peer w, well;
	struct answer first = {0}, bad = {0}, good = {0};
	(void)state;
	submit(&first, "bad", 10);
	dies_with("bad");
	dies_with("bad");
	worker_comes(&w);
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__BUSY); /* it had no plan */
	expect_answer(&first, 503, "E_BUSY", "busy");
	submit(&good, "good", 10);
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&good, 200, "", "accepted");
	submit(&bad, "bad", 10);
	assert_int_equal(job_of(peer_expect(&w, FRAME_JOB))->kind, STANDPIPE__JOB__KIND__CONVERT);
	peer_close(&w);
	worker_comes(&well);
	const struct frame *f = peer_expect(&well, FRAME_JOB);
	assert_int_equal(job_of(f)->kind, STANDPIPE__JOB__KIND__SET_ASIDE);
	worker_says(&well, f->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&bad, 200, "", "set_aside");
	peer_close(&well);
}

static void workers_that_complete_nothing_are_to_blame_themselves(void **state)
{
	struct answer a = {0}, again = {0};
	(void)state;
	submit(&a, "k", 10);
	for (int i = 0; i < 3; i++)
		dies_with("k");
	expect_answer(&a, 503, "E_CRASH", "crash");
	submit(&again, "k", 10);
	expect_answer(&again, 503, "E_CRASH", "crash");
}

static void not_more_bodies_than_allowed_are_set_aside(void **state)
{
	struct peer w;
	struct answer good = {0}, bad = {0};
	(void)state;
	pool_free(&pool);
	stage_close(&stage);
	stage_open(&stage);
	stage.settings.ingest_poison_per_hour = 0;
	pool = pool_new(stage.loop, stage.zmq, &stage.settings, NULL);
	submit(&bad, "bad", 10);
	dies_with("bad");
	submit(&good, "good", 10);
	struct peer well;
	worker_comes(&w);
	peer_expect(&w, FRAME_JOB);
	worker_comes(&well);
	worker_says(&well, peer_expect(&well, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&good, 200, "", "accepted");
	peer_close(&well);
	peer_close(&w);
	stage_run(&stage, 30);
	dies_with("bad");
	expect_answer(&bad, 503, "E_CRASH", "crash");
}

static void another_protocol_or_release_is_refused_with_a_sentence(void **state)
{
	struct peer p;
	Standpipe__Hello m = peer_hello_message();
	(void)state;
	peer_connect(&p, &stage, "work.sock");
	m.min_version = m.max_version = FRAME_VERSION + 1;
	peer_send(&p, &(struct frame_header){.type = FRAME_HELLO, .session = 1}, &m.base);
	const Standpipe__Refused *r = (const Standpipe__Refused *)peer_expect(&p, FRAME_REFUSED)->message;
	assert_int_equal(r->reason, STANDPIPE__REFUSED__REASON__VERSION);
	assert_non_null(strstr(r->text, "upgrade"));
	m = peer_hello_message();
	m.release = (char *)"0.0.9";
	peer_send(&p, &(struct frame_header){.type = FRAME_HELLO, .session = 1}, &m.base);
	r = (const Standpipe__Refused *)peer_expect(&p, FRAME_REFUSED)->message;
	assert_int_equal(r->reason, STANDPIPE__REFUSED__REASON__RELEASE);
	assert_non_null(strstr(r->text, "0.0.9"));
	peer_close(&p);
}

static void an_unknown_session_must_say_hello_but_its_commit_counts(void **state)
{
	struct peer p;
	struct answer a = {0};
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	struct frame_header job = {.session = 77, .job = 5, .attempt = 1, .key = "late"};
	(void)state;
	peer_connect(&p, &stage, "work.sock");
	peer_send(&p, &(struct frame_header){.type = FRAME_PING, .session = 77}, &m.base);
	const struct frame *f = peer_expect(&p, FRAME_REFUSED);
	assert_int_equal(((const Standpipe__Refused *)f->message)->reason, STANDPIPE__REFUSED__REASON__SAY_HELLO);
	assert_int_equal(f->header.session, 77);
	worker_says(&p, job, STANDPIPE__DONE__STATUS__ACCEPTED); /* of a job of a former ingest */
	peer_expect(&p, FRAME_REFUSED);
	submit(&a, "late", 10);
	expect_answer(&a, 200, "", "duplicate");
	peer_close(&p);
}

static void who_has_gone_is_not_answered(void **state)
{
	struct peer w;
	struct answer queued = {0}, sent = {0}, soon = {0};
	(void)state;
	submit(&queued, "q", 10);
	pool_forget(pool, &queued);
	worker_comes(&w);
	assert_true(peer_hears_nothing(&w, 20)); /* nobody wants it any more */
	submit(&sent, "s", 10);
	struct frame_header job = peer_expect(&w, FRAME_JOB)->header;
	pool_forget(pool, &sent);
	assert_true(pool_idle(pool));
	worker_says(&w, job, STANDPIPE__DONE__STATUS__ACCEPTED);
	stage_run(&stage, 20);
	submit(&soon, "s", 10); /* known */
	pool_forget(pool, &soon);
	stage_run(&stage, 20);
	assert_int_equal(queued.times + sent.times + soon.times, 0);
	assert_int_equal(bodies_out, 0);
	peer_close(&w);
}

static void statuses_become_answers_firehose_understands(void **state)
{
	static const struct {
		Standpipe__Done__Status status;
		uint32_t http_status;
		int answer;
		const char *code, *result;
	} cases[] = {{STANDPIPE__DONE__STATUS__REFUSED, 400, 400, "E_JSON", "refused"},
	    {STANDPIPE__DONE__STATUS__REFUSED, 413, 400, "E_JSON", "refused"}, /* never 413 */
	    {STANDPIPE__DONE__STATUS__REFUSED, 200, 400, "E_JSON", "refused"},
	    {STANDPIPE__DONE__STATUS__FULL, 0, 503, "E_STORE", "full"},
	    {STANDPIPE__DONE__STATUS__BUSY, 0, 503, "E_BUSY", "busy"},
	    {STANDPIPE__DONE__STATUS__ERROR, 0, 503, "E_STORE", "error"}};
	struct peer w;
	(void)state;
	worker_comes(&w);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct answer a = {0};
		Standpipe__Done m = STANDPIPE__DONE__INIT;
		submit(&a, "same key, none is committed", 10);
		struct frame_header h = peer_expect(&w, FRAME_JOB)->header;
		m.status = cases[i].status;
		m.http_status = cases[i].http_status;
		m.code = (char *)"E_JSON";
		m.text = (char *)"no";
		m.request_id = (char *)"from the body";
		h.type = FRAME_DONE;
		peer_send(&w, &h, &m.base);
		expect_answer(&a, cases[i].answer, cases[i].code, cases[i].result);
		assert_string_equal(a.request_id, "from the body");
		if (m.status == STANDPIPE__DONE__STATUS__BUSY) /* the worker knows what there is no room for */
			assert_string_equal(a.text, "no");
	}
	peer_close(&w);
}

static void a_worker_holds_two_jobs_and_a_large_one_goes_to_an_empty_one(void **state)
{
	struct peer w;
	struct answer a[4] = {0};
	struct frame_header jobs[2];
	(void)state;
	worker_comes(&w);
	submit(&a[0], "0", 10);
	submit(&a[1], "1", 10);
	submit(&a[2], "2", (size_t)9 << 20);
	submit(&a[3], "3", 10);
	jobs[0] = peer_expect(&w, FRAME_JOB)->header;
	jobs[1] = peer_expect(&w, FRAME_JOB)->header;
	assert_true(peer_hears_nothing(&w, 20));
	worker_says(&w, jobs[0], STANDPIPE__DONE__STATUS__ACCEPTED);
	assert_true(peer_hears_nothing(&w, 20)); /* not empty yet */
	worker_says(&w, jobs[1], STANDPIPE__DONE__STATUS__ACCEPTED);
	jobs[0] = peer_expect(&w, FRAME_JOB)->header;
	assert_int_equal(jobs[0].key[0], '2');
	assert_true(peer_hears_nothing(&w, 20));
	worker_says(&w, jobs[0], STANDPIPE__DONE__STATUS__ACCEPTED);
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a[3], 200, "", "accepted");
	peer_close(&w);
}

static void garbage_on_the_socket_is_thrown_away(void **state)
{
	struct peer w;
	struct answer a = {0};
	uint8_t noise[64];
	(void)state;
	worker_comes(&w);
	for (int i = 0; i < 200; i++) {
		frame_random(noise, sizeof noise);
		if (i % 3 == 0)
			memcpy(noise, "SPF1\x07\x00\x01\x00", 8);
		zmq_send(w.zsock, noise, i % 2 ? 48 : (size_t)(i % 64), i % 5 ? ZMQ_SNDMORE : 0);
		if (i % 5)
			zmq_send(w.zsock, noise, (size_t)(i % 60), 0);
		if (i % 10 == 0)
			stage_run(&stage, 1);
	}
	stage_run(&stage, 20);
	submit(&a, "k", 10);
	w.skip |= 1u << FRAME_REFUSED; /* some of it looked like frames of strangers */
	worker_says(&w, peer_expect(&w, FRAME_JOB)->header, STANDPIPE__DONE__STATUS__ACCEPTED);
	expect_answer(&a, 200, "", "accepted");
	peer_close(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_delivery_goes_to_a_worker_and_its_answer_comes_back),
	    TEST(without_a_ship_that_accepts_nothing_is_taken),
	    TEST(a_key_that_a_receiver_does_not_accept_is_refused_until_it_does),
	    TEST(a_repeat_attaches_to_the_one_in_work_and_later_is_known),
	    TEST(at_the_deadline_the_answer_is_slow_and_the_late_commit_is_found),
	    TEST(slowness_never_sends_a_job_twice),
	    TEST(a_dead_worker_s_job_goes_to_another_one),
	    TEST(an_answer_to_a_former_attempt_frees_no_slot),
	    TEST(who_repeats_at_once_leaves_others_their_turn),
	    TEST(what_was_in_a_dying_worker_runs_alone),
	    TEST(a_body_that_kills_three_workers_alone_is_set_aside),
	    TEST(a_body_that_was_not_looked_at_is_not_cleared),
	    TEST(workers_that_complete_nothing_are_to_blame_themselves),
	    TEST(not_more_bodies_than_allowed_are_set_aside),
	    TEST(another_protocol_or_release_is_refused_with_a_sentence),
	    TEST(an_unknown_session_must_say_hello_but_its_commit_counts),
	    TEST(who_has_gone_is_not_answered),
	    TEST(statuses_become_answers_firehose_understands),
	    TEST(a_worker_holds_two_jobs_and_a_large_one_goes_to_an_empty_one),
	    TEST(garbage_on_the_socket_is_thrown_away),
	};
	sp_log_init("ingest", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
