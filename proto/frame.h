/* frame - the shape of every message between the processes.
 *
 * Frame 0 is a fixed little-endian header of 48 bytes:
 *   magic "SPF1", type u8, flags u8, version u16, session u64, job u64, attempt u32, remaining_ms u32, key 16 bytes
 * Frame 1 is the protobuf message named for the type (proto/standpipe.proto); further frames are bulk bytes.
 * session: drawn by the worker at HELLO; a frame of a session its receiver does not know is answered REFUSED "say
 * HELLO". job, attempt: drawn by ingest; an answer repeats session, job, attempt and key of what it answers.
 * remaining_ms: time left of the delivery's deadline; relative, because monotonic clocks mean nothing elsewhere.
 * key: the delivery key, XXH3-128 over (source ARN, 0, request id, 0, tenant, 0, body bytes as received).
 *
 * ZeroMQ hands over a message whole or not at all, so there is nothing to assemble; but a message handed over is not an
 * acceptance: only DONE and STORED are. No function here waits.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include "common/bytes.h"
#include "proto/standpipe.pb-c.h"

#include <zmq.h>

#define FRAME_VERSION 1
#define FRAME_HEADER_BYTES 48
#define FRAME_IDENTITY_BYTES 16
/* Limits of one frame (ZMQ_MAXMSGSIZE). A JOB's body is bounded by ingest.max_body, at most 1 GiB. */
#define FRAME_TO_INGEST_BYTES ((int64_t)1 << 20)
#define FRAME_TO_SHIP_BYTES ((int64_t)68 << 20)
#define FRAME_TO_WORKER_BYTES (((int64_t)1 << 30) + ((int64_t)1 << 20))
#define FRAME_PAYLOAD_BYTES ((size_t)64 << 20)	 /* of a bulk frame in STORE */
#define FRAME_BULK_MAX 65			 /* bulk frames of one message: 64 mapping groups and the quarantine */
#define FRAME_OFFER_FROM_BYTES ((size_t)4 << 20) /* a STORE with more bulk bytes is offered first */
/* Of a bulk frame from this size on it is cheaper to lend the bytes than to copy them. */
#define FRAME_LEND_FROM_BYTES ((size_t)64 << 10)

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_WELCOME,
	FRAME_REFUSED,
	FRAME_STATE,
	FRAME_PLAN,
	FRAME_JOB,
	FRAME_DONE,
	FRAME_OFFER,
	FRAME_GO,
	FRAME_STORE,
	FRAME_STORED,
	FRAME_ASK,
	FRAME_TOLD,
	FRAME_PING,
	FRAME_BYE,
	FRAME_TYPES
};

struct frame_header {
	uint8_t type, flags;
	uint16_t version;
	uint64_t session, job;
	uint32_t attempt, remaining_ms;
	uint8_t key[16];
};

/* A received message. Everything in it lives until frame_free. */
struct frame {
	uint8_t peer[FRAME_IDENTITY_BYTES]; /* from a ROUTER: who sent it */
	int connection_fd;		    /* from a ROUTER: for sp_monitor_connection */
	struct frame_header header;
	ProtobufCMessage *message; /* of the type that the header names */
	struct sp_bytes bulk[FRAME_BULK_MAX];
	size_t n_bulk, bulk_bytes;
	zmq_msg_t parts[FRAME_BULK_MAX]; /* what bulk looks into */
};

void frame_header_write(const struct frame_header *h, uint8_t out[FRAME_HEADER_BYTES]);
/* False unless it has the right length and magic, a known type and a version that we speak (HELLO and REFUSED: any
 * version, so that peers of different releases can tell each other). */
bool frame_header_read(struct sp_bytes in, struct frame_header *out);
/* NULL when bytes are not the message of this type. */
ProtobufCMessage *frame_unpack(enum frame_type type, struct sp_bytes bytes);
void frame_unpacked_free(ProtobufCMessage *m); /* NULL is fine */
/* "HELLO"; for the log. */
const char *frame_name(enum frame_type type);

/* Takes one message if there is one. SP_AGAIN: none. SP_BAD_DATA: not one of ours, thrown away. */
SP_CHECKED enum sp_status frame_take(void *zsock, bool router, struct frame *out, struct sp_why *why);
void frame_free(struct frame *f);

/* Sends header (its version is filled in) and message. peer: 16 bytes to send to through a ROUTER, NULL through a
 * DEALER. The header's type must be that of the message. SP_AGAIN: the queue is full. SP_NOT_FOUND: no such peer.
 * SP_NO_MEM. */
SP_CHECKED enum sp_status frame_send(
    void *zsock, const uint8_t *peer, const struct frame_header *h, const ProtobufCMessage *m);
/* The same for a message with bulk frames: parts[0] is the packed message. They stay the caller's, their bytes are
 * shared. */
SP_CHECKED enum sp_status frame_send_parts(
    void *zsock, const uint8_t *peer, const struct frame_header *h, zmq_msg_t *parts, size_t n);
SP_CHECKED enum sp_status frame_pack(const ProtobufCMessage *m, zmq_msg_t *out);
/* The header of an answer to f. */
struct frame_header frame_answer(const struct frame *f, enum frame_type type);
/* Can we work with a worker that says this? SP_OK, else SP_BAD_DATA (protocol) or SP_DENIED (release) with the sentence
 * for it. */
SP_CHECKED enum sp_status frame_check_hello(const Standpipe__Hello *hello, const char *our_role, struct sp_why *why);
/* A random session, boot or identity. */
void frame_random(uint8_t *out, size_t n);

#endif
