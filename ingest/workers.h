/* workers - the convert processes that are connected to ingest: their sessions, what each of them holds, and ship's
 * state as they tell it.
 *
 * Binds work.sock. A worker exists from its HELLO until its connection ends; that end, and nothing else, is its death:
 * a worker that is busy may be silent for long. What it held then goes back to the pool, before the worker is freed.
 * One thread, the loop's.
 */
#ifndef INGEST_WORKERS_H
#define INGEST_WORKERS_H

#include "common/conf.h"
#include "common/loop.h"
#include "proto/frame.h"

#define WORKER_SLOTS_MAX 8
/* A job above this size goes only to a worker that holds nothing. */
#define WORKER_BYTES_MAX ((size_t)8 << 20)

struct held {
	uint64_t job;
	uint32_t attempt;
	uint8_t key[16];
	size_t bytes;
};

struct worker {
	uint8_t identity[FRAME_IDENTITY_BYTES];
	uint64_t session, connection;
	uint32_t slot;			    /* its number among its siblings */
	struct held held[WORKER_SLOTS_MAX]; /* jobs sent and not yet answered, oldest first */
	size_t n_held, slots, bytes;
	bool shared;   /* held two jobs at once since it was last idle */
	bool reserved; /* gets nothing more: for, or with, a job that runs alone */
	bool leaving;  /* said BYE */
	Standpipe__State__Accepting accepting;
	uint8_t spool_id[16];
	int64_t ship_seen_ms; /* monotonic; 0: never */
	int64_t told_ms;
	struct worker *next;
};

struct workers_events {
	void (*done)(void *arg,
	    const struct frame *f); /* the slot is free already; also of sessions that are not known (any more) */
	void (*changed)(void *arg); /* a worker came or told something new */
	void (*gone)(void *arg, const struct worker *w); /* what it held is in nobody's hands now */
	void *arg;
};

struct workers;

SP_CHECKED enum sp_status workers_new(struct sp_loop *l, void *zmq, const struct settings *s,
    const struct workers_events *events, struct workers **out, struct sp_why *why);
void workers_free(struct workers **ws);

/* The worker with the most room for a job of so many bytes, NULL when there is none. Only workers that reach a ship
 * that answers. */
struct worker *workers_pick(struct workers *ws, size_t bytes);
/* The worker that holds least and is not leaving; NULL without workers that reach a ship. */
struct worker *workers_least_busy(struct workers *ws);
/* SP_AGAIN: not now. SP_NOT_FOUND: the worker has just gone (gone was called, w is freed). */
SP_CHECKED enum sp_status workers_send(
    struct workers *ws, struct worker *w, const struct frame_header *h, zmq_msg_t *parts, size_t n, size_t bytes);

/* The best that a worker says of ship; STARTING when no worker has heard of it in the last 3 s. spool_id (may be NULL)
 * is filled unless STARTING. */
Standpipe__State__Accepting workers_ship(const struct workers *ws, uint8_t spool_id[16]);
/* Does ship, as far as it is known, want 401 to be answered to this access key? */
bool workers_key_unauthorized(const struct workers *ws, const char *key_name);
size_t workers_count(const struct workers *ws);
size_t workers_held(const struct workers *ws);

#endif
