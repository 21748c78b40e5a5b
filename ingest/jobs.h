/* jobs - the deliveries ingest has in hand: found by their key, queued until a worker can take them, and who waits for
 * each.
 *
 * Pure bookkeeping, no policy. A job is in the table from jobs_add to jobs_remove; it is QUEUED (in one of the two
 * queues) or SENT.
 */
#ifndef INGEST_JOBS_H
#define INGEST_JOBS_H

#include "ingest/body.h"
#include "ingest/pool.h"
#include "ingest/workers.h"

#define JOB_BUCKETS 4096

/* Somebody who wants to know what becomes of a delivery. */
struct waiter {
	void (*done)(void *arg, const struct outcome *o); /* NULL: has gone */
	void *arg;
	struct waiter *next;
};

struct job {
	uint64_t id;
	enum { QUEUED, SENT } state;
	bool alone;	/* suspect: shares its worker with nobody; changes only while in no queue */
	bool set_aside; /* goes to the quarantine unparsed */
	uint32_t attempt;
	struct delivery *delivery; /* its body is in `body` */
	struct body *body;
	struct waiter *waiters;
	struct sp_timer deadline;
	int64_t due_ms;
	struct pool *pool;
	const struct worker *worker;	       /* SENT */
	struct job *same_bucket, *next, *prev; /* next, prev: in its queue */
};

struct queue {
	struct job *first, *last;
	size_t n;
	double work; /* job_work of all */
};

struct jobs {
	struct job *buckets[JOB_BUCKETS];
	struct queue queue, suspects;
	size_t bytes; /* of all bodies */
};

/* The keys are hashes. */
static inline uint32_t key_hash(const uint8_t key[16])
{
	uint32_t h;
	memcpy(&h, key, sizeof h);
	return h;
}

/* A small delivery costs more than its bytes: hand-over and commit. */
static inline double job_work(size_t bytes)
{
	return (double)bytes + 65536;
}

struct job *jobs_find(const struct jobs *js, const uint8_t key[16]);
void jobs_add(struct jobs *js, struct job *j);	  /* in no queue yet */
void jobs_remove(struct jobs *js, struct job *j); /* in no queue any more */
void jobs_queue(struct jobs *js, struct job *j, bool front);
void jobs_unqueue(struct jobs *js, struct job *j);

void job_wait(struct job *j, const struct delivery *d); /* d's done is called with the answer */
bool job_is_awaited(const struct job *j);
/* Whoever waits hears of it; the job itself may go on. */
void job_answer(struct job *j, const struct outcome *o);

#endif
