#include "ingest/workers.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/sock.h"

#define MESSAGES_PER_TURN 64
#define SHIP_SEEN_MS 3000 /* news of ship that are older count for nothing */
#define LOG_EVERY_MS 60000

struct workers {
	struct sp_loop *loop;
	void *zsock;
	struct sp_source *source;
	struct sp_monitor *monitor;
	struct workers_events on;
	struct worker *first;
	size_t n, n_held;
	uint64_t max_message;
	ProtobufCMessage *told; /* the last Ping: all workers pass on the word of one ship */
	struct frame frame;
	struct sp_log_rate log_bad, log_refused;
};

static struct worker *find(const struct workers *ws, const uint8_t identity[FRAME_IDENTITY_BYTES])
{
	struct worker *w = ws->first;
	while (w && memcmp(w->identity, identity, FRAME_IDENTITY_BYTES) != 0)
		w = w->next;
	return w;
}

/* Takes the worker out and gives its jobs back. */
static void worker_gone(struct workers *ws, struct worker *w)
{
	struct worker **link = &ws->first;
	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	ws->n--;
	ws->n_held -= w->n_held;
	if (!w->leaving)
		sp_metric_add(M_INGEST_WORKER_DEATHS, NULL, 1);
	sp_log(w->leaving ? SP_LOG_INFO : SP_LOG_WARN, "worker.gone", sp_f_u64("worker", w->slot),
	    sp_f_u64("jobs", w->n_held), SP_LOG_END);
	ws->on.gone(ws->on.arg, w);
	sp_free(w);
}

static void connection_ended(void *arg, uint64_t connection)
{
	struct workers *ws = arg;
	for (struct worker *w = ws->first; w; w = w->next)
		if (w->connection == connection) {
			worker_gone(ws, w);
			return;
		}
}

static void refuse(struct workers *ws, Standpipe__Refused__Reason reason, const char *text)
{
	Standpipe__Refused m = STANDPIPE__REFUSED__INIT;
	struct frame_header h = frame_answer(&ws->frame, FRAME_REFUSED);
	m.reason = reason;
	m.text = (char *)text;
	(void)!frame_send(ws->zsock, ws->frame.peer, &h, &m.base); /* who has gone needs no answer */
}

static void take_hello(struct workers *ws, uint64_t connection)
{
	const struct frame *f = &ws->frame;
	const Standpipe__Hello *hello = (const Standpipe__Hello *)f->message;
	Standpipe__Welcome m = STANDPIPE__WELCOME__INIT;
	struct sp_why why;
	enum sp_status status = frame_check_hello(hello, "ingest", &why);
	if (status != SP_OK) {
		if (sp_log_due(&ws->log_refused, LOG_EVERY_MS))
			sp_log(SP_LOG_ERROR, "worker.refused", sp_f_u64("worker", hello->worker),
			    sp_f_str("msg", why.text), SP_LOG_END);
		refuse(ws,
		    status == SP_DENIED ? STANDPIPE__REFUSED__REASON__RELEASE : STANDPIPE__REFUSED__REASON__VERSION,
		    why.text);
		return;
	}
	struct worker *w = find(ws, f->peer);
	if (w && w->session != f->header.session) {
		worker_gone(ws, w);
		w = NULL;
	}
	if (!connection)
		return; /* it has hung up meanwhile */
	if (!w) {
		w = sp_new(struct worker);
		memcpy(w->identity, f->peer, sizeof w->identity);
		w->session = f->header.session;
		w->slot = hello->worker;
		w->slots = hello->slots < WORKER_SLOTS_MAX ? hello->slots : WORKER_SLOTS_MAX;
		w->next = ws->first;
		ws->first = w;
		ws->n++;
		sp_log(SP_LOG_INFO, "worker.came", sp_f_u64("worker", w->slot), SP_LOG_END);
	}
	w->connection = connection;
	m.version = FRAME_VERSION;
	m.max_message = (uint64_t)FRAME_TO_INGEST_BYTES;
	struct frame_header h = frame_answer(f, FRAME_WELCOME);
	(void)!frame_send(ws->zsock, f->peer, &h, &m.base);
}

static void take_ping(struct workers *ws, struct worker *w, const Standpipe__Ping *m)
{
	const Standpipe__State *s = m->state;
	if (!s)
		return;
	int64_t now = sp_loop_now(ws->loop).ms;
	w->accepting = s->accepting;
	w->told_ms = now;
	w->ship_seen_ms = s->ship_seen_ms_ago < 0 || s->ship_seen_ms_ago > now ? 0 : now - s->ship_seen_ms_ago;
	if (s->spool_id.len == sizeof w->spool_id)
		memcpy(w->spool_id, s->spool_id.data, sizeof w->spool_id);
	frame_unpacked_free(ws->told);
	ws->told = ws->frame.message;
	ws->frame.message = NULL;
	ws->on.changed(ws->on.arg);
}

static void take_done(struct workers *ws, struct worker *w)
{
	for (size_t i = 0; w && i < w->n_held; i++) {
		if (w->held[i].job != ws->frame.header.job || w->held[i].attempt != ws->frame.header.attempt)
			continue;
		w->bytes -= w->held[i].bytes;
		memmove(&w->held[i], &w->held[i + 1], (w->n_held - i - 1) * sizeof w->held[0]);
		w->n_held--;
		ws->n_held--;
		if (w->n_held == 0)
			w->shared = w->reserved = false;
		break;
	}
	ws->on.done(ws->on.arg, &ws->frame);
}

static void take_message(struct workers *ws)
{
	const struct frame *f = &ws->frame;
	/* First the ends of connections: a known session on a new connection is one whose jobs were given back. */
	uint64_t connection = sp_monitor_connection(ws->monitor, f->connection_fd);
	if (f->header.type == FRAME_HELLO) {
		take_hello(ws, connection);
		return;
	}
	struct worker *w = find(ws, f->peer);
	if (w && w->session != f->header.session)
		w = NULL;
	if (f->header.type == FRAME_DONE)
		take_done(ws, w);
	if (!w) {
		if (f->header.type != FRAME_REFUSED && f->header.type != FRAME_BYE)
			refuse(ws, STANDPIPE__REFUSED__REASON__SAY_HELLO, "say HELLO");
	} else if (f->header.type == FRAME_PING) {
		take_ping(ws, w, (const Standpipe__Ping *)f->message);
	} else if (f->header.type == FRAME_BYE) {
		w->leaving = true;
	}
}

static void readable(void *arg)
{
	struct workers *ws = arg;
	struct sp_why why;
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		enum sp_status status = frame_take(ws->zsock, true, &ws->frame, &why);
		if (status == SP_AGAIN)
			return;
		if (status == SP_OK) {
			take_message(ws);
			frame_free(&ws->frame);
			continue;
		}
		sp_metric_add(M_INGEST_BAD_MESSAGES, NULL, 1);
		if (sp_log_due(&ws->log_bad, LOG_EVERY_MS))
			sp_log(SP_LOG_WARN, "message.bad", sp_f_str("msg", why.text),
			    sp_f_u64("held_back", ws->log_bad.held), SP_LOG_END);
	}
}

enum sp_status workers_new(struct sp_loop *l, void *zmq, const struct settings *s, const struct workers_events *events,
    struct workers **out, struct sp_why *why)
{
	struct workers *ws = sp_new(struct workers);
	*ws = (struct workers){.loop = l, .on = *events};
	char *endpoint = sp_asprintf("ipc://%s/work.sock", s->runtime_dir);
	enum sp_status status = sp_router_new(zmq, FRAME_TO_INGEST_BYTES, 0, &ws->zsock, why);
	if (status == SP_OK)
		status = sp_monitor_new(l, zmq, ws->zsock, connection_ended, ws, &ws->monitor, why);
	if (status == SP_OK)
		status = sp_router_bind(ws->zsock, endpoint, why);
	sp_free(endpoint);
	if (status != SP_OK) {
		workers_free(&ws);
		return status;
	}
	ws->source = sp_loop_zmq(l, ws->zsock, readable, ws);
	*out = ws;
	return SP_OK;
}

void workers_free(struct workers **wsp)
{
	struct workers *ws = *wsp;
	if (!ws)
		return;
	*wsp = NULL;
	sp_monitor_free(&ws->monitor);
	sp_source_free(&ws->source);
	if (ws->zsock)
		zmq_close(ws->zsock);
	frame_unpacked_free(ws->told);
	while (ws->first) {
		struct worker *w = ws->first;
		ws->first = w->next;
		sp_free(w);
	}
	sp_free(ws);
}

/* Has this worker heard of ship in the last 3 s? One that holds jobs may be too busy to tell us. */
static bool sees_ship(const struct workers *ws, const struct worker *w)
{
	int64_t now = w->n_held ? w->told_ms : sp_loop_now(ws->loop).ms;
	return w->ship_seen_ms && now - w->ship_seen_ms <= SHIP_SEEN_MS;
}

/* A full ship still answers, and knows what it has already. */
static bool can_store(const struct workers *ws, const struct worker *w)
{
	return !w->leaving && sees_ship(ws, w) &&
	       (w->accepting == STANDPIPE__STATE__ACCEPTING__YES || w->accepting == STANDPIPE__STATE__ACCEPTING__FULL);
}

struct worker *workers_pick(struct workers *ws, size_t bytes)
{
	struct worker *best = NULL;
	for (struct worker *w = ws->first; w; w = w->next) {
		bool room = w->n_held == 0 || (w->n_held < w->slots && w->bytes + bytes <= WORKER_BYTES_MAX);
		if (room && w->slots && !w->reserved && can_store(ws, w) && (!best || w->n_held < best->n_held))
			best = w;
	}
	return best;
}

struct worker *workers_least_busy(struct workers *ws)
{
	struct worker *best = NULL;
	for (struct worker *w = ws->first; w; w = w->next)
		if (w->slots && can_store(ws, w) && (!best || w->n_held < best->n_held))
			best = w;
	return best;
}

enum sp_status workers_send(
    struct workers *ws, struct worker *w, const struct frame_header *h, zmq_msg_t *parts, size_t n, size_t bytes)
{
	struct frame_header stamped = *h;
	SP_BUG_IF(w->n_held == WORKER_SLOTS_MAX);
	stamped.session = w->session;
	enum sp_status status = frame_send_parts(ws->zsock, w->identity, &stamped, parts, n);
	if (status == SP_NOT_FOUND)
		worker_gone(ws, w);
	if (status != SP_OK)
		return status;
	w->shared |= w->n_held > 0;
	struct held *held = &w->held[w->n_held++];
	held->job = h->job;
	held->attempt = h->attempt;
	held->bytes = bytes;
	memcpy(held->key, h->key, sizeof held->key);
	w->bytes += bytes;
	ws->n_held++;
	return SP_OK;
}

Standpipe__State__Accepting workers_ship(const struct workers *ws, uint8_t spool_id[16])
{
	static const int rank[] = {[STANDPIPE__STATE__ACCEPTING__STARTING] = 0,
	    [STANDPIPE__STATE__ACCEPTING__STOPPING] = 1,
	    [STANDPIPE__STATE__ACCEPTING__FAILING] = 2,
	    [STANDPIPE__STATE__ACCEPTING__FULL] = 3,
	    [STANDPIPE__STATE__ACCEPTING__YES] = 4};
	Standpipe__State__Accepting best = STANDPIPE__STATE__ACCEPTING__STARTING;
	for (const struct worker *w = ws->first; w; w = w->next) {
		if (w->leaving || !sees_ship(ws, w) || (unsigned)w->accepting >= sizeof rank / sizeof rank[0] ||
		    rank[w->accepting] <= rank[best])
			continue;
		best = w->accepting;
		if (spool_id)
			memcpy(spool_id, w->spool_id, sizeof w->spool_id);
	}
	return best;
}

bool workers_key_unauthorized(const struct workers *ws, const char *key_name)
{
	const Standpipe__State *s = ws->told ? ((const Standpipe__Ping *)ws->told)->state : NULL;
	for (size_t i = 0; s && i < s->n_unauthorized_keys; i++)
		if (strcmp(s->unauthorized_keys[i], key_name) == 0)
			return true;
	return false;
}

size_t workers_count(const struct workers *ws)
{
	return ws->n;
}

size_t workers_held(const struct workers *ws)
{
	return ws->n_held;
}
