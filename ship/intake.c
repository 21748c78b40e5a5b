#include "ship/intake.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/sock.h"
#include "proto/frame.h"
#include "ship/store.h"

#define STATE_MS 1000
#define LINGER_MS 2000 /* for the last answers */
#define MESSAGES_PER_TURN 64
#define UNAUTHORIZED_KEYS_MAX 8192 /* so many names fit into what ingest takes; the others' deliveries are spooled */
#define RESERVATIONS 8 /* of one worker, which holds a few jobs */
#define LOG_EVERY_MS 60000

/* Room kept for a STORE that was offered and may come. */
struct reservation {
	uint64_t job;
	uint32_t attempt;
	size_t bytes; /* 0: unused */
};

/* A worker that said HELLO. */
struct peer {
	uint8_t identity[FRAME_IDENTITY_BYTES];
	uint64_t session, connection;
	struct reservation reserved[RESERVATIONS];
	struct peer *next;
};

struct intake {
	struct sp_loop *loop;
	void *zsock;
	struct sp_source *source;
	struct sp_monitor *monitor;
	struct sp_timer tick;
	struct writer *writer;
	const struct plan *plan;
	struct peer *peers;
	struct frame *frame; /* the next message goes here; a STORE keeps it */
	Standpipe__State__Accepting accepting;
	struct sp_list unauthorized;
	bool stopping;
	size_t bytes, bytes_max; /* with the writer or reserved */
	size_t stores;		 /* with the writer */
	struct sp_log_rate log_bad, log_refused;
	void (*on_source)(void *arg, const char *source_arn);
	void *on_source_arg;
	struct active *active;
};

/* What a done function needs to find its way back. */
struct pending {
	struct intake *intake;
	struct store *store;
	size_t bytes;
};

static struct peer **peer_find(struct intake *in, const uint8_t identity[FRAME_IDENTITY_BYTES])
{
	struct peer **link = &in->peers;
	while (*link && memcmp((*link)->identity, identity, FRAME_IDENTITY_BYTES) != 0)
		link = &(*link)->next;
	return link;
}

static void peer_remove(struct intake *in, struct peer **link)
{
	struct peer *p = *link;
	for (size_t i = 0; i < RESERVATIONS; i++)
		in->bytes -= p->reserved[i].bytes;
	*link = p->next;
	sp_free(p);
}

static void connection_ended(void *arg, uint64_t connection)
{
	struct intake *in = arg;
	for (struct peer **link = &in->peers; *link; link = &(*link)->next)
		if ((*link)->connection == connection) {
			peer_remove(in, link);
			return;
		}
}

/* A peer that has gone gets no answer and needs none: what it does not know it will ask for or send again. */
static void send_to(struct intake *in, const uint8_t *identity, const struct frame_header *h, const ProtobufCMessage *m)
{
	(void)!frame_send(in->zsock, identity, h, m);
}

static void fill_state(struct intake *in, Standpipe__State *out)
{
	standpipe__state__init(out);
	out->accepting = in->stopping ? STANDPIPE__STATE__ACCEPTING__STOPPING : in->accepting;
	if (!in->plan)
		out->accepting = STANDPIPE__STATE__ACCEPTING__STARTING;
	out->spool_id = (ProtobufCBinaryData){16, (uint8_t *)writer_spool_id(in->writer)};
	out->plan_epoch = in->plan ? in->plan->message.epoch : 0;
	out->n_unauthorized_keys = in->unauthorized.n;
	out->unauthorized_keys = in->unauthorized.v;
}

static void tell_all(struct intake *in, enum frame_type type, const ProtobufCMessage *m)
{
	for (struct peer *p = in->peers; p; p = p->next)
		send_to(in, p->identity, &(struct frame_header){.type = (uint8_t)type, .session = p->session}, m);
}

static void tell_state(struct intake *in)
{
	Standpipe__State state;
	fill_state(in, &state);
	tell_all(in, FRAME_STATE, &state.base);
}

static void each_second(void *arg)
{
	struct intake *in = arg;
	tell_state(in);
	sp_timer_set(in->loop, &in->tick, STATE_MS, each_second, in);
}

static void refuse(struct intake *in, const struct frame *f, Standpipe__Refused__Reason reason, const char *text)
{
	Standpipe__Refused m = STANDPIPE__REFUSED__INIT;
	struct frame_header h = frame_answer(f, FRAME_REFUSED);
	m.reason = reason;
	m.text = (char *)text;
	send_to(in, f->peer, &h, &m.base);
}

static void take_hello(struct intake *in, const struct frame *f)
{
	const Standpipe__Hello *hello = (const Standpipe__Hello *)f->message;
	Standpipe__Welcome m = STANDPIPE__WELCOME__INIT;
	Standpipe__State state;
	struct sp_why why;
	enum sp_status status = frame_check_hello(hello, "ship", &why);
	if (status != SP_OK) {
		if (sp_log_due(&in->log_refused, LOG_EVERY_MS))
			sp_log(SP_LOG_ERROR, "worker.refused", sp_f_u64("worker", hello->worker),
			    sp_f_str("msg", why.text), SP_LOG_END);
		refuse(in, f,
		    status == SP_DENIED ? STANDPIPE__REFUSED__REASON__RELEASE : STANDPIPE__REFUSED__REASON__VERSION,
		    why.text);
		return;
	}
	uint64_t connection = sp_monitor_connection(in->monitor, f->connection_fd);
	struct peer **link = peer_find(in, f->peer);
	if (*link && (*link)->session != f->header.session)
		peer_remove(in, link);
	if (!connection)
		return; /* it has hung up meanwhile */
	link = peer_find(in, f->peer);
	if (!*link) {
		*link = sp_new(struct peer);
		memcpy((*link)->identity, f->peer, sizeof f->peer);
		(*link)->session = f->header.session;
	}
	(*link)->connection = connection;
	fill_state(in, &state);
	m.version = FRAME_VERSION;
	m.max_message = FRAME_TO_SHIP_BYTES;
	m.state = &state;
	m.plan = in->plan ? (Standpipe__Plan *)&in->plan->message : NULL;
	struct frame_header h = frame_answer(f, FRAME_WELCOME);
	send_to(in, f->peer, &h, &m.base);
}

static bool has_room(const struct intake *in, size_t bytes)
{
	/* One delivery alone is always let in, however large: otherwise it could never be stored. */
	return in->bytes == 0 || (bytes <= in->bytes_max && in->bytes <= in->bytes_max - bytes);
}

static struct reservation *reservation_unused(struct peer *p)
{
	for (size_t i = 0; i < RESERVATIONS; i++)
		if (!p->reserved[i].bytes)
			return &p->reserved[i];
	return NULL;
}

/* Gives up the room kept for an attempt at a job; false when there was none. */
static bool reservation_end(struct intake *in, struct peer *p, const struct frame_header *h)
{
	for (struct reservation *r = p->reserved; r < p->reserved + RESERVATIONS; r++)
		if (r->bytes && r->job == h->job && r->attempt == h->attempt) {
			in->bytes -= r->bytes;
			r->bytes = 0;
			return true;
		}
	return false;
}

static bool takes_stores(const struct intake *in)
{
	/* A full spool still knows duplicates: the writer answers. */
	return in->plan && !in->stopping &&
	       (in->accepting == STANDPIPE__STATE__ACCEPTING__YES ||
		   in->accepting == STANDPIPE__STATE__ACCEPTING__FULL);
}

static void take_offer(struct intake *in, struct peer *p, const struct frame *f)
{
	uint64_t bytes = ((const Standpipe__Offer *)f->message)->bytes;
	Standpipe__Go m = STANDPIPE__GO__INIT; /* busy */
	(void)reservation_end(in, p, &f->header);
	struct reservation *room = reservation_unused(p);
	if (writer_knows(in->writer, f->header.key) == WRITER_COMMITTED)
		m.answer = STANDPIPE__GO__ANSWER__DUPLICATE;
	else if (takes_stores(in) && in->accepting == STANDPIPE__STATE__ACCEPTING__FULL)
		m.answer = STANDPIPE__GO__ANSWER__FULL;
	else if (takes_stores(in) && bytes > 0 && bytes <= SIZE_MAX / 2 && room && has_room(in, (size_t)bytes)) {
		m.answer = STANDPIPE__GO__ANSWER__GO;
		*room = (struct reservation){f->header.job, f->header.attempt, (size_t)bytes};
		in->bytes += (size_t)bytes;
	}
	m.spool_id = (ProtobufCBinaryData){16, (uint8_t *)writer_spool_id(in->writer)};
	struct frame_header h = frame_answer(f, FRAME_GO);
	send_to(in, f->peer, &h, &m.base);
}

static void answer_store(struct intake *in, const struct frame *f, Standpipe__Stored__Status status, const char *text)
{
	static const char *const words[] = {"error", "committed", "duplicate", "full", "busy", "stale_plan"};
	Standpipe__Stored m = STANDPIPE__STORED__INIT;
	m.status = status;
	m.text = (char *)text;
	m.spool_id = (ProtobufCBinaryData){16, (uint8_t *)writer_spool_id(in->writer)};
	struct frame_header h = frame_answer(f, FRAME_STORED);
	send_to(in, f->peer, &h, &m.base);
	sp_metric_add(M_SHIP_STORES, SP_L(words[status]), 1);
}

static void store_done(void *arg, struct store_request *r, enum store_result result)
{
	static const Standpipe__Stored__Status statuses[] = {[STORE_ERROR] = STANDPIPE__STORED__STATUS__ERROR,
	    [STORE_COMMITTED] = STANDPIPE__STORED__STATUS__COMMITTED,
	    [STORE_DUPLICATE] = STANDPIPE__STORED__STATUS__DUPLICATE,
	    [STORE_FULL] = STANDPIPE__STORED__STATUS__FULL};
	struct pending *p = arg;
	struct intake *in = p->intake;
	(void)r;
	answer_store(in, p->store->frame, statuses[result], result == STORE_ERROR ? "the spool could not take it" : "");
	in->bytes -= p->bytes;
	in->stores--;
	store_free(&p->store);
	sp_free(p);
}

/* The frame goes on to the writer, or is answered at once. */
static void take_store(struct intake *in, struct peer *p)
{
	const struct frame *f = in->frame;
	const Standpipe__Store *m = (const Standpipe__Store *)f->message;
	size_t bytes = f->bulk_bytes;
	struct store *store;
	struct sp_why why;
	bool offered = reservation_end(in, p, &f->header);
	if (!takes_stores(in)) {
		answer_store(in, f, STANDPIPE__STORED__STATUS__BUSY, "ship is starting or stopping");
		return;
	}
	if (m->plan_epoch != in->plan->message.epoch) {
		answer_store(in, f, STANDPIPE__STORED__STATUS__STALE_PLAN, "");
		return;
	}
	if (bytes > FRAME_OFFER_FROM_BYTES && !offered) {
		answer_store(in, f, STANDPIPE__STORED__STATUS__ERROR, "a delivery of this size is offered first");
		return;
	}
	if (!offered && !has_room(in, bytes)) {
		answer_store(in, f, STANDPIPE__STORED__STATUS__BUSY, "ship's share of the memory is used up");
		return;
	}
	enum sp_status status = store_new(in->frame, in->plan, &store, &why);
	if (status != SP_OK) {
		answer_store(in, f,
		    status == SP_NO_MEM ? STANDPIPE__STORED__STATUS__BUSY : STANDPIPE__STORED__STATUS__ERROR, why.text);
		return;
	}
	if (in->on_source)
		in->on_source(in->on_source_arg, m->source_arn);
	in->frame = sp_new(struct frame);
	struct pending *pending = sp_new(struct pending);
	*pending = (struct pending){in, store, bytes};
	in->bytes += bytes;
	in->stores++;
	store->request.done = store_done;
	store->request.arg = pending;
	writer_store(in->writer, &store->request);
}

static void take_ask(struct intake *in, const struct frame *f)
{
	static const Standpipe__Told__Answer answers[] = {[WRITER_UNKNOWN] = STANDPIPE__TOLD__ANSWER__UNKNOWN,
	    [WRITER_COMMITTED] = STANDPIPE__TOLD__ANSWER__COMMITTED,
	    [WRITER_PENDING] = STANDPIPE__TOLD__ANSWER__PENDING};
	Standpipe__Told m = STANDPIPE__TOLD__INIT;
	m.answer = answers[writer_knows(in->writer, f->header.key)];
	m.spool_id = (ProtobufCBinaryData){16, (uint8_t *)writer_spool_id(in->writer)};
	struct frame_header h = frame_answer(f, FRAME_TOLD);
	send_to(in, f->peer, &h, &m.base);
}

static void take_message(struct intake *in)
{
	const struct frame *f = in->frame;
	if (f->header.type == FRAME_HELLO) {
		take_hello(in, f);
		return;
	}
	struct peer **link = peer_find(in, f->peer);
	if (!*link || (*link)->session != f->header.session) {
		if (f->header.type != FRAME_REFUSED && f->header.type != FRAME_BYE)
			refuse(in, f, STANDPIPE__REFUSED__REASON__SAY_HELLO, "say HELLO");
		return;
	}
	switch (f->header.type) {
	case FRAME_OFFER:
		take_offer(in, *link, f);
		break;
	case FRAME_STORE:
		take_store(in, *link);
		break;
	case FRAME_ASK:
		take_ask(in, f);
		break;
	case FRAME_BYE:
		peer_remove(in, link);
		break;
	case FRAME_PING: /* shows that the session is known */
		if (in->active && in->plan)
			active_take(in->active, in->plan, (const Standpipe__Ping *)f->message, sp_loop_now(in->loop).ms);
		break;
	default: /* nothing else is sent to ship */
		break;
	}
}

static void readable(void *arg)
{
	struct intake *in = arg;
	struct sp_why why;
	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		enum sp_status status = frame_take(in->zsock, true, in->frame, &why);
		if (status == SP_AGAIN)
			return;
		if (status == SP_OK) {
			take_message(in);
			frame_free(in->frame);
			continue;
		}
		sp_metric_add(M_SHIP_BAD_MESSAGES, NULL, 1);
		if (sp_log_due(&in->log_bad, LOG_EVERY_MS))
			sp_log(SP_LOG_WARN, "message.bad", sp_f_str("msg", why.text),
			    sp_f_u64("held_back", in->log_bad.held), SP_LOG_END);
	}
}

enum sp_status intake_new(
    struct sp_loop *l, void *zmq, const struct settings *s, struct writer *w, struct intake **out, struct sp_why *why)
{
	struct intake *in = sp_new(struct intake);
	*in =
	    (struct intake){.loop = l, .writer = w, .bytes_max = (size_t)s->memory / 4, .frame = sp_new(struct frame)};
	char *endpoint = sp_asprintf("ipc://%s/ship.sock", s->runtime_dir);
	enum sp_status status = sp_router_new(zmq, FRAME_TO_SHIP_BYTES, LINGER_MS, &in->zsock, why);
	if (status == SP_OK)
		status = sp_monitor_new(l, zmq, in->zsock, connection_ended, in, &in->monitor, why);
	if (status == SP_OK)
		status = sp_router_bind(in->zsock, endpoint, why);
	sp_free(endpoint);
	if (status != SP_OK) {
		intake_free(&in);
		return status;
	}
	in->source = sp_loop_zmq(l, in->zsock, readable, in);
	sp_timer_set(l, &in->tick, STATE_MS, each_second, in);
	*out = in;
	return SP_OK;
}

static void forget_unauthorized(struct intake *in)
{
	for (size_t i = 0; i < in->unauthorized.n; i++)
		sp_free(in->unauthorized.v[i]);
	sp_free(in->unauthorized.v);
}

void intake_free(struct intake **inp)
{
	struct intake *in = *inp;
	if (!in)
		return;
	*inp = NULL;
	SP_BUG_IF(in->stores); /* the writer still has our memory */
	sp_timer_cancel(in->loop, &in->tick);
	sp_monitor_free(&in->monitor);
	sp_source_free(&in->source);
	if (in->zsock)
		zmq_close(in->zsock);
	while (in->peers)
		peer_remove(in, &in->peers);
	forget_unauthorized(in);
	sp_free(in->frame);
	sp_free(in);
}

void intake_set_active(struct intake *in, struct active *active)
{
	in->active = active;
}

void intake_on_source(struct intake *in, void (*fn)(void *arg, const char *source_arn), void *arg)
{
	in->on_source = fn;
	in->on_source_arg = arg;
}

void intake_set_plan(struct intake *in, const struct plan *plan)
{
	in->plan = plan;
	tell_all(in, FRAME_PLAN, &plan->message.base);
	tell_state(in);
}

void intake_set_state(struct intake *in, Standpipe__State__Accepting accepting)
{
	if (in->accepting == accepting)
		return;
	in->accepting = accepting;
	tell_state(in);
}

static bool same_names(const struct sp_list *l, const char *const *names, size_t n)
{
	bool same = l->n == n;
	for (size_t i = 0; i < n && same; i++)
		same = strcmp(l->v[i], names[i]) == 0;
	return same;
}

void intake_set_unauthorized(struct intake *in, const char *const *keys, size_t n)
{
	n = n < UNAUTHORIZED_KEYS_MAX ? n : UNAUTHORIZED_KEYS_MAX;
	if (same_names(&in->unauthorized, keys, n))
		return;
	forget_unauthorized(in);
	in->unauthorized = (struct sp_list){.v = sp_new_array(char *, n + 1), .n = n};
	for (size_t i = 0; i < n; i++)
		in->unauthorized.v[i] = sp_strdup(keys[i]);
	tell_state(in);
}

void intake_stop(struct intake *in)
{
	in->stopping = true;
	tell_state(in);
}

bool intake_idle(const struct intake *in)
{
	return in->stores == 0;
}

void intake_metrics(const struct intake *in)
{
	size_t workers = 0;
	for (const struct peer *p = in->peers; p; p = p->next)
		workers++;
	sp_metric_set(M_SHIP_WORKERS, NULL, (double)workers);
	sp_metric_set(M_SHIP_INTAKE_BYTES, NULL, (double)in->bytes);
}
