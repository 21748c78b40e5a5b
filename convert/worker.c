#include "convert/worker.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/metrics.h"
#include "convert/sketches.h"
#include "convert/link.h"
#include "convert/result.h"
#include "convert/tally.h"
#include "proto/plan.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#define SLOTS 2 /* one is converted while one waits for its commit */
#define JOBS_MAX (2 * SLOTS) /* those of a former ingest session end in their own time */
#define PING_MS 1000
#define SKETCHES_EVERY 10 /* pings to ship: with what is known of active series */
#define ASK_MS 5000	   /* this long without an answer from ship */
#define OFFER_AGAIN_MS 200 /* after a "busy" to an offer */
#define CONVERSIONS_MAX 4  /* of one delivery, when plan follows plan */
#define MESSAGES_PER_TURN 16
#define FROM_SHIP_MAX_BYTES ((int64_t)PLAN_MAX_BYTES + (8 << 20)) /* with the labels of accounts, from a file of 4 MiB at most */
#define ATTRIBUTE_LOG_PLACES 64
#define ATTRIBUTE_LOG_MS 3600000
#define SCRATCH_BYTES ((size_t)64 << 20)

enum phase { FREE = 0, WAITS_FOR_SHIP, WAITS_FOR_GO, OFFERS_AGAIN, WAITS_FOR_STORED };

struct job {
	enum phase phase;
	struct frame *frame; /* the JOB: its body is needed until ship has answered */
	struct result result;
	struct sp_timer timer;
	int64_t give_up_ms; /* monotonic: the delivery's deadline */
	unsigned conversions;
	Standpipe__Counts counts;
	char account[64];
	char *request_id; /* to echo */
	struct worker *worker;
};

struct worker {
	struct sp_loop *loop;
	struct link ingest, ship;
	struct sp_timer tick;
	unsigned pings; /* to ship */
	uint32_t slot;
	int64_t job_limit_ms;
	struct converter *converter;
	struct tally *tally;
	struct sp_arena *scratch;
	ProtobufCMessage *plan;	 /* a Plan; NULL: the converter has none */
	ProtobufCMessage *state; /* ship's last State */
	struct sp_mono ship_seen;
	struct job jobs[JOBS_MAX];
	void (*stopped)(void *arg);
	void *stopped_arg;
	bool stopping;
	struct sp_log_rate attribute_logs[ATTRIBUTE_LOG_PLACES]; /* by the stream's hash */
};

static const Standpipe__Job *job_message(const struct job *j)
{
	return (const Standpipe__Job *)j->frame->message;
}

static uint64_t plan_epoch(const struct worker *w)
{
	return w->plan ? ((const Standpipe__Plan *)w->plan)->epoch : 0;
}

/* ---- what the peers hear from us unasked ---- */

/* Ship's state, as it was told and how long ago. */
static void ping_ingest(struct worker *w)
{
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	Standpipe__State state = STANDPIPE__STATE__INIT;
	if (!w->ingest.welcomed || w->stopping)
		return; /* after BYE it would only be refused */
	if (w->state)
		state = *(const Standpipe__State *)w->state;
	if (!w->plan)
		state.accepting = STANDPIPE__STATE__ACCEPTING__STARTING;
	state.ship_seen_ms_ago = w->state && w->ship.welcomed ? sp_loop_now(w->loop).ms - w->ship_seen.ms : -1;
	m.state = &state;
	link_send(&w->ingest, (struct frame_header){.type = FRAME_PING}, &m.base);
}

static void ship_lost(void *arg)
{
	ping_ingest(arg); /* at once, so that no delivery is taken that could not be stored */
}

static void ping_ship(struct worker *w)
{
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	bool with_sketches = ++w->pings % SKETCHES_EVERY == 0;
	m.plan_epoch = plan_epoch(w);
	if (with_sketches)
		sketches_fill(converter_sketches(w->converter), &m);
	link_send(&w->ship, (struct frame_header){.type = FRAME_PING}, &m.base);
	if (with_sketches)
		sketches_clear(converter_sketches(w->converter));
}

static void each_second(void *arg)
{
	struct worker *w = arg;
	if (w->ship.welcomed)
		ping_ship(w);
	else
		link_say_hello(&w->ship);
	if (w->ingest.welcomed)
		ping_ingest(w);
	else
		link_say_hello(&w->ingest);
	sp_timer_set(w->loop, &w->tick, PING_MS, each_second, w);
}

/* ---- the end of a job ---- */

static bool is_idle(const struct worker *w)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (w->jobs[i].phase != FREE)
			return false;
	return true;
}

static void job_free(struct worker *w, struct job *j)
{
	sp_timer_cancel(w->loop, &j->timer);
	result_clear(&j->result);
	if (j->frame)
		frame_free(j->frame);
	sp_free(j->frame);
	sp_free(j->request_id);
	*j = (struct job){.worker = w};
	if (w->stopping && is_idle(w)) {
		link_say_bye(&w->ship);
		w->stopped(w->stopped_arg);
	}
}

static void send_done(struct worker *w, const struct frame *job, Standpipe__Done *m)
{
	static const char *const words[] = {"error", "accepted", "duplicate", "refused", "full", "busy"};
	sp_crash_point("convert.before_done");
	/* Ingest never has more than two jobs here: the queue can only be full while it is away, and then it has
	 * forgotten them. In the present session, because a new ingest learns the key of what the former one sent. */
	link_send(&w->ingest, frame_answer(job, FRAME_DONE), &m->base);
	sp_metric_add(M_CONVERT_JOBS, SP_L(words[m->status]), 1);
}

static void job_done(struct worker *w, struct job *j, Standpipe__Done__Status status, const char *text)
{
	Standpipe__Done m = STANDPIPE__DONE__INIT;
	const Standpipe__State *state = (const Standpipe__State *)w->state;
	m.status = status;
	m.text = (char *)text;
	m.request_id = j->request_id ? j->request_id : job_message(j)->request_id;
	m.counts = j->counts.base.descriptor ? &j->counts : NULL;
	if (state)
		m.spool_id = state->spool_id;
	send_done(w, j->frame, &m);
	job_free(w, j);
}

static void job_refused(struct worker *w, struct job *j, const struct convert_out *out)
{
	Standpipe__Done m = STANDPIPE__DONE__INIT;
	m.status = STANDPIPE__DONE__STATUS__REFUSED;
	m.http_status = (uint32_t)out->http_status;
	m.code = (char *)out->code;
	m.text = (char *)out->text;
	m.request_id = j->request_id;
	m.counts = &j->counts;
	send_done(w, j->frame, &m);
	job_free(w, j);
}

/* ---- handing over to ship ---- */

static void job_timer(void *arg);

/* Sent, or waiting for the timer: a send that fails is found out by asking. */
static void send_store(struct worker *w, struct job *j)
{
	struct frame_header h = frame_answer(j->frame, FRAME_STORE);
	h.session = w->ship.session;
	sp_crash_point("convert.before_store");
	(void)!frame_send_parts(w->ship.zsock, NULL, &h, j->result.parts, j->result.n_parts);
	sp_crash_point("convert.after_store");
	j->phase = WAITS_FOR_STORED;
	sp_timer_set(w->loop, &j->timer, ASK_MS, job_timer, j);
}

static void send_offer(struct worker *w, struct job *j)
{
	Standpipe__Offer m = STANDPIPE__OFFER__INIT;
	m.bytes = j->result.bulk_bytes;
	link_send(&w->ship, frame_answer(j->frame, FRAME_OFFER), &m.base);
	j->phase = WAITS_FOR_GO;
	sp_timer_set(w->loop, &j->timer, ASK_MS, job_timer, j);
}

static void hand_over(struct worker *w, struct job *j)
{
	if (!w->ship.welcomed)
		j->phase = WAITS_FOR_SHIP;
	else if (j->result.bulk_bytes > FRAME_OFFER_FROM_BYTES)
		send_offer(w, j);
	else
		send_store(w, j);
}

static void job_timer(void *arg)
{
	struct job *j = arg;
	struct worker *w = j->worker;
	if (j->phase == WAITS_FOR_STORED) {
		Standpipe__Ask m = STANDPIPE__ASK__INIT;
		if (w->ship.welcomed) /* else it is sent again with the welcome */
			link_send(&w->ship, frame_answer(j->frame, FRAME_ASK), &m.base);
		sp_timer_set(w->loop, &j->timer, ASK_MS, job_timer, j);
	} else if (j->phase == OFFERS_AGAIN && sp_loop_now(w->loop).ms >= j->give_up_ms) {
		job_done(w, j, STANDPIPE__DONE__STATUS__BUSY, "ship had no room for this delivery before its deadline");
	} else if (j->phase != WAITS_FOR_SHIP) {
		hand_over(w, j);
	}
}

/* ---- converting ---- */

/* Only what is safe in a signal handler: say it and go. */
static void stuck(int signal)
{
	static const char text[] =
	    "level=error event=worker.stuck limit=convert.job_limit msg=\"one delivery took too long\"\n";
	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof text - 1);
	_exit(SP_EXIT_FAILED);
}

static void watchdog(int64_t ms)
{
	struct itimerval t = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
	setitimer(ITIMER_REAL, &t, NULL);
}

/* They are not needed to keep a delivery, so they are only spoken of: once an hour, and, but for chance, for each stream. */
static void warn_of_attributes(struct worker *w, const char *source_arn, const struct convert_out *out)
{
	struct sp_log_rate *rate = &w->attribute_logs[sp_crc32c(0, source_arn, strlen(source_arn)) % ATTRIBUTE_LOG_PLACES];
	if (out->attributes_left_out && sp_log_due(rate, ATTRIBUTE_LOG_MS))
		sp_log(SP_LOG_WARN, "attributes.left_out", sp_f_str("source_arn", source_arn),
		    sp_f_u64("attributes", out->attributes_left_out), sp_f_str("msg", out->attributes_text), SP_LOG_END);
}

static void count(struct worker *w, const struct convert_out *out)
{
	static const char *const formats[CW_FORMATS] = {
	    [CW_OTLP07] = "otlp07", [CW_OTLP10] = "otlp10", [CW_JSON] = "json"};
	tally_count(w->tally, out->arrived, out->n_arrived, sp_wall_ms());
	for (int i = 0; i < CW_FORMATS; i++)
		if (out->points[i])
			sp_metric_add(M_CONVERT_POINTS, SP_L(formats[i]), (double)out->points[i]);
	for (size_t i = 0; i < out->n_quarantine; i++)
		sp_metric_add(
		    M_CONVERT_QUARANTINED, SP_L(out->quarantine[i].reason), (double)out->quarantine[i].pieces);
	sp_metric_add(M_CONVERT_SAMPLES, NULL, (double)out->samples);
	if (out->dropped_values)
		sp_metric_add(M_CONVERT_DROPPED_VALUES, NULL, (double)out->dropped_values);
	for (size_t i = 0; i < out->n_groups; i++) {
		for (size_t k = 0; k < out->groups[i].n_counts; k++) {
			const struct convert_count *c = &out->groups[i].counts[k];
			if (c->n)
				sp_metric_add(c->metric, c->label ? SP_L(c->label) : NULL, (double)c->n);
		}
	}
	if (out->attributes_left_out)
		sp_metric_add(M_CONVERT_ATTRIBUTES_LEFT_OUT, NULL, (double)out->attributes_left_out);
}

/* A body that crashes workers: handed on as one piece, not looked into. */
static void set_aside(const struct frame *f, struct convert_out *out, struct convert_quarantine *item)
{
	*item = (struct convert_quarantine){.reason = "crashes_workers",
	    .form = PIECE_BODY,
	    .record = -1,
	    .pieces = 1,
	    .bytes = f->bulk[0],
	    .text = "workers that converted this body ended; it was not looked into again"};
	*out = (struct convert_out){.quarantined = 1,
	    .quarantine = item,
	    .n_quarantine = 1,
	    .request_id = sp_str(((const Standpipe__Job *)f->message)->request_id)};
}

static enum sp_status run_converter(
    struct worker *w, const struct frame *f, struct convert_out *out, struct sp_why *why)
{
	const Standpipe__Job *m = (const Standpipe__Job *)f->message;
	struct convert_in in = {.body = f->bulk[0],
	    .gzip = m->coding == STANDPIPE__JOB__CODING__GZIP,
	    .max_inflated = (size_t)m->max_inflated,
	    .has_request_id = m->has_request_id,
	    .request_id = sp_str(m->request_id),
	    .source_arn = sp_str(m->source_arn),
	    .key_name = sp_str(m->key_name),
	    .common_attributes = sp_bytes(m->common_attributes.data, m->common_attributes.len),
	    .now_ms = sp_wall_ms()};
	struct sp_mono start = sp_mono_now();
	watchdog(w->job_limit_ms);
	enum sp_status status = converter_run(w->converter, &in, out, why);
	watchdog(0);
	sp_metric_observe(M_CONVERT_JOB_SECONDS, NULL, (double)sp_mono_since_ms(start) / 1000);
	return status;
}

/* A key of ingest.keys_dir that ship has not seen yet, or sees no more, must not be taken for one of all others. */
static bool knows_key(const struct worker *w, const Standpipe__Job *m)
{
	const Standpipe__Plan *plan = (const Standpipe__Plan *)w->plan;
	for (size_t i = 0; m->needs_tenant && i < plan->n_tenants; i++)
		if (strcmp(plan->tenants[i]->key_name, m->key_name) == 0)
			return true;
	return !m->needs_tenant;
}

/* Converts and hands over, or answers at once. */
static void job_convert(struct worker *w, struct job *j)
{
	struct convert_out out;
	struct convert_quarantine item;
	struct sp_why why = {.text = ""};
	enum sp_status status = SP_OK;
	result_clear(&j->result);
	if (!w->plan) {
		job_done(w, j, STANDPIPE__DONE__STATUS__BUSY, "there is no plan from ship yet");
		return;
	}
	if (!knows_key(w, job_message(j))) {
		job_done(w, j, STANDPIPE__DONE__STATUS__BUSY, "ship does not know this access key yet");
		return;
	}
	j->conversions++;
	if (job_message(j)->kind == STANDPIPE__JOB__KIND__SET_ASIDE)
		set_aside(j->frame, &out, &item);
	else
		status = run_converter(w, j->frame, &out, &why);
	if (status == SP_OK) {
		result_counts(&out, j->account, sizeof j->account, &j->counts);
		sp_free(j->request_id);
		j->request_id = sp_strndup(out.request_id.p, out.request_id.n);
		if (out.http_status) {
			job_refused(w, j, &out);
			return;
		}
		status = result_make(&j->result, job_message(j), &out, plan_epoch(w), w->scratch, &why);
	}
	if (status != SP_OK) {
		/* Too large or out of memory is "not now": nothing of it may be lost. */
		bool later = status == SP_NO_MEM || status == SP_TOO_BIG;
		sp_log(later ? SP_LOG_WARN : SP_LOG_ERROR, "delivery.failed",
		    sp_f_str("request_id", job_message(j)->request_id), sp_f_str("msg", why.text), SP_LOG_END);
		job_done(w, j, later ? STANDPIPE__DONE__STATUS__BUSY : STANDPIPE__DONE__STATUS__ERROR, why.text);
		return;
	}
	if (j->conversions == 1) {
		count(w, &out);
		warn_of_attributes(w, job_message(j)->source_arn, &out);
	}
	hand_over(w, j);
}

static void job_run(struct worker *w, struct job *j)
{
	job_convert(w, j);
	converter_rest(w->converter);
}

/* ---- from ingest ---- */

static void take_job(struct worker *w)
{
	struct frame *f = w->ingest.frame;
	struct job *j = w->jobs;
	while (j < w->jobs + JOBS_MAX && j->phase != FREE)
		j++;
	if (f->n_bulk != 1 || j == w->jobs + JOBS_MAX) {
		Standpipe__Done m = STANDPIPE__DONE__INIT;
		m.status = f->n_bulk != 1 ? STANDPIPE__DONE__STATUS__ERROR : STANDPIPE__DONE__STATUS__BUSY;
		m.text = (char *)(f->n_bulk != 1 ? "a JOB has exactly one body" : "this worker has no free slot");
		m.request_id = ((Standpipe__Job *)f->message)->request_id;
		send_done(w, f, &m);
		return;
	}
	w->ingest.frame = sp_new(struct frame);
	*j = (struct job){.phase = WAITS_FOR_SHIP,
	    .frame = f,
	    .worker = w,
	    .give_up_ms = sp_loop_now(w->loop).ms + f->header.remaining_ms};
	job_run(w, j);
}

static void take_from_ingest(struct worker *w)
{
	struct link *l = &w->ingest;
	switch (l->frame->header.type) {
	case FRAME_WELCOME:
		l->welcomed = true;
		ping_ingest(w); /* so that deliveries are taken at once */
		break;
	case FRAME_JOB:
		take_job(w);
		break;
	case FRAME_REFUSED:
		link_take_refused(l);
		break;
	default:
		break;
	}
}

/* ---- from ship ---- */

/* Takes the plan over from the message at *in. */
static void take_plan(struct worker *w, ProtobufCMessage **in)
{
	struct sp_why why;
	const Standpipe__Plan *plan = (const Standpipe__Plan *)*in;
	if (w->plan && plan->epoch == plan_epoch(w))
		return;
	enum sp_status status = converter_plan(w->converter, plan, &why);
	frame_unpacked_free(w->plan);
	w->plan = NULL;
	if (status != SP_OK) {
		sp_log(SP_LOG_ERROR, "plan.refused", sp_f_str("msg", why.text), SP_LOG_END);
		return;
	}
	w->plan = *in;
	*in = NULL;
}

static bool same_state(const Standpipe__State *a, const Standpipe__State *b)
{
	bool same = a->accepting == b->accepting && a->plan_epoch == b->plan_epoch &&
		    sp_eq(sp_bytes(a->spool_id.data, a->spool_id.len), sp_bytes(b->spool_id.data, b->spool_id.len)) &&
		    a->n_unauthorized_keys == b->n_unauthorized_keys;
	for (size_t i = 0; same && i < a->n_unauthorized_keys; i++)
		same = strcmp(a->unauthorized_keys[i], b->unauthorized_keys[i]) == 0;
	return same;
}

/* Keeps ship's state; ingest hears of a change at once. */
static void take_state(struct worker *w, ProtobufCMessage **in)
{
	const Standpipe__State *was = (const Standpipe__State *)w->state, *is = (const Standpipe__State *)*in;
	bool changed = !was || !same_state(was, is);
	w->ship_seen = sp_loop_now(w->loop);
	frame_unpacked_free(w->state);
	w->state = *in;
	*in = NULL;
	if (changed)
		ping_ingest(w);
}

static void take_welcome(struct worker *w)
{
	struct link *l = &w->ship;
	Standpipe__Welcome *m = (Standpipe__Welcome *)l->frame->message;
	bool again = l->welcomed;
	l->welcomed = true;
	if (m->plan) {
		ProtobufCMessage *plan = &m->plan->base;
		take_plan(w, &plan);
		m->plan = (Standpipe__Plan *)plan;
	}
	if (m->state) {
		ProtobufCMessage *state = &m->state->base;
		take_state(w, &state);
		m->state = (Standpipe__State *)state;
	}
	if (again)
		return;
	ping_ingest(w);
	/* What the former ship or session did not answer. */
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (w->jobs[i].phase != FREE)
			hand_over(w, &w->jobs[i]);
}

static void take_stored(struct worker *w, struct job *j, const Standpipe__Stored *m)
{
	switch (m->status) {
	case STANDPIPE__STORED__STATUS__COMMITTED:
		job_done(w, j, STANDPIPE__DONE__STATUS__ACCEPTED, "");
		break;
	case STANDPIPE__STORED__STATUS__DUPLICATE:
		job_done(w, j, STANDPIPE__DONE__STATUS__DUPLICATE, "");
		break;
	case STANDPIPE__STORED__STATUS__FULL:
		job_done(w, j, STANDPIPE__DONE__STATUS__FULL, m->text);
		break;
	case STANDPIPE__STORED__STATUS__BUSY:
		job_done(w, j, STANDPIPE__DONE__STATUS__BUSY, m->text);
		break;
	case STANDPIPE__STORED__STATUS__STALE_PLAN:
		sp_metric_add(M_CONVERT_STALE_PLANS, NULL, 1);
		if (j->conversions < CONVERSIONS_MAX)
			job_run(w, j);
		else
			job_done(w, j, STANDPIPE__DONE__STATUS__BUSY,
			    "the plan changes faster than this delivery is converted");
		break;
	default:
		sp_log(SP_LOG_ERROR, "store.failed", sp_f_str("request_id", job_message(j)->request_id),
		    sp_f_str("msg", m->text), SP_LOG_END);
		job_done(w, j, STANDPIPE__DONE__STATUS__ERROR, m->text);
	}
}

static void take_go(struct worker *w, struct job *j, const Standpipe__Go *m)
{
	switch (m->answer) {
	case STANDPIPE__GO__ANSWER__GO:
		send_store(w, j);
		break;
	case STANDPIPE__GO__ANSWER__DUPLICATE:
		job_done(w, j, STANDPIPE__DONE__STATUS__DUPLICATE, "");
		break;
	case STANDPIPE__GO__ANSWER__FULL:
		job_done(w, j, STANDPIPE__DONE__STATUS__FULL, "the spool is full");
		break;
	default:
		j->phase = OFFERS_AGAIN;
		sp_timer_set(w->loop, &j->timer, OFFER_AGAIN_MS, job_timer, j);
	}
}

static void take_told(struct worker *w, struct job *j, const Standpipe__Told *m)
{
	if (m->answer == STANDPIPE__TOLD__ANSWER__COMMITTED) {
		job_done(w, j, STANDPIPE__DONE__STATUS__ACCEPTED, "");
	} else if (m->answer == STANDPIPE__TOLD__ANSWER__UNKNOWN) {
		sp_metric_add(M_CONVERT_SENT_AGAIN, NULL, 1);
		hand_over(w, j);
	} /* pending: the timer asks again */
}

/* The job that a message from ship answers, if it still waits for that. */
static struct job *job_answered(struct worker *w, enum phase phase)
{
	const struct frame_header *h = &w->ship.frame->header;
	for (struct job *j = w->jobs; j < w->jobs + JOBS_MAX; j++)
		if (j->phase == phase && j->frame->header.job == h->job && j->frame->header.attempt == h->attempt)
			return j;
	return NULL;
}

static void take_from_ship(struct worker *w)
{
	struct frame *f = w->ship.frame;
	struct job *j;
	switch (f->header.type) {
	case FRAME_WELCOME:
		take_welcome(w);
		break;
	case FRAME_STATE:
		take_state(w, &f->message);
		break;
	case FRAME_PLAN:
		take_plan(w, &f->message);
		break;
	case FRAME_GO:
		if ((j = job_answered(w, WAITS_FOR_GO)))
			take_go(w, j, (const Standpipe__Go *)f->message);
		break;
	case FRAME_STORED:
		if ((j = job_answered(w, WAITS_FOR_STORED)))
			take_stored(w, j, (const Standpipe__Stored *)f->message);
		break;
	case FRAME_TOLD:
		if ((j = job_answered(w, WAITS_FOR_STORED)))
			take_told(w, j, (const Standpipe__Told *)f->message);
		break;
	case FRAME_REFUSED:
		link_take_refused(&w->ship);
		break;
	default:
		break;
	}
}

/* ---- wiring ---- */

/* Takes one message and gives it to fn; false when none waits. */
static bool take_one(struct worker *w, struct link *l, void (*fn)(struct worker *w))
{
	enum sp_status status = link_take(l);
	if (status == SP_OK) {
		fn(w);
		frame_free(l->frame);
	}
	return status != SP_AGAIN;
}

static void ship_readable(void *arg)
{
	struct worker *w = arg;
	for (int i = 0; i < MESSAGES_PER_TURN && take_one(w, &w->ship, take_from_ship); i++)
		;
}

/* At most one message: a JOB is converted here and now, and then ship's answers come first. */
static void ingest_readable(void *arg)
{
	struct worker *w = arg;
	(void)take_one(w, &w->ingest, take_from_ingest);
}

static enum sp_status open_links(struct worker *w, void *zmq, const char *dir, struct sp_why *why)
{
	char *ingest = sp_asprintf("ipc://%s/work.sock", dir), *ship = sp_asprintf("ipc://%s/ship.sock", dir);
	w->ingest =
	    (struct link){.name = "ingest", .worker = w->slot, .slots = SLOTS, .readable = ingest_readable, .arg = w};
	w->ship = (struct link){
	    .name = "ship", .worker = w->slot, .slots = SLOTS, .readable = ship_readable, .ended = ship_lost, .arg = w};
	enum sp_status status = link_open(&w->ingest, w->loop, zmq, ingest, FRAME_TO_WORKER_BYTES, why);
	if (status == SP_OK)
		status = link_open(&w->ship, w->loop, zmq, ship, FROM_SHIP_MAX_BYTES, why);
	sp_free(ingest);
	sp_free(ship);
	return status;
}

enum sp_status worker_new(
    struct sp_loop *l, void *zmq, const struct settings *s, uint32_t slot, struct worker **out, struct sp_why *why)
{
	struct worker *w = sp_new(struct worker);
	*w = (struct worker){.loop = l, .slot = slot, .job_limit_ms = s->convert_job_limit};
	for (size_t i = 0; i < JOBS_MAX; i++)
		w->jobs[i].worker = w;
	w->converter = converter_new((size_t)s->memory);
	w->tally = tally_new();
	w->scratch = sp_arena_new(SCRATCH_BYTES);
	signal(SIGALRM, stuck);
	enum sp_status status = open_links(w, zmq, s->runtime_dir, why);
	if (status != SP_OK) {
		worker_free(&w);
		return status;
	}
	sp_timer_set(l, &w->tick, PING_MS, each_second, w);
	*out = w;
	return SP_OK;
}

void worker_free(struct worker **wp)
{
	struct worker *w = *wp;
	if (!w)
		return;
	*wp = NULL;
	w->stopping = false; /* nobody is told */
	for (size_t i = 0; i < JOBS_MAX; i++)
		job_free(w, &w->jobs[i]);
	sp_timer_cancel(w->loop, &w->tick);
	link_close(&w->ingest);
	link_close(&w->ship);
	frame_unpacked_free(w->plan);
	frame_unpacked_free(w->state);
	sp_arena_free(&w->scratch);
	converter_free(&w->converter);
	tally_free(&w->tally);
	sp_free(w);
}

void worker_stop(struct worker *w, void (*stopped)(void *arg), void *arg)
{
	w->stopping = true;
	w->stopped = stopped;
	w->stopped_arg = arg;
	link_say_bye(&w->ingest);
	if (is_idle(w)) {
		link_say_bye(&w->ship);
		stopped(arg);
	}
}

bool worker_ready(const struct worker *w)
{
	return w->ingest.welcomed && w->ship.welcomed && w->plan;
}
