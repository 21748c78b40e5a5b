#include "ship/spool/writer.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/metrics.h"
#include "ship/spool/sources.h"
#include "ship/spool/writer_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MEMORY_PART 4 /* of runtime.memory: all payloads */
#define CACHE_PART 16 /* of runtime.memory: payloads kept for the senders, 16 MiB by default */

static void op_free(struct op *op)
{
	op_forget_made(op);
	for (size_t i = 0; i < op->n_dead; i++) {
		sp_free((void *)op->dead[i].answer.p);
		sp_free((void *)op->dead[i].body.p);
	}
	sp_free(op->made);
	sp_free(op->dead);
	sp_free(op->batches);
	sp_free(op);
}

static void pending_remove(struct writer *w, const struct store_request *r)
{
	for (size_t i = 0; i < w->n_pending; i++)
		if (w->pending[i] == r) {
			w->pending[i] = w->pending[--w->n_pending];
			return;
		}
}

static void put(struct writer *w, struct op *op)
{
	pthread_mutex_lock(&w->lock);
	queue_put(&w->in, op);
	pthread_cond_signal(&w->wanted);
	pthread_mutex_unlock(&w->lock);
}

static void next_note(struct writer *w)
{
	struct op *op = w->noting ? NULL : queue_take(&w->notes);
	if (!op)
		return;
	w->noting = true;
	put(w, op);
}

static void answer(struct writer *w, struct op *op)
{
	if (op->group_ops) {
		sp_metric_observe(M_SPOOL_COMMIT, NULL, op->commit_s);
		sp_metric_observe(M_SPOOL_COMMIT_REQUESTS, NULL, (double)op->group_ops);
	}
	for (size_t i = 0; i < op->n_made && w->on_batch; i++)
		w->on_batch(w->batch_arg, &op->made[i].batch, op->made[i].payload);
	switch (op->kind) {
	case OP_STORE:
		pending_remove(w, op->request);
		op->request->done(op->request->arg, op->request, op->request->result);
		sp_crash_point("ship.after_ack");
		break;
	case OP_READ:
		op->done.read(op->arg, op->payload);
		payload_unref(&op->payload);
		break;
	case OP_LIST:
		op->done.list(op->arg, op->batches, op->n_batches, op->more, op->reached_ms);
		break;
	case OP_NOTE:
		op->done.plain(op->arg);
		w->noting = false;
		next_note(w);
		break;
	case OP_EDIT:
		for (size_t i = 0; i < op->n_batches && w->on_gone; i++)
			w->on_gone(w->batch_arg, &op->batches[i]);
		op->done.plain(op->arg);
		break;
	default:
		if (op->done.plain)
			op->done.plain(op->arg);
		break;
	}
	op_free(op);
}

static void show_queue(const char *name, const struct writer_totals *t)
{
	const struct {
		enum sp_metric metric;
		double value;
	} terms[] = {
		{M_SAMPLES_ACCEPTED, (double)t->accepted},
		{M_SAMPLES_DELIVERED, (double)t->delivered},
		{M_SAMPLES_DEADLETTERED, (double)t->dead_lettered},
		{M_SAMPLES_EXPIRED, (double)t->expired},
		{M_SAMPLES_DROPPED, (double)t->dropped},
		{M_SAMPLES_MERGED, (double)t->merged},
		{M_SPOOL_SAMPLES, (double)t->spooled},
		{M_SPOOL_BATCHES, (double)t->batches},
		{M_SPOOL_OLDEST, (double)t->oldest_ms / 1000},
		{M_QUEUE_BYTES, (double)t->bytes},
		{M_QUEUE_LIMIT, (double)t->queue_max},
		{M_QUEUE_FULL, t->full},
		{M_QUEUE_REFUSED, (double)t->refused},
	};
	const char *slash = strchrnul(name, '/'), *lane = *slash ? slash + 1 : slash;
	char *whole = sp_strndup(name, (size_t)(slash - name));
	/* Of the many lanes most numbers are 0 most of the time. */
	for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
		if (*lane && terms[i].value == 0)
			sp_metric_forget(terms[i].metric, SP_L(whole, lane));
		else
			sp_metric_set(terms[i].metric, SP_L(whole, lane), terms[i].value);
	sp_free(whole);
}

void writer_metrics(struct writer *w)
{
	const struct spool_sizes *s = &w->view.sizes;
	sp_metric_set(M_SPOOL_BYTES, NULL, (double)s->used);
	sp_metric_set(M_SPOOL_LIMIT_BYTES, NULL, (double)w->max_bytes);
	sp_metric_set(M_SPOOL_DISK_FREE, NULL, (double)s->free_on_disk);
	sp_metric_set(M_SPOOL_DAMAGED, NULL, (double)s->damaged_rows);
	sp_metric_set(M_SPOOL_LEDGER_KEYS, NULL, (double)s->ledger_keys);
	sp_metric_set(M_QUARANTINE_BYTES, NULL, (double)s->quarantine_bytes);
	sp_metric_set(M_QUARANTINE_ITEMS, NULL, (double)s->quarantine_rows);
	sp_metric_set(M_QUARANTINE_EXPIRED, NULL, (double)s->quarantine_expired);
	sp_metric_set(M_DEADLETTER_BYTES, NULL, (double)s->dead_bytes);
	sp_metric_set(M_DEADLETTER_ITEMS, NULL, (double)s->dead_rows);
	sp_metric_set(M_DEADLETTER_EXPIRED, NULL, (double)s->dead_expired);
	sp_metric_set(M_BOOKS_UNBALANCED, NULL, (double)w->view.unbalanced);
	for (uint32_t d = 1; d <= writer_max_dest_id(w); d++) {
		struct writer_totals t = writer_totals(w, d);
		show_queue(writer_dest_name(w, d), &t);
	}
}

static void drain(struct writer *w)
{
	struct queue answers = {0};
	pthread_mutex_lock(&w->lock);
	queue_join(&answers, &w->out);
	bool changed = w->view.full != w->published.full;
	w->view = w->published;
	pthread_mutex_unlock(&w->lock);
	for (struct op *op; (op = queue_take(&answers));)
		answer(w, op);
	if (changed && w->on_full)
		w->on_full(w->full_arg);
}

static void woken(void *arg, uint32_t events)
{
	struct writer *w = arg;
	uint64_t count;
	(void)events;
	while (read(w->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
		;
	drain(w);
}

enum sp_status writer_open(struct sp_loop *l, const struct settings *s, struct writer **out, struct sp_why *why)
{
	struct spool *sp = NULL;
	struct sources *sources = NULL;
	enum sp_status status = spool_open(s, &sp, why);
	if (status != SP_OK)
		return status;
	status = sources_load(sp, sp_wall_ms(), &sources, why);
	if (status != SP_OK) {
		struct sp_why second;
		sources_free(&sources);
		(void)!spool_close(&sp, &second);
		return status;
	}
	struct writer *w = sp_new(struct writer);
	w->sources = sources;
	w->loop = l;
	w->spool = sp;
	w->max_bytes = (uint64_t)s->spool_max;
	w->cache_max = (size_t)s->memory / CACHE_PART;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	SP_BUG_IF(w->wake_fd < 0);
	w->source = sp_loop_fd(l, w->wake_fd, EPOLLIN, woken, w);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	SP_BUG_IF(pthread_mutex_init(&w->lock, NULL) != 0 || pthread_cond_init(&w->wanted, &attr) != 0);
	pthread_condattr_destroy(&attr);
	w->last_tick = w->last_work = w->last_check = sp_mono_now();
	writer_check_books(w);
	writer_publish(w, &(struct queue){0});
	drain(w);
	SP_BUG_IF(pthread_create(&w->thread, NULL, writer_thread, w) != 0);
	*out = w;
	return SP_OK;
}

/* Whatever the callbacks still ask for is done here, by one thread, until nobody asks any more. */
static void finish(struct writer *w)
{
	for (;;) {
		struct queue group = {0};
		drain(w);
		writer_take_group(w, &group);
		if (!group.first)
			return;
		writer_run_group(w, &group);
	}
}

void writer_close(struct writer **wp)
{
	struct writer *w = *wp;
	struct sp_why why;
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wanted);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	finish(w);
	writer_tick(w); /* the last chance of what a full disk held up; without it, batches are sent again, none is lost */
	finish(w);
	writer_forget_recent(w);
	queue_join(&w->held, &w->notes);
	for (struct op *op; (op = queue_take(&w->held));)
		op_free(op);
	enum sp_status status = sources_save(w->sources, w->spool, &why);
	if (status == SP_OK || status == SP_FULL)
		status = spool_close(&w->spool, &why);
	if (status != SP_OK && status != SP_FULL)
		writer_failed(w, &why);
	sources_free(&w->sources);
	sp_source_free(&w->source);
	close(w->wake_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wanted);
	sp_free(w->dest_names);
	sp_free(w->totals);
	sp_free(w->pending);
	sp_free(w);
	*wp = NULL;
}

static struct op *op_new(enum op_kind kind, void *arg)
{
	struct op *op = sp_new(struct op);
	op->kind = kind;
	op->arg = arg;
	return op;
}

static struct batch *copy_batches(const struct batch *b, size_t n)
{
	struct batch *copy = sp_new_array(struct batch, n);
	memcpy(copy, b, n * sizeof *b);
	return copy;
}

static struct sp_bytes copy_bytes(struct sp_bytes s)
{
	return sp_bytes(sp_strndup(s.n ? (const void *)s.p : "", s.n), s.n);
}

void writer_store(struct writer *w, struct store_request *r)
{
	struct op *op = op_new(OP_STORE, r->arg);
	op->request = r;
	if (!r->bypass_ledger && !r->replayed && r->source_arn && *r->source_arn)
		r->notes_source = sources_seen(w->sources, r->source_arn, r->received_ms);
	op->cache_max = w->cache_max;
	for (size_t i = 0; i < r->n_groups; i++)
		op->bytes += r->groups[i].n;
	for (size_t i = 0; i < r->n_quarantine; i++)
		op->bytes += r->quarantine[i].bytes.n;
	w->pending = sp_grow(w->pending, w->n_pending, &w->cap_pending, sizeof(struct store_request *));
	w->pending[w->n_pending++] = r;
	put(w, op);
}

enum writer_known writer_knows(const struct writer *w, const uint8_t key[16])
{
	if (spool_knows(w->spool, key))
		return WRITER_COMMITTED;
	for (size_t i = 0; i < w->n_pending; i++)
		if (memcmp(w->pending[i]->key, key, 16) == 0)
			return WRITER_PENDING;
	return WRITER_UNKNOWN;
}

void writer_settle(struct writer *w, const struct batch *batches, size_t n, uint64_t delivered, const struct dead_letter *dead,
	size_t n_dead, void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_SETTLE, arg);
	op->batches = copy_batches(batches, n);
	op->n_batches = n;
	op->delivered = delivered;
	op->dead = n_dead ? sp_new_array(struct dead_letter, n_dead) : NULL;
	op->n_dead = n_dead;
	for (size_t i = 0; i < n_dead; i++) {
		op->dead[i] = dead[i];
		op->dead[i].answer = copy_bytes(dead[i].answer);
		op->dead[i].body = copy_bytes(dead[i].body);
		op->bytes += dead[i].body.n;
	}
	op->done.plain = done;
	put(w, op);
}

void writer_mark_maybe(struct writer *w, const struct batch *batches, size_t n)
{
	struct op *op = op_new(OP_MAYBE, NULL);
	op->batches = copy_batches(batches, n);
	op->n_batches = n;
	put(w, op);
}

void writer_note_decoding(struct writer *w, uint64_t payload, void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_NOTE, arg);
	op->payload_id = payload;
	op->done.plain = done;
	queue_put(&w->notes, op);
	next_note(w);
}

void writer_read(struct writer *w, uint64_t payload, void (*done)(void *arg, struct payload *p), void *arg)
{
	struct op *op = op_new(OP_READ, arg);
	op->payload_id = payload;
	op->done.read = done;
	put(w, op);
}

void writer_list(struct writer *w, uint32_t dest, uint32_t shard, uint64_t after, size_t max,
	void (*done)(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms), void *arg)
{
	struct op *op = op_new(OP_LIST, arg);
	op->dest = dest;
	op->shard = shard;
	op->after = after;
	op->max = max;
	op->done.list = done;
	put(w, op);
}

void writer_edit(struct writer *w, struct edit *e, void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_EDIT, arg);
	op->edit = e;
	op->cache_max = w->cache_max;
	op->done.plain = done;
	put(w, op);
}

void writer_query(struct writer *w, void (*fn)(struct spool *sp, void *arg), void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_QUERY, arg);
	op->query = fn;
	op->done.plain = done;
	put(w, op);
}

uint32_t writer_max_dest_id(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	uint32_t n = w->n_dests;
	pthread_mutex_unlock(&w->lock);
	return n;
}

const char *writer_dest_name(struct writer *w, uint32_t dest)
{
	pthread_mutex_lock(&w->lock);
	SP_BUG_IF(dest == 0 || dest > w->n_dests);
	const char *name = w->dest_names[dest];
	pthread_mutex_unlock(&w->lock);
	return name;
}

uint32_t writer_dest_id(struct writer *w, const char *name)
{
	uint32_t d = writer_max_dest_id(w);
	while (d && strcmp(writer_dest_name(w, d), name) != 0)
		d--;
	return d;
}

const uint8_t *writer_spool_id(const struct writer *w)
{
	return spool_id(w->spool);
}

bool writer_spool_is_new(const struct writer *w)
{
	return spool_is_new(w->spool);
}

bool writer_is_full(const struct writer *w)
{
	return w->view.full;
}

void writer_on_full(struct writer *w, void (*fn)(void *arg), void *arg)
{
	w->on_full = fn;
	w->full_arg = arg;
}

void writer_on_batch(struct writer *w, writer_batch_fn made, void (*gone)(void *arg, const struct batch *b), void *arg)
{
	w->on_batch = made;
	w->on_gone = gone;
	w->batch_arg = arg;
}

struct writer_totals writer_totals(struct writer *w, uint32_t dest)
{
	pthread_mutex_lock(&w->lock);
	SP_BUG_IF(dest == 0 || dest > w->n_dests);
	struct writer_totals t = w->totals[dest];
	pthread_mutex_unlock(&w->lock);
	return t;
}

uint64_t writer_unbalanced(const struct writer *w)
{
	return w->view.unbalanced;
}

size_t writer_memory(const struct writer *w)
{
	return w->cache_max * (CACHE_PART / MEMORY_PART);
}

uint64_t writer_bytes_used(const struct writer *w)
{
	return w->view.sizes.used;
}
