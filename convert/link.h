/* link - a worker's way to one of the two fixed points, ingest or ship: its socket, its session, and whether it is
 * welcome there.
 *
 * The socket connects by itself, again and again. When a connection ends, or the other side does not know the session
 * (it has restarted), a new session begins with a HELLO; until its WELCOME nothing else is worth sending. One thread,
 * the loop's.
 */
#ifndef CONVERT_LINK_H
#define CONVERT_LINK_H

#include "common/log.h"
#include "common/monitor.h"
#include "proto/frame.h"

struct link {
	const char *name; /* "ingest" or "ship" */
	uint32_t worker;  /* slot number, for HELLO */
	uint32_t slots;	  /* jobs it wants at a time */
	void *zsock;
	uint64_t session;
	bool welcomed;
	struct frame *frame;	  /* the message link_take took; who keeps it puts a new one here */
	void (*ended)(void *arg); /* the connection; a new session has begun. May be NULL */
	sp_zmq_fn readable;
	void *arg;
	struct sp_source *source;
	struct sp_monitor *monitor;
	struct sp_log_rate log_refused, log_bad;
};

/* name, worker, slots, ended, readable and arg are filled in by the caller. */
SP_CHECKED enum sp_status link_open(
    struct link *l, struct sp_loop *loop, void *zmq, const char *endpoint, int64_t max_message, struct sp_why *why);
void link_close(struct link *l); /* half-open is fine */
/* Takes one message into l->frame. SP_AGAIN: none waits. SP_NOT_FOUND: it was for a former session, whose jobs were
 * given to another worker and whose questions are asked anew. SP_BAD_DATA: it could not be read, which is counted. */
SP_CHECKED enum sp_status link_take(struct link *l);
/* Not waited for: what gets lost is asked for later. The session is filled in. */
void link_send(struct link *l, struct frame_header h, const ProtobufCMessage *m);
void link_say_hello(struct link *l);
void link_say_bye(struct link *l);
/* l->frame is REFUSED. */
void link_take_refused(struct link *l);

#endif
