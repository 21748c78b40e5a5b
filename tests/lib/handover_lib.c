#include "tests/lib/handover_lib.h"

#include "common/alloc.h"
#include "common/sock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void stage_open(struct stage *s)
{
	*s = (struct stage){.loop = sp_loop_new(), .zmq = zmq_ctx_new()};
	snprintf(s->dir, sizeof s->dir, "/tmp/standpipe-test-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->settings = (struct settings){.runtime_dir = s->dir,
	    .memory = 64 << 20,
	    .ingest_deadline = 20000,
	    .ingest_poison_per_hour = 10,
	    .ingest_max_body = 1 << 20,
	    .convert_job_limit = 10000};
}

void stage_close(struct stage *s)
{
	static const char *const files[] = {"work.sock", "work.sock.lock", "ship.sock", "ship.sock.lock"};
	char path[128];
	zmq_ctx_term(s->zmq);
	sp_loop_free(&s->loop);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", s->dir, files[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(s->dir), 0);
}

struct until {
	struct stage *stage;
	bool (*cond)(void *arg);
	void *arg;
	int64_t due_ms;
	bool held;
	struct sp_timer timer;
};

static void look(void *arg)
{
	struct until *u = arg;
	u->held = u->cond(u->arg);
	if (u->held || sp_mono_now().ms >= u->due_ms)
		sp_loop_stop(u->stage->loop);
	else
		sp_timer_set(u->stage->loop, &u->timer, 2, look, u);
}

bool stage_until(struct stage *s, bool (*cond)(void *arg), void *arg, int64_t limit_ms)
{
	struct until u = {.stage = s, .cond = cond, .arg = arg, .due_ms = sp_mono_now().ms + limit_ms};
	sp_timer_set(s->loop, &u.timer, 0, look, &u);
	sp_loop_run(s->loop);
	sp_timer_cancel(s->loop, &u.timer);
	return u.held;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void stage_run(struct stage *s, int64_t ms)
{
	(void)stage_until(s, never, NULL, ms);
}

static void endpoint_of(char *out, size_t n, const struct stage *s, const char *sock)
{
	snprintf(out, n, "ipc://%s/%s", s->dir, sock);
}

void peer_connect(struct peer *p, struct stage *s, const char *sock)
{
	char endpoint[128];
	endpoint_of(endpoint, sizeof endpoint, s, sock);
	*p = (struct peer){.stage = s, .got = sp_new(struct frame), .skip = 1u << FRAME_STATE};
	frame_random(p->identity, sizeof p->identity);
	p->identity[0] = 'w';
	assert_int_equal(sp_dealer_new(s->zmq, p->identity, FRAME_TO_WORKER_BYTES, 0, &p->zsock, NULL), SP_OK);
	assert_int_equal(sp_dealer_connect(p->zsock, endpoint, NULL), SP_OK);
}

void peer_bind(struct peer *p, struct stage *s, const char *sock)
{
	char endpoint[128];
	struct sp_why why;
	endpoint_of(endpoint, sizeof endpoint, s, sock);
	*p = (struct peer){.stage = s, .router = true, .got = sp_new(struct frame), .skip = 1u << FRAME_PING};
	/* A former one in this process keeps its lock until exit. */
	snprintf(endpoint, sizeof endpoint, "%s/%s.lock", s->dir, sock);
	unlink(endpoint);
	endpoint_of(endpoint, sizeof endpoint, s, sock);
	assert_int_equal(sp_router_new(s->zmq, FRAME_TO_SHIP_BYTES, 0, &p->zsock, &why), SP_OK);
	assert_int_equal(sp_router_bind(p->zsock, endpoint, &why), SP_OK);
}

void peer_close(struct peer *p)
{
	if (!p->got)
		return;
	frame_free(p->got);
	sp_free(p->got);
	zmq_close(p->zsock);
	p->got = NULL;
}

void peer_send(struct peer *p, const struct frame_header *h, const ProtobufCMessage *m)
{
	assert_int_equal(frame_send(p->zsock, p->router ? p->identity : NULL, h, m), SP_OK);
}

static bool has_message(void *arg)
{
	struct peer *p = arg;
	for (;;) {
		frame_free(p->got);
		enum sp_status status = frame_take(p->zsock, p->router, p->got, NULL);
		if (status == SP_AGAIN)
			return false;
		assert_int_equal(status, SP_OK);
		if (p->router)
			memcpy(p->identity, p->got->peer, sizeof p->identity);
		if (!(p->skip & 1u << p->got->header.type))
			return true;
	}
}

const struct frame *peer_expect(struct peer *p, enum frame_type type)
{
	if (!stage_until(p->stage, has_message, p, STAGE_LIMIT_MS))
		fail_msg("no %s came", frame_name(type));
	assert_string_equal(frame_name(p->got->header.type), frame_name(type));
	return p->got;
}

bool peer_hears_nothing(struct peer *p, int64_t ms)
{
	return !stage_until(p->stage, has_message, p, ms);
}

Standpipe__Hello peer_hello_message(void)
{
	Standpipe__Hello m = STANDPIPE__HELLO__INIT;
	m.min_version = m.max_version = FRAME_VERSION;
	m.slots = 2;
	m.release = (char *)STANDPIPE_VERSION;
	return m;
}

void peer_hello(struct peer *p)
{
	Standpipe__Hello m = peer_hello_message();
	frame_random((uint8_t *)&p->session, sizeof p->session);
	peer_send(p, &(struct frame_header){.type = FRAME_HELLO, .session = p->session}, &m.base);
	assert_int_equal(peer_expect(p, FRAME_WELCOME)->header.session, p->session);
}
