#include "ingest/jobs.h"

#include "common/alloc.h"
#include "common/metrics.h"

struct job *jobs_find(const struct jobs *js, const uint8_t key[16])
{
	struct job *j = js->buckets[key_hash(key) % JOB_BUCKETS];
	while (j && memcmp(j->delivery->key, key, 16) != 0)
		j = j->same_bucket;
	return j;
}

void jobs_add(struct jobs *js, struct job *j)
{
	struct job **bucket = &js->buckets[key_hash(j->delivery->key) % JOB_BUCKETS];
	j->same_bucket = *bucket;
	*bucket = j;
	js->bytes += j->body->n;
}

void jobs_remove(struct jobs *js, struct job *j)
{
	struct job **link = &js->buckets[key_hash(j->delivery->key) % JOB_BUCKETS];
	while (*link != j)
		link = &(*link)->same_bucket;
	*link = j->same_bucket;
	js->bytes -= j->body->n;
}

static struct queue *queue_of(struct jobs *js, const struct job *j)
{
	return j->alone ? &js->suspects : &js->queue;
}

void jobs_queue(struct jobs *js, struct job *j, bool front)
{
	struct queue *q = queue_of(js, j);
	j->state = QUEUED;
	j->worker = NULL;
	j->next = front ? q->first : NULL;
	j->prev = front ? NULL : q->last;
	*(j->prev ? &j->prev->next : &q->first) = j;
	*(j->next ? &j->next->prev : &q->last) = j;
	q->n++;
	q->work += job_work(j->body->n);
}

void jobs_unqueue(struct jobs *js, struct job *j)
{
	struct queue *q = queue_of(js, j);
	*(j->prev ? &j->prev->next : &q->first) = j->next;
	*(j->next ? &j->next->prev : &q->last) = j->prev;
	j->next = j->prev = NULL;
	q->n--;
	q->work = q->n ? q->work - job_work(j->body->n) : 0;
}

void job_wait(struct job *j, const struct delivery *d)
{
	struct waiter *w = sp_new(struct waiter);
	*w = (struct waiter){d->done, d->done_arg, j->waiters};
	j->waiters = w;
}

bool job_is_awaited(const struct job *j)
{
	for (const struct waiter *w = j->waiters; w; w = w->next)
		if (w->done)
			return true;
	return false;
}

void job_answer(struct job *j, const struct outcome *o)
{
	struct outcome mine = *o;
	struct waiter *w = j->waiters;
	if (!mine.request_id[0] && j->delivery->request_id)
		mine.request_id = j->delivery->request_id;
	j->waiters = NULL;
	if (w)
		sp_metric_add(M_INGEST_JOBS, SP_L(o->result), 1);
	while (w) {
		struct waiter *next = w->next;
		if (w->done)
			w->done(w->arg, &mine);
		sp_free(w);
		w = next;
	}
}
