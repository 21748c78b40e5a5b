/* handover_lib - a loop, a directory for sockets, and scripted peers, for tests of the hand-over in one process.
 *
 * Nothing waits longer than STAGE_LIMIT_MS; a wait that was in vain fails the test.
 */
#ifndef TESTS_LIB_HANDOVER_LIB_H
#define TESTS_LIB_HANDOVER_LIB_H

#include "common/conf.h"
#include "common/loop.h"
#include "proto/frame.h"

#define STAGE_LIMIT_MS 5000

struct stage {
	struct sp_loop *loop;
	void *zmq;
	struct settings settings;
	char dir[64];
};

void stage_open(struct stage *s);
void stage_close(struct stage *s); /* after everything that uses it */
/* Runs the loop until cond holds (looked at every 2 ms) or time is up; true when it holds. */
bool stage_until(struct stage *s, bool (*cond)(void *arg), void *arg, int64_t limit_ms);
void stage_run(struct stage *s, int64_t ms);

/* One end of the hand-over, played by the test: a worker towards ingest or ship, or a fixed point towards a worker. */
struct peer {
	struct stage *stage;
	void *zsock;
	bool router;
	uint8_t identity[FRAME_IDENTITY_BYTES]; /* of a fixed point: that of the worker it heard last */
	uint64_t session;
	struct frame *got; /* the last message, until the next peer_expect */
	unsigned skip;	   /* bits by type: messages peer_expect passes over */
};

void peer_connect(struct peer *p, struct stage *s, const char *sock);
void peer_bind(struct peer *p, struct stage *s, const char *sock);
void peer_close(struct peer *p); /* as when its process dies */
void peer_send(struct peer *p, const struct frame_header *h, const ProtobufCMessage *m);
/* The next message, which must be of this type. */
const struct frame *peer_expect(struct peer *p, enum frame_type type);
/* True when no message (but those passed over) comes for so long. */
bool peer_hears_nothing(struct peer *p, int64_t ms);
/* As a worker: HELLO and WELCOME, a new session. */
void peer_hello(struct peer *p);
Standpipe__Hello peer_hello_message(void);

#endif
