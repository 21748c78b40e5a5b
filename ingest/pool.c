#include "ingest/pool.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/metrics.h"
#include "ingest/jobs.h"
#include "ingest/poison.h"

#define TICK_MS 1000
#define RECENT_KEYS 16384    /* power of two; committed keys remembered to spare repeats the way to ship */
#define BACKLOG_MAX_MS 10000 /* more work waiting than this: refuse before the body is read */
#define RATE_MIN_MS 1000     /* of busy time before the measured rate is believed */
#define RATE_HALF_MS 10000   /* of busy time after which older measurements count half */

/* An answer that is known already but must not be given from within pool_submit. */
struct ready_answer {
	struct delivery *delivery;
	const struct outcome *outcome;
	struct ready_answer *next;
};

struct pool {
	struct sp_loop *loop;
	const struct settings *settings;
	struct workers *workers;
	struct poison *poison;
	struct sp_timer tick, soon;
	struct jobs jobs;
	bool suspect_running;
	uint64_t next_id;
	struct ready_answer *ready;
	struct body *lent;     /* of jobs that have ended */
	uint8_t (*recent)[16]; /* slot by hash; a newer key replaces an older one: the ledger in ship is the truth */
	uint8_t spool_id[16];
	double rate_work, rate_ms; /* work done, and time with work at hand */
	int64_t busy_since_ms;	   /* 0: idle */
	bool stopping;
};

#define NOT_NOW(name, e_code, words, word)                                                                             \
	static const struct outcome name = {                                                                           \
	    .http_status = 503, .code = e_code, .text = words, .request_id = "", .result = word}
NOT_NOW(is_starting, "E_STARTING", "starting, try again", "busy");
NOT_NOW(cannot_store, "E_STORE", "cannot store now, try again", "full");
NOT_NOW(is_busy, "E_BUSY", "too much work at hand, try again", "busy");
NOT_NOW(is_stopping, "E_SHUTDOWN", "restarting, try again", "busy");
NOT_NOW(too_slow, "E_SLOW", "not stored in time, try again", "slow");
NOT_NOW(workers_ill, "E_CRASH", "the workers fail, try again", "crash");
static const struct outcome key_unauthorized = {.http_status = 401, .code = "E_TOKEN",
    .text = "the receiver does not accept this access key", .request_id = "", .result = "refused"};
static const struct outcome known_already = {.http_status = 200, .text = "", .request_id = "", .result = "duplicate"};

/* ---- keys of deliveries that were committed a moment ago ---- */

static void recent_forget_all(struct pool *p, const uint8_t spool_id[16])
{
	memset(p->recent, 0, RECENT_KEYS * sizeof p->recent[0]);
	memcpy(p->spool_id, spool_id, sizeof p->spool_id);
}

static void recent_add(struct pool *p, const uint8_t key[16], const ProtobufCBinaryData *spool_id)
{
	if (spool_id->len != sizeof p->spool_id)
		return;
	if (memcmp(spool_id->data, p->spool_id, sizeof p->spool_id) != 0)
		recent_forget_all(p, spool_id->data); /* another spool has another ledger */
	memcpy(p->recent[key_hash(key) & (RECENT_KEYS - 1)], key, 16);
}

static bool recent_has(const struct pool *p, const uint8_t key[16])
{
	return memcmp(p->recent[key_hash(key) & (RECENT_KEYS - 1)], key, 16) == 0;
}

/* ---- the end of a job ---- */

/* Given back once it is home: nearly always now, else within a second. */
static void bodies_give_back(struct pool *p)
{
	for (struct body **link = &p->lent; *link;) {
		struct body *b = *link;
		if (!body_is_home(b)) {
			link = &b->next;
			continue;
		}
		*link = b->next;
		body_give_back(&b);
	}
}

static void body_put_away(struct pool *p, struct body *b)
{
	b->next = p->lent;
	p->lent = b;
	bodies_give_back(p);
}

/* The end of a job. Out of the table first: an answer may bring the next delivery at once. */
static void job_end(struct pool *p, struct job *j, const struct outcome *o)
{
	sp_timer_cancel(p->loop, &j->deadline);
	if (j->state == QUEUED)
		jobs_unqueue(&p->jobs, j);
	else if (j->alone)
		p->suspect_running = false;
	jobs_remove(&p->jobs, j);
	job_answer(j, o);
	body_put_away(p, j->body);
	delivery_free(&j->delivery);
	sp_free(j);
}

static void deadline_passed(void *arg)
{
	struct job *j = arg;
	struct pool *p = j->pool;
	if (j->state == QUEUED)
		job_end(p, j, &too_slow);
	else
		job_answer(j, &too_slow); /* its late commit will be found by the retry */
}

/* ---- how fast it goes ---- */

static void rate_update(struct pool *p, double work_done)
{
	int64_t now = sp_loop_now(p->loop).ms;
	if (p->busy_since_ms)
		p->rate_ms += (double)(now - p->busy_since_ms);
	p->busy_since_ms = workers_held(p->workers) ? now : 0;
	p->rate_work += work_done;
	if (p->rate_ms > 2 * RATE_HALF_MS) {
		p->rate_ms /= 2;
		p->rate_work /= 2;
	}
}

/* Only what waits for a worker counts: while nothing does, the rate says how much comes, not how much could be done. */
static bool is_backlog_long(const struct pool *p, size_t more)
{
	if (p->jobs.queue.n == 0 || p->rate_ms < RATE_MIN_MS)
		return false;
	return (p->jobs.queue.work + job_work(more)) * p->rate_ms > BACKLOG_MAX_MS * p->rate_work;
}

/* ---- giving jobs to workers ---- */

static void fill_job(const struct pool *p, const struct job *j, Standpipe__Job *m)
{
	const struct delivery *d = j->delivery;
	standpipe__job__init(m);
	m->kind = j->set_aside ? STANDPIPE__JOB__KIND__SET_ASIDE : STANDPIPE__JOB__KIND__CONVERT;
	m->coding = d->gzip ? STANDPIPE__JOB__CODING__GZIP : STANDPIPE__JOB__CODING__IDENTITY;
	m->has_request_id = d->has_request_id;
	if (d->request_id)
		m->request_id = d->request_id;
	if (d->source_arn)
		m->source_arn = d->source_arn;
	if (d->key_name)
		m->key_name = d->key_name;
	m->needs_tenant = d->needs_tenant;
	m->replayed = d->replayed;
	m->received_ms = d->received_ms;
	m->common_attributes = (ProtobufCBinaryData){d->common_attributes_n, (uint8_t *)d->common_attributes};
	m->max_inflated = (uint64_t)p->settings->ingest_max_body;
}

/* On SP_OK the job has left its queue; on SP_NOT_FOUND the worker is no more. */
static enum sp_status job_send(struct pool *p, struct job *j, struct worker *w)
{
	Standpipe__Job m;
	zmq_msg_t parts[2];
	int64_t left = j->due_ms - sp_loop_now(p->loop).ms;
	struct frame_header h = {
	    .type = FRAME_JOB, .job = j->id, .attempt = j->attempt + 1, .remaining_ms = left > 0 ? (uint32_t)left : 0};
	memcpy(h.key, j->delivery->key, sizeof h.key);
	fill_job(p, j, &m);
	enum sp_status status = frame_pack(&m.base, &parts[0]);
	if (status != SP_OK)
		return status;
	status = body_lend(j->body, &parts[1]);
	if (status == SP_OK) {
		status = workers_send(p->workers, w, &h, parts, 2, j->body->n);
		zmq_msg_close(&parts[1]);
	}
	zmq_msg_close(&parts[0]);
	if (status != SP_OK)
		return status;
	jobs_unqueue(&p->jobs, j);
	j->state = SENT;
	j->worker = w;
	if (j->attempt++)
		sp_metric_add(M_INGEST_JOBS_AGAIN, NULL, 1);
	sp_crash_point("ingest.after_job_sent");
	return SP_OK;
}

/* One suspect at a time, on a worker that has nothing else; while it waits for one, the least busy worker gets nothing
 * new. */
static void dispatch_suspect(struct pool *p)
{
	struct worker *w = p->jobs.suspects.first && !p->suspect_running ? workers_least_busy(p->workers) : NULL;
	if (!w)
		return;
	w->reserved = true;
	if (w->n_held)
		return;
	enum sp_status status = job_send(p, p->jobs.suspects.first, w);
	p->suspect_running = status == SP_OK;
	if (status != SP_OK && status != SP_NOT_FOUND)
		w->reserved = false;
}

static void dispatch(struct pool *p)
{
	struct worker *w;
	dispatch_suspect(p);
	while (p->jobs.queue.first && (w = workers_pick(p->workers, p->jobs.queue.first->body->n)))
		if (job_send(p, p->jobs.queue.first, w) != SP_OK)
			break; /* the tick tries again */
	rate_update(p, 0);
}

/* ---- what workers say ---- */

static void fill_outcome(const struct job *j, const Standpipe__Done *m, struct outcome *out)
{
	switch (m->status) {
	case STANDPIPE__DONE__STATUS__ACCEPTED:
		*out =
		    (struct outcome){.http_status = 200, .text = "", .result = j->set_aside ? "set_aside" : "accepted"};
		break;
	case STANDPIPE__DONE__STATUS__DUPLICATE:
		*out = known_already;
		break;
	case STANDPIPE__DONE__STATUS__REFUSED:
		/* Never 413: AWS would throw the delivery away for good. */
		*out = (struct outcome){.http_status = 400, .code = m->code, .text = m->text, .result = "refused"};
		if (m->http_status > 400 && m->http_status < 500 && m->http_status != 413)
			out->http_status = (int)m->http_status;
		break;
	case STANDPIPE__DONE__STATUS__FULL:
		*out = cannot_store;
		break;
	case STANDPIPE__DONE__STATUS__BUSY:
		*out = is_busy;
		if (m->text[0])
			out->text = m->text;
		break;
	default:
		*out = cannot_store;
		out->result = "error";
	}
	out->request_id = m->request_id;
	out->counts = m->counts;
}

static void on_done(void *arg, const struct frame *f)
{
	struct pool *p = arg;
	const Standpipe__Done *m = (const Standpipe__Done *)f->message;
	struct job *j = jobs_find(&p->jobs, f->header.key);
	struct outcome o;
	bool committed =
	    m->status == STANDPIPE__DONE__STATUS__ACCEPTED || m->status == STANDPIPE__DONE__STATUS__DUPLICATE;
	if (committed)
		recent_add(p, f->header.key, &m->spool_id);
	/* A commit is true whoever reports it; anything else only from the worker that has the job now. */
	bool mine = j && j->id == f->header.job && j->state == SENT && j->attempt == f->header.attempt;
	if (j && (mine || committed)) {
		rate_update(p, job_work(j->body->n));
		bool looked_at = m->status != STANDPIPE__DONE__STATUS__BUSY && m->status != STANDPIPE__DONE__STATUS__ERROR;
		if (mine && !j->set_aside && looked_at)
			poison_completed(p->poison, f->header.key);
		else if (committed)
			poison_clear(p->poison, f->header.key);
		if (committed && j->set_aside)
			sp_log(SP_LOG_ERROR, "delivery.set_aside", sp_f_str("request_id", m->request_id),
			    sp_f_str("msg", "its body ended three workers; it is in the quarantine"), SP_LOG_END);
		fill_outcome(j, m, &o);
		job_end(p, j, &o);
	}
	dispatch(p);
}

/* What a dead worker had: blame, judge, and give to another one. */
static void take_back(struct pool *p, struct job *j, bool died, bool alone)
{
	int64_t now = sp_loop_now(p->loop).ms;
	if (j->alone)
		p->suspect_running = false;
	if (died)
		poison_death(p->poison, j->delivery->key, alone);
	enum poison_verdict verdict = poison_judge(p->poison, j->delivery->key, now);
	j->alone = verdict != POISON_NONE;
	jobs_queue(&p->jobs, j, !j->alone);
	if (verdict == POISON_WORKERS_ILL || (verdict == POISON_SET_ASIDE && j->set_aside && died))
		job_end(p, j, &workers_ill);
	else if (verdict == POISON_SET_ASIDE) {
		if (!j->set_aside)
			poison_set_aside(p->poison, now);
		j->set_aside = true;
	} else if (!job_is_awaited(j))
		job_end(p, j, &too_slow); /* a repeat will bring it again */
}

static void on_gone(void *arg, const struct worker *w)
{
	struct pool *p = arg;
	bool died = !w->leaving, alone = w->n_held == 1 && !w->shared;
	for (size_t i = w->n_held; i-- > 0;) { /* the oldest becomes the first */
		struct job *j = jobs_find(&p->jobs, w->held[i].key);
		if (j && j->id == w->held[i].job && j->state == SENT && j->worker == w)
			take_back(p, j, died, alone);
	}
	sp_timer_set(p->loop, &p->soon, 0, p->soon.fn, p);
}

static void on_changed(void *arg)
{
	struct pool *p = arg;
	uint8_t spool_id[16];
	if (workers_ship(p->workers, spool_id) != STANDPIPE__STATE__ACCEPTING__STARTING &&
	    memcmp(spool_id, p->spool_id, sizeof spool_id) != 0)
		recent_forget_all(p, spool_id);
	dispatch(p);
}

/* ---- what ingest asks for ---- */

static void soon(void *arg)
{
	struct pool *p = arg;
	/* What these answers bring waits for the next turn: who repeats without end must not hold up the loop. */
	for (struct ready_answer *a = p->ready, *next = p->ready = NULL; a; a = next) {
		struct outcome o = *a->outcome;
		next = a->next;
		if (a->delivery->request_id)
			o.request_id = a->delivery->request_id;
		if (a->delivery->done) {
			sp_metric_add(M_INGEST_JOBS, SP_L(o.result), 1);
			a->delivery->done(a->delivery->done_arg, &o);
		}
		delivery_free(&a->delivery);
		sp_free(a);
	}
	dispatch(p);
}

static void answer_soon(struct pool *p, struct delivery *d, const struct outcome *o)
{
	struct ready_answer *a = sp_new(struct ready_answer);
	*a = (struct ready_answer){d, o, p->ready};
	p->ready = a;
}

static void begin_deadline(struct pool *p, struct job *j)
{
	j->due_ms = sp_loop_now(p->loop).ms + p->settings->ingest_deadline;
	sp_timer_set(p->loop, &j->deadline, p->settings->ingest_deadline, deadline_passed, j);
}

static void job_new(struct pool *p, struct delivery *d, enum poison_verdict verdict)
{
	struct job *j = sp_new(struct job);
	*j = (struct job){.id = p->next_id++,
	    .pool = p,
	    .delivery = d,
	    .alone = verdict != POISON_NONE,
	    .set_aside = verdict == POISON_SET_ASIDE};
	if (j->set_aside)
		poison_set_aside(p->poison, sp_loop_now(p->loop).ms);
	j->body = body_take(d);
	jobs_add(&p->jobs, j);
	job_wait(j, d);
	begin_deadline(p, j);
	jobs_queue(&p->jobs, j, false);
}

void pool_submit(struct pool *p, struct delivery *d)
{
	struct job *j = jobs_find(&p->jobs, d->key);
	enum poison_verdict verdict = poison_judge(p->poison, d->key, sp_loop_now(p->loop).ms);
	if (recent_has(p, d->key)) {
		answer_soon(p, d, &known_already);
	} else if (j) {
		if (!job_is_awaited(j)) /* its first deadline has passed: the repeat has its own */
			begin_deadline(p, j);
		job_wait(j, d);
		delivery_free(&d);
	} else if (verdict == POISON_WORKERS_ILL) {
		answer_soon(p, d, &workers_ill);
	} else {
		job_new(p, d, verdict);
	}
	sp_timer_set(p->loop, &p->soon, 0, soon, p);
}

void pool_forget(struct pool *p, void *done_arg)
{
	for (struct ready_answer *a = p->ready; a; a = a->next)
		if (a->delivery->done_arg == done_arg)
			a->delivery->done = NULL;
	for (size_t i = 0; i < JOB_BUCKETS; i++)
		for (struct job *j = p->jobs.buckets[i], *next; j; j = next) {
			next = j->same_bucket;
			for (struct waiter *w = j->waiters; w; w = w->next)
				if (w->arg == done_arg)
					w->done = NULL;
			if (j->state == QUEUED && !j->set_aside && !job_is_awaited(j))
				job_end(p, j, &too_slow); /* nobody is answered: a repeat will bring it again */
		}
}

const struct outcome *pool_refuses(const struct pool *p, const char *key_name, size_t body_bytes)
{
	if (p->stopping)
		return &is_stopping;
	switch (workers_ship(p->workers, NULL)) {
	case STANDPIPE__STATE__ACCEPTING__YES:
		if (key_name && workers_key_unauthorized(p->workers, key_name))
			return &key_unauthorized;
		return is_backlog_long(p, body_bytes) ? &is_busy : NULL;
	case STANDPIPE__STATE__ACCEPTING__STARTING:
		return &is_starting;
	default:
		return &cannot_store;
	}
}

struct delivery *delivery_new(void)
{
	return sp_new(struct delivery);
}

void delivery_free(struct delivery **dp)
{
	struct delivery *d = *dp;
	if (!d)
		return;
	*dp = NULL;
	if (d->body_free)
		d->body_free(d->body_arg, d->body, d->body_n);
	else
		sp_free(d->body);
	sp_free(d->request_id);
	sp_free(d->source_arn);
	sp_free(d->key_name);
	sp_free(d->common_attributes);
	sp_free(d);
}

static void each_second(void *arg)
{
	struct pool *p = arg;
	bodies_give_back(p);
	dispatch(p); /* whatever was refused for a full queue */
	sp_timer_set(p->loop, &p->tick, TICK_MS, each_second, p);
}

struct pool *pool_new(struct sp_loop *l, void *zmq, const struct settings *s, struct sp_why *why)
{
	struct pool *p = sp_new(struct pool);
	const struct workers_events events = {.done = on_done, .changed = on_changed, .gone = on_gone, .arg = p};
	*p = (struct pool){.loop = l,
	    .settings = s,
	    .poison = poison_new(s->ingest_poison_per_hour),
	    .recent = sp_alloc(RECENT_KEYS * sizeof p->recent[0])};
	frame_random((uint8_t *)&p->next_id, sizeof p->next_id); /* no number of a former ingest is used again */
	if (workers_new(l, zmq, s, &events, &p->workers, why) != SP_OK) {
		pool_free(&p);
		return NULL;
	}
	p->soon.fn = soon;
	sp_timer_set(l, &p->tick, TICK_MS, each_second, p);
	return p;
}

/* Nobody is answered: who still waits is closing too. */
void pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	if (!p)
		return;
	*pp = NULL;
	workers_free(&p->workers);
	for (size_t i = 0; i < JOB_BUCKETS; i++)
		while (p->jobs.buckets[i]) {
			for (struct waiter *w = p->jobs.buckets[i]->waiters; w; w = w->next)
				w->done = NULL;
			job_end(p, p->jobs.buckets[i], &is_stopping);
		}
	while (p->ready) {
		struct ready_answer *a = p->ready;
		p->ready = a->next;
		delivery_free(&a->delivery);
		sp_free(a);
	}
	while (p->lent) {
		struct body *b = p->lent;
		p->lent = b->next;
		if (body_is_home(b))
			body_give_back(&b);
		else
			body_abandon(&b);
	}
	sp_timer_cancel(p->loop, &p->tick);
	sp_timer_cancel(p->loop, &p->soon);
	poison_free(&p->poison);
	sp_free(p->recent);
	sp_free(p);
}

void pool_stop(struct pool *p)
{
	p->stopping = true;
}

bool pool_idle(const struct pool *p)
{
	for (size_t i = 0; i < JOB_BUCKETS; i++)
		for (const struct job *j = p->jobs.buckets[i]; j; j = j->same_bucket)
			if (job_is_awaited(j))
				return false;
	return !p->ready;
}

void pool_metrics(const struct pool *p)
{
	sp_metric_set(M_INGEST_WORKERS, NULL, (double)workers_count(p->workers));
	sp_metric_set(M_INGEST_JOBS_IN_FLIGHT, NULL, (double)workers_held(p->workers));
	sp_metric_set(M_INGEST_JOBS_QUEUED, NULL, (double)(p->jobs.queue.n + p->jobs.suspects.n));
	sp_metric_set(M_INGEST_JOB_BYTES, NULL, (double)p->jobs.bytes);
}
