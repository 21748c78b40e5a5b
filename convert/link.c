#include "convert/link.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "common/sock.h"

#define LINGER_MS 500 /* for the last DONE and BYE */
#define LOG_EVERY_MS 60000

void link_send(struct link *l, struct frame_header h, const ProtobufCMessage *m)
{
	h.session = l->session;
	(void)!frame_send(l->zsock, NULL, &h, m);
}

void link_say_hello(struct link *l)
{
	Standpipe__Hello m = STANDPIPE__HELLO__INIT;
	m.min_version = m.max_version = FRAME_VERSION;
	m.worker = l->worker;
	m.slots = l->slots;
	m.max_message = (uint64_t)FRAME_TO_WORKER_BYTES;
	m.release = (char *)STANDPIPE_VERSION;
	link_send(l, (struct frame_header){.type = FRAME_HELLO}, &m.base);
}

void link_say_bye(struct link *l)
{
	Standpipe__Bye m = STANDPIPE__BYE__INIT;
	link_send(l, (struct frame_header){.type = FRAME_BYE}, &m.base);
}

static void new_session(struct link *l)
{
	frame_random((uint8_t *)&l->session, sizeof l->session);
	l->welcomed = false;
	link_say_hello(l);
}

static void connection_ended(void *arg, uint64_t connection)
{
	struct link *l = arg;
	(void)connection; /* there is never more than one */
	new_session(l);
	if (l->ended)
		l->ended(l->arg);
}

enum sp_status link_open(
    struct link *l, struct sp_loop *loop, void *zmq, const char *endpoint, int64_t max_message, struct sp_why *why)
{
	uint8_t identity[FRAME_IDENTITY_BYTES];
	frame_random(identity, sizeof identity);
	identity[0] = 'w'; /* ZeroMQ keeps identities that begin with 0 for itself */
	enum sp_status status = sp_dealer_new(zmq, identity, max_message, LINGER_MS, &l->zsock, why);
	if (status == SP_OK)
		status = sp_monitor_new(loop, zmq, l->zsock, connection_ended, l, &l->monitor, why);
	if (status == SP_OK)
		status = sp_dealer_connect(l->zsock, endpoint, why);
	if (status != SP_OK)
		return status;
	l->frame = sp_new(struct frame);
	l->source = sp_loop_zmq(loop, l->zsock, l->readable, l->arg);
	new_session(l);
	return SP_OK;
}

void link_close(struct link *l)
{
	sp_monitor_free(&l->monitor);
	sp_source_free(&l->source);
	if (l->zsock)
		zmq_close(l->zsock);
	sp_free(l->frame);
}

enum sp_status link_take(struct link *l)
{
	struct sp_why why;
	enum sp_status status = frame_take(l->zsock, false, l->frame, &why);
	if (status == SP_OK && l->frame->header.session != l->session) {
		frame_free(l->frame);
		return SP_NOT_FOUND;
	}
	if (status == SP_OK || status == SP_AGAIN)
		return status;
	sp_metric_add(M_CONVERT_BAD_MESSAGES, NULL, 1);
	if (sp_log_due(&l->log_bad, LOG_EVERY_MS))
		sp_log(SP_LOG_WARN, "message.bad", sp_f_str("from", l->name), sp_f_str("msg", why.text), SP_LOG_END);
	return status;
}

void link_take_refused(struct link *l)
{
	const Standpipe__Refused *m = (const Standpipe__Refused *)l->frame->message;
	if (m->reason == STANDPIPE__REFUSED__REASON__SAY_HELLO) {
		new_session(l);
		return;
	}
	l->welcomed = false; /* HELLO is said again each second: the other side may be replaced by one that fits */
	if (sp_log_due(&l->log_refused, LOG_EVERY_MS))
		sp_log(SP_LOG_ERROR, "worker.refused", sp_f_str("by", l->name), sp_f_str("msg", m->text), SP_LOG_END);
}
