#include "ingest/conn.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/metrics.h"
#include "ingest/access_log.h"
#include "ingest/answer.h"
#include "ingest/reading.h"
#include "ingest/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_FIRST_BYTES 8192
#define READ_PER_TURN (1024 * 1024) /* then another connection has its turn */
#define LINGER_MS 5000
#define IDLE_LEAST_MS 1000
#define MIN_BYTES_PER_SECOND 1024 /* of a body, averaged over ingest.body_stall */

enum conn_state { CONN_HANDSHAKE, CONN_HEAD, CONN_BODY, CONN_CHUNKS, CONN_WAITING, CONN_ANSWERING, CONN_LINGERING, CONN_CLOSED };

struct conn {
	struct server *srv;
	struct conn *next, **link;
	struct sp_source *source;
	struct ssl_st *ssl;
	int fd;
	enum conn_state state;
	uint32_t events;
	struct sp_timer timer;
	struct sp_mono opened, began; /* began: of the request */
	int64_t max_age_ms;
	bool served; /* a request came already */
	bool close_after;

	struct sp_buf in;     /* a head, and what came with it */
	size_t head_n, taken; /* of in: the head; all that belongs to this request, the rest begins the next one */
	size_t head_memory;   /* taken from the budget for heads */
	struct request request;
	char *key_name; /* ours: keys come and go */
	bool key_in_dir;

	struct reading body;
	struct delivery *delivery; /* ours until submitted */
	size_t submitted_n;        /* bytes of its body, for the log line */

	struct sp_buf out;
	size_t out_at, lingered;
};

static void conn_go_on(struct conn *c);

/* ---- the state and its time limit ---- */

static void body_timer(void *arg);
static void time_is_up(void *arg);

static int64_t rest_of_life_ms(const struct conn *c)
{
	int64_t age = sp_mono_since_ms(c->opened);
	return age < c->max_age_ms ? c->max_age_ms - age : 0;
}

/* Closing crosses with a request that is on its way: one in use is told by its next answer instead. */
static int64_t idle_limit_ms(const struct conn *c)
{
	int64_t limit = c->srv->settings->ingest_idle_timeout, rest = rest_of_life_ms(c);
	rest = rest > IDLE_LEAST_MS ? rest : IDLE_LEAST_MS;
	return rest < limit ? rest : limit;
}

static void enter(struct conn *c, enum conn_state state)
{
	const struct settings *s = c->srv->settings;
	int64_t limit_ms = -1;
	uint32_t events = EPOLLIN;
	switch (state) {
	case CONN_HANDSHAKE:
		limit_ms = s->ingest_handshake_timeout;
		break;
	case CONN_HEAD:
		limit_ms = c->in.n || !c->served ? s->ingest_header_timeout : idle_limit_ms(c);
		break;
	case CONN_BODY:
	case CONN_CHUNKS:
		sp_timer_set(c->srv->loop, &c->timer, s->ingest_body_stall, body_timer, c);
		break;
	case CONN_WAITING: /* the pool has a deadline */
		events = 0;
		sp_timer_cancel(c->srv->loop, &c->timer);
		break;
	case CONN_ANSWERING:
		events = EPOLLOUT;
		limit_ms = s->ingest_body_stall;
		break;
	case CONN_LINGERING:
		limit_ms = LINGER_MS;
		break;
	case CONN_CLOSED:
		return;
	}
	c->state = state;
	if (limit_ms >= 0)
		sp_timer_set(c->srv->loop, &c->timer, limit_ms, time_is_up, c);
	if (events != c->events)
		sp_source_events(c->source, events);
	c->events = events;
}

static void head_drop(struct conn *c)
{
	sp_buf_free(&c->in);
	budget_give(&c->srv->heads, c->head_memory);
	c->head_memory = 0;
}

static void body_drop(struct conn *c)
{
	reading_drop(&c->body);
	delivery_free(&c->delivery);
}

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_BODY || c->state == CONN_CHUNKS)
		sp_metric_add(M_INGEST_ABORTED, NULL, 1);
	if (c->state == CONN_WAITING)
		pool_forget(c->srv->pool, c);
	c->state = CONN_CLOSED;
	body_drop(c);
	sp_timer_cancel(c->srv->loop, &c->timer);
	sp_source_free(&c->source);
	if (c->ssl) {
		tls_goodbye(c->ssl);
		tls_stream_free(&c->ssl);
	}
	close(c->fd);
	server_forget(c->srv, c);
}

/* ---- bytes ---- */

/* >0 bytes, or an enum tls_io. */
static ssize_t conn_read(struct conn *c, void *to, size_t n)
{
	if (c->ssl)
		return tls_read(c->ssl, to, n);
	ssize_t got = recv(c->fd, to, n, 0);
	return got >= 0 ? got : errno == EAGAIN || errno == EINTR ? TLS_AGAIN_READ : TLS_FAILED;
}

static ssize_t conn_write(struct conn *c, const void *from, size_t n)
{
	if (c->ssl)
		return tls_write(c->ssl, from, n);
	ssize_t put = send(c->fd, from, n, MSG_NOSIGNAL);
	return put >= 0 ? put : errno == EAGAIN || errno == EINTR ? TLS_AGAIN_WRITE : TLS_FAILED;
}

/* ---- answers ---- */

/* Is it the connection's last one? */
static bool is_last_answer(struct conn *c)
{
	c->close_after |= c->srv->stopping || rest_of_life_ms(c) == 0;
	return c->close_after;
}

static void start_answer(struct conn *c)
{
	if (!sp_buf_ok(&c->out)) {
		conn_close(c);
		return;
	}
	c->out_at = 0;
	enter(c, CONN_ANSWERING);
}

static struct sp_bytes header(const struct conn *c, enum request_header h)
{
	return c->request.header[h];
}

static void forget_key(struct conn *c)
{
	sp_free(c->key_name);
	c->key_name = NULL;
	c->key_in_dir = false;
}

/* Answers without the pool. Afterwards the connection ends unless nothing of a body is on its way. */
static void refuse_with(struct conn *c, int http_status, const char *code, const char *text, bool close)
{
	access_log_refused(&c->request, c->key_name, http_status, code, text);
	body_drop(c);
	c->close_after |= close;
	answer_write(&c->out, http_status, header(c, HEADER_REQUEST_ID), code, text, sp_wall_ms(), is_last_answer(c));
	access_count(http_status, code, c->began);
	start_answer(c);
}

static void refuse(struct conn *c, enum refusal r)
{
	const struct refusal_text *t = refusal_text(r);
	bool has_body = c->request.chunked || c->request.length > 0;
	/* What is malformed leaves no place where the next request could begin; who asked by HEAD does not expect this answer's body. */
	refuse_with(c, t->http_status, t->code, t->text, has_body || c->state != CONN_HEAD || r < REFUSE_METHOD || c->request.is_head);
}

static void answer_health(struct conn *c, bool ready_asked)
{
	const char *reason = ready_asked ? server_not_ready(c->srv) : NULL;
	char text[600];
	snprintf(text, sizeof text, "%s\n", reason ? reason : ready_asked ? "ready" : "ok");
	c->close_after |= c->request.chunked || c->request.length > 0;
	answer_text(&c->out, reason ? 503 : 200, text, c->request.is_head, is_last_answer(c));
	start_answer(c);
}

static void delivery_done(void *arg, const struct outcome *o)
{
	struct conn *c = arg;
	sp_crash_point("ingest.after_done_before_200");
	access_log_delivery(&c->request, c->key_name, o, c->submitted_n, c->began);
	answer_write(&c->out, o->http_status, sp_str(o->request_id), o->code, o->text, sp_wall_ms(), is_last_answer(c));
	access_count(o->http_status, o->code, c->began);
	start_answer(c);
	conn_go_on(c);
}

/* ---- a body ---- */

static char *copy_header(const struct conn *c, enum request_header h)
{
	return c->request.has[h] ? sp_strndup(header(c, h).p, header(c, h).n) : NULL;
}

static void submit(struct conn *c)
{
	struct delivery *d = c->delivery;
	sp_crash_point("ingest.after_read");
	reading_hand_over(&c->body, d);
	d->gzip = c->request.gzip;
	d->has_request_id = c->request.has[HEADER_REQUEST_ID];
	d->request_id = copy_header(c, HEADER_REQUEST_ID);
	d->source_arn = copy_header(c, HEADER_SOURCE_ARN);
	d->key_name = sp_strdup(c->key_name ? c->key_name : "");
	d->needs_tenant = c->key_in_dir;
	d->common_attributes = copy_header(c, HEADER_COMMON_ATTRIBUTES);
	d->common_attributes_n = header(c, HEADER_COMMON_ATTRIBUTES).n;
	d->received_ms = sp_wall_ms();
	d->done = delivery_done;
	d->done_arg = c;
	if (c->key_name)
		keys_charge(c->srv->keys, c->key_name, 1, d->body_n);
	sp_metric_add(M_INGEST_REQUEST_BYTES, NULL, (double)d->body_n);
	c->submitted_n = d->body_n;
	c->delivery = NULL;
	enter(c, CONN_WAITING);
	pool_submit(c->srv->pool, d);
}

static void take_chunks(struct conn *c, struct sp_bytes data)
{
	size_t used = 0;
	enum chunked_state state = reading_feed(&c->body, data, &used);
	if (state == CHUNKED_BAD) {
		refuse(c, c->body.refusal);
	} else if (state == CHUNKED_DONE) {
		if (data.p == c->in.p + c->head_n)
			c->taken += used;
		else /* what is left belongs to the next request and is not kept: the client sends it again on a new connection */
			c->close_after |= used < data.n;
		submit(c);
	}
}

static void body_timer(void *arg)
{
	struct conn *c = arg;
	const struct settings *s = c->srv->settings;
	int64_t least = s->ingest_body_stall * MIN_BYTES_PER_SECOND / 1000;
	if (reading_stalls(&c->body, least) || sp_mono_since_ms(c->began) > s->ingest_body_timeout) {
		refuse(c, REFUSE_BODY_TIMEOUT);
		conn_go_on(c);
		return;
	}
	enter(c, c->state);
}

static void took(struct conn *c, size_t n)
{
	reading_took(&c->body, n);
	if (c->body.n == c->body.reserved)
		submit(c);
}

static void begin_body(struct conn *c)
{
	struct sp_bytes rest = sp_bytes(c->in.p + c->head_n, c->in.n - c->head_n);
	c->delivery = delivery_new();
	reading_begin(&c->body, &c->request, sp_bytes(c->in.p, c->head_n));
	if (c->request.chunked) {
		enter(c, CONN_CHUNKS);
		take_chunks(c, rest);
		return;
	}
	size_t room;
	uint8_t *to = reading_room(&c->body, &room);
	size_t n = rest.n < room ? rest.n : room;
	memcpy(to, rest.p, n);
	c->taken += n;
	enter(c, CONN_BODY);
	took(c, n);
}

/* ---- a head ---- */

static bool is_health(const struct conn *c, bool *ready_asked)
{
	struct sp_bytes path = c->request.path;
	*ready_asked = sp_eq(path, SP_LIT("/readyz")) || sp_eq(path, SP_LIT("/-/ready"));
	return (c->request.is_get || c->request.is_head) &&
		(*ready_asked || sp_eq(path, SP_LIT("/healthz")) || sp_eq(path, SP_LIT("/-/healthy")));
}

static enum refusal check_key(struct conn *c, struct key **key)
{
	if (keys_none(c->srv->keys))
		return REFUSE_NOTHING;
	if (!c->request.has[HEADER_ACCESS_KEY])
		return REFUSE_KEY_MISSING;
	*key = keys_find(c->srv->keys, header(c, HEADER_ACCESS_KEY));
	if (!*key)
		return REFUSE_KEY_WRONG;
	c->key_name = sp_strdup(key_name(*key));
	c->key_in_dir = key_in_dir(*key);
	return key_allows(*key, header(c, HEADER_SOURCE_ARN)) ? REFUSE_NOTHING : REFUSE_ARN;
}

/* Everything that can be said before the body is read, is said now. */
static void take_request(struct conn *c)
{
	bool ready_asked;
	struct key *key = NULL;
	c->taken = c->head_n;
	enum refusal r = request_parse(sp_bytes(c->in.p, c->head_n), &c->request);
	c->close_after |= r != REFUSE_NOTHING || !c->request.keep_alive;
	if (r == REFUSE_NOTHING && is_health(c, &ready_asked)) {
		answer_health(c, ready_asked);
		return;
	}
	if (r == REFUSE_NOTHING)
		r = request_check(&c->request, c->srv->settings);
	if (r == REFUSE_NOTHING || r > REFUSE_PATH) { /* without a key nobody learns more than path and method */
		enum refusal no_key = check_key(c, &key);
		r = no_key != REFUSE_NOTHING ? no_key : r;
	}
	if (r == REFUSE_NOTHING && c->srv->stopping)
		r = REFUSE_STOPPING;
	if (r != REFUSE_NOTHING) {
		refuse(c, r);
		return;
	}
	const struct outcome *o = pool_refuses(c->srv->pool, c->key_name, (size_t)c->request.length);
	if (o) {
		refuse_with(c, o->http_status, o->code, o->text, true);
		return;
	}
	if (key && (r = key_limits(key, sp_mono_now())) != REFUSE_NOTHING) {
		refuse(c, r);
		return;
	}
	r = reading_reserve(&c->body, &c->srv->budget, (size_t)c->srv->settings->ingest_max_body, (size_t)c->request.length);
	if (r != REFUSE_NOTHING) {
		refuse(c, r);
		return;
	}
	if (c->request.expects_continue)
		sp_buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	if (c->out.n) {
		/* 25 bytes into an empty socket buffer: what does not fit means that nobody reads. */
		if (conn_write(c, c->out.p, c->out.n) != (ssize_t)c->out.n) {
			conn_close(c);
			return;
		}
		sp_buf_clear(&c->out);
	}
	begin_body(c);
}

/* Where to read more of a head. NULL: no memory. What a head needs beyond its first bytes comes out of a budget: its sender has
 * shown no key yet. */
static uint8_t *head_room(struct conn *c, size_t *room)
{
	struct sp_buf *in = &c->in;
	*room = in->cap - in->n;
	if (*room > 0)
		return in->p + in->n;
	*room = in->cap ? in->cap : HEAD_FIRST_BYTES;
	if (in->cap && !budget_take(&c->srv->heads, *room))
		return NULL;
	c->head_memory += in->cap ? *room : 0;
	return sp_buf_room(in, *room);
}

static void look_for_head(struct conn *c, size_t from)
{
	enum refusal r = request_head_too_big(sp_buf_view(&c->in));
	c->head_n = request_head_length(sp_buf_view(&c->in), from);
	if (c->head_n && c->head_n <= HEAD_MAX_BYTES)
		r = r == REFUSE_HEADERS ? REFUSE_NOTHING : r;
	if (from == 0 && c->in.n) {
		c->began = sp_mono_now();
		enter(c, CONN_HEAD); /* its time runs from the first byte */
	}
	if (r != REFUSE_NOTHING) {
		c->request = (struct request){0};
		refuse(c, r);
	} else if (c->head_n) {
		take_request(c);
	}
}

/* ---- events ---- */

static void next_request(struct conn *c)
{
	c->in.n -= c->taken;
	memmove(c->in.p, c->in.p + c->taken, c->in.n);
	if (c->in.n == 0)
		head_drop(c);
	sp_buf_free(&c->out);
	c->request = (struct request){0};
	forget_key(c);
	c->served = true;
	c->head_n = c->taken = 0;
	enter(c, CONN_HEAD);
	if (c->in.n)
		look_for_head(c, 0);
}

static void time_is_up(void *arg)
{
	struct conn *c = arg;
	if (c->state == CONN_HEAD && c->in.n > 0) {
		c->request = (struct request){0};
		refuse(c, REFUSE_HEAD_TIMEOUT);
		conn_go_on(c);
		return;
	}
	if (c->state == CONN_HANDSHAKE)
		sp_metric_add(M_INGEST_TLS_FAILURES, SP_L("timeout"), 1);
	conn_close(c);
}

static void flush(struct conn *c)
{
	while (c->out_at < c->out.n) {
		ssize_t n = conn_write(c, c->out.p + c->out_at, c->out.n - c->out_at);
		if (n == TLS_AGAIN_READ || n == TLS_AGAIN_WRITE)
			return;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		c->out_at += (size_t)n;
		sp_crash_point("ingest.after_200_partial_write");
	}
	if (!c->close_after) {
		next_request(c);
		return;
	}
	if (c->ssl)
		tls_goodbye(c->ssl);
	shutdown(c->fd, SHUT_WR);
	c->request = (struct request){0};
	head_drop(c);
	enter(c, CONN_LINGERING);
}

static void handshake(struct conn *c)
{
	const char *reason = NULL;
	int result = tls_handshake(c->ssl, &reason);
	if (result == 1) {
		enter(c, CONN_HEAD);
	} else if (result == TLS_FAILED) {
		sp_metric_add(M_INGEST_TLS_FAILURES, SP_L(reason), 1);
		conn_close(c);
	} else {
		c->events = result == TLS_AGAIN_WRITE ? EPOLLOUT : EPOLLIN;
		sp_source_events(c->source, c->events);
	}
}

/* One read of the present state. False when there is nothing to read now, or the connection has gone. */
static bool read_some(struct conn *c, size_t *total)
{
	static uint8_t scratch[64 * 1024]; /* one thread: what is thrown away or goes through the chunk parser */
	uint8_t *to = scratch;
	size_t room = sizeof scratch;
	if (c->state == CONN_BODY) {
		to = reading_room(&c->body, &room);
	} else if (c->state == CONN_HEAD) {
		to = head_room(c, &room);
		if (!to) {
			c->request = (struct request){0};
			refuse(c, REFUSE_HEAD_MEMORY);
			return true;
		}
	}
	ssize_t n = conn_read(c, to, room);
	if (n == TLS_AGAIN_READ || n == TLS_AGAIN_WRITE) {
		if (c->state == CONN_HEAD && c->in.n == 0)
			head_drop(c);
		return false;
	}
	if (n <= 0) {
		conn_close(c);
		return false;
	}
	*total += (size_t)n;
	if (c->state == CONN_HEAD) {
		c->in.n += (size_t)n;
		look_for_head(c, c->in.n - (size_t)n);
	} else if (c->state == CONN_BODY) {
		took(c, (size_t)n);
	} else if (c->state == CONN_CHUNKS) {
		take_chunks(c, sp_bytes(to, (size_t)n));
	} else if ((c->lingered += (size_t)n) > (size_t)c->srv->settings->ingest_max_body) {
		conn_close(c);
	}
	return c->state != CONN_CLOSED;
}

/* Does all that can be done now. */
static void conn_go_on(struct conn *c)
{
	size_t total = 0;
	for (;;) {
		enum conn_state before = c->state;
		switch (c->state) {
		case CONN_HANDSHAKE:
			handshake(c);
			break;
		case CONN_HEAD:
		case CONN_BODY:
		case CONN_CHUNKS:
		case CONN_LINGERING:
			if (!read_some(c, &total))
				return;
			if (total >= READ_PER_TURN && !(c->ssl && tls_pending(c->ssl)))
				return;
			continue;
		case CONN_ANSWERING:
			flush(c);
			break;
		case CONN_WAITING:
		case CONN_CLOSED:
			return;
		}
		if (c->state == before)
			return;
	}
}

static void conn_event(void *arg, uint32_t events)
{
	struct conn *c = arg;
	if (c->state == CONN_WAITING && (events & (EPOLLERR | EPOLLHUP)))
		conn_close(c); /* the delivery goes on; the retry will find it done */
	else
		conn_go_on(c);
}

/* ---- beginning and end ---- */

void conn_new(struct server *srv, int fd)
{
	struct conn *c = sp_new(struct conn);
	struct ssl_st *ssl = srv->tls ? tls_stream_new(srv->tls, fd) : NULL;
	if (srv->tls && !ssl) {
		close(fd);
		sp_free(c);
		return;
	}
	c->srv = srv;
	c->fd = fd;
	c->ssl = ssl;
	c->opened = c->began = sp_mono_now();
	/* Not all at once: so that a balancer finds new backends little by little. */
	c->max_age_ms = srv->settings->ingest_max_connection_age * (80 + random() % 41) / 100;
	c->events = EPOLLIN;
	c->source = sp_loop_fd(srv->loop, fd, EPOLLIN, conn_event, c);
	c->link = &srv->conns;
	c->next = srv->conns;
	if (c->next)
		c->next->link = &c->next;
	srv->conns = c;
	srv->n_conns++;
	enter(c, ssl ? CONN_HANDSHAKE : CONN_HEAD);
}

void conn_retire(struct conn *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->next = c->srv->closed;
	c->srv->closed = c;
}

void conn_free_retired(struct server *srv)
{
	struct conn *c = srv->closed;
	srv->closed = c->next;
	head_drop(c);
	sp_buf_free(&c->out);
	forget_key(c);
	sp_free(c);
}

void conn_stop_all(struct server *srv)
{
	for (struct conn *c = srv->conns, *next; c; c = next) {
		next = c->next;
		c->close_after = true;
		if (c->state == CONN_HANDSHAKE || (c->state == CONN_HEAD && c->in.n == 0))
			conn_close(c);
	}
}
