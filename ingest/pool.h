/* pool - the convert workers as ingest sees them: takes complete deliveries, answers each exactly once.
 *
 * pool_submit hands a delivery to a worker (or queues it) and calls its done function exactly once, from the loop,
 * never from inside pool_submit: committed, duplicate, refused, or "not now" at the deadline. The body stays in memory
 * until its job is settled, also after the deadline and after the client has gone (pool_forget). A retry of a delivery
 * that is in work attaches to it and gets the same outcome; one that was committed a moment ago is answered at once. A
 * job goes to another worker only because its worker died, never because it is slow (poison.h has what follows from
 * deaths). One thread, the loop's.
 */
#ifndef INGEST_POOL_H
#define INGEST_POOL_H

#include "common/conf.h"
#include "common/loop.h"
#include "proto/standpipe.pb-c.h"

/* What to answer. Views live for the call. */
struct outcome {
	int http_status;	/* 200, 400, 401, 503, 500: never 413 */
	const char *code;	/* "E_SLOW"; NULL with 200 */
	const char *text;	/* sentence; "" with 200 */
	const char *request_id; /* to echo */
	const char
	    *result; /* word for log and metric: accepted duplicate refused full busy slow crash error set_aside */
	const Standpipe__Counts *counts; /* NULL when unknown */
};

/* A delivery with a complete body. Made by delivery_new, filled by ingest's request, taken by pool_submit. */
struct delivery {
	uint8_t *body; /* from sp_try_alloc; the pool frees it (or returns it by body_free) */
	size_t body_n;
	void (*body_free)(void *arg, uint8_t *body, size_t n); /* gives bytes back to the budget; loop thread */
	void *body_arg;
	bool gzip;
	bool has_request_id;
	char *request_id, *source_arn, *key_name, *common_attributes; /* owned, NULL when absent */
	size_t common_attributes_n;
	bool needs_tenant; /* not to be converted by a plan that does not name the key */
	bool replayed; /* out of the quarantine */
	uint8_t key[16]; /* delivery key, see proto/frame.h */
	int64_t received_ms;
	void (*done)(void *arg, const struct outcome *o); /* NULL after pool_forget */
	void *done_arg;
};

struct pool;

/* The settings must outlive it. NULL: why. */
struct pool *pool_new(struct sp_loop *l, void *zmq, const struct settings *s, struct sp_why *why);
void pool_free(struct pool **p);
/* NULL when a delivery of body_bytes (0: unknown) by the access key of this name (NULL: none) can be taken now, else the
 * refusal to answer before reading the body: 503 E_STARTING, E_STORE, E_BUSY, E_SHUTDOWN, or 401 E_TOKEN. */
const struct outcome *pool_refuses(const struct pool *p, const char *key_name, size_t body_bytes);
struct delivery *delivery_new(void);
void delivery_free(struct delivery **d); /* one that was never submitted */
void pool_submit(struct pool *p, struct delivery *d);
/* The client has gone: done will not be called for this done_arg any more. */
void pool_forget(struct pool *p, void *done_arg);
/* No new deliveries from now on; open ones go on. pool_idle: none are left. */
void pool_stop(struct pool *p);
bool pool_idle(const struct pool *p);
/* Sets the pool's gauges (workers, jobs, bytes). */
void pool_metrics(const struct pool *p);

#endif
