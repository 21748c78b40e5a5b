/* writer_impl - what both sides of the writer share: writer.c (the loop thread) and writer_thread.c (the database thread). Nobody else
 * includes this.
 */
#ifndef SHIP_WRITER_IMPL_H
#define SHIP_WRITER_IMPL_H

#include "common/log.h"
#include "ship/spool/edit.h"
#include "ship/spool/spool.h"
#include "ship/spool/writer.h"

#include <pthread.h>

#define RECENT_MAX 256 /* payloads */

/* Up to OP_EDIT they are changes. */
enum op_kind { OP_STORE, OP_SETTLE, OP_MAYBE, OP_NOTE, OP_EDIT, OP_READ, OP_LIST, OP_QUERY };

struct made_batch {
	struct batch batch;
	struct payload *payload;
};

/* One request on its way through both queues. The loop thread makes and frees it; in between it is the database thread's. */
struct op {
	struct op *next;
	enum op_kind kind;
	size_t bytes;
	struct store_request *request;
	struct edit *edit;
	struct made_batch *made; /* by a store or an edit */
	size_t n_made, cap_made;
	size_t cache_max;
	struct batch *batches; /* settled, marked, listed, or taken away by an edit */
	size_t n_batches;
	uint64_t delivered;
	struct dead_letter *dead;
	size_t n_dead;
	uint64_t payload_id;
	struct payload *payload;
	uint32_t dest, shard;
	uint64_t after;
	size_t max;
	bool more;
	int64_t reached_ms;
	void (*query)(struct spool *sp, void *arg);
	union {
		void (*plain)(void *arg);
		void (*read)(void *arg, struct payload *p);
		void (*list)(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms);
	} done;
	void *arg;
	double commit_s; /* of the group that this op was the first of */
	size_t group_ops;
};

struct queue { /* {0}: empty */
	struct op *first, *last;
};

/* What the loop thread may know, as of the last commit. */
struct view {
	struct spool_sizes sizes;
	bool full;
	uint64_t unbalanced; /* checks of the books that failed */
};

struct writer {
	struct sp_loop *loop;
	struct spool *spool; /* the database thread's, between writer_open and the end of the thread */
	pthread_t thread;
	struct sp_source *source;
	int wake_fd;
	size_t cache_max;
	uint64_t max_bytes;

	pthread_mutex_t lock; /* guards the next eight, of which the last three are for whoever asks */
	pthread_cond_t wanted;
	struct queue in, out;
	bool stop;
	struct view published;
	struct writer_totals *totals;
	uint32_t n_dests;
	const char **dest_names; /* by id; the spool's, which keeps them while it is open */

	/* of the database thread */
	struct queue held; /* settlements that a full disk keeps from being written */
	struct sp_mono last_tick, last_work, last_check;
	struct view now;
	struct sp_log_rate full_rate, expired_rate;
	struct payload *recent[RECENT_MAX]; /* a ring, the oldest at recent_at; not used for a second: let go */
	size_t recent_at, n_recent, recent_bytes;
	bool recent_used;

	/* of the loop thread */
	struct queue notes; /* one is on its way at a time: the next one ends the former, so that must have been decoded */
	bool noting;
	struct view view;
	struct sources *sources;
	struct store_request **pending;
	size_t n_pending, cap_pending;
	writer_batch_fn on_batch;
	void (*on_gone)(void *arg, const struct batch *b);
	void *batch_arg;
	void (*on_full)(void *arg);
	void *full_arg;
};

/* `from` is empty then. */
static inline void queue_join(struct queue *to, struct queue *from)
{
	if (to->first)
		to->last->next = from->first;
	else
		to->first = from->first;
	if (from->first)
		to->last = from->last;
	*from = (struct queue){0};
}

static inline void queue_put(struct queue *q, struct op *op)
{
	op->next = NULL;
	queue_join(q, &(struct queue){op, op});
}

static inline struct op *queue_take(struct queue *q)
{
	struct op *op = q->first;
	if (op)
		q->first = op->next;
	return op;
}

/* The database thread's functions. After it ended, the loop thread may call the others. */
void *writer_thread(void *arg);
void writer_take_group(struct writer *w, struct queue *group); /* from `in`; with the lock, or alone */
void writer_run_group(struct writer *w, struct queue *group);
void writer_tick(struct writer *w);
void writer_check_books(struct writer *w);
void writer_forget_recent(struct writer *w);
void writer_publish(struct writer *w, struct queue *answers);
void writer_learn_dests(struct writer *w); /* with the lock, or alone */
_Noreturn void writer_failed(const struct writer *w, const struct sp_why *why);
void op_forget_made(struct op *op);

#endif
