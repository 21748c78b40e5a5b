#include "ship/spool/writer_impl.h"

#include "common/alloc.h"
#include "common/crash.h"

#include <errno.h>
#include <unistd.h>

#define GROUP_MAX_OPS 64
#define GROUP_MAX_BYTES (4u << 20) /* a larger delivery is a group of its own */
#define TICK_MS 1000
#define IDLE_MS 10000
#define IDLE_STEP_MS 200
#define CHECK_BOOKS_MS 60000
#define EXPIRED_LOG_MS 60000

static bool is_change(const struct op *op)
{
	return op->kind <= OP_EDIT;
}

/* ---- one group ---- */

_Noreturn void writer_failed(const struct writer *w, const struct sp_why *why)
{
	if (w->spool && why->status == SP_BAD_DATA)
		spool_note_damage(w->spool, why);
	/* Nobody knows what is on disk; only a new start, which looks, can tell. Nothing of this group was answered. */
	sp_log(SP_LOG_ERROR, "spool.failed", sp_f_str("msg", why->text), SP_LOG_END);
	_exit(SP_EXIT_STORAGE);
}

void op_forget_made(struct op *op)
{
	for (size_t i = 0; i < op->n_made; i++)
		payload_unref(&op->made[i].payload);
	op->n_made = 0;
}

/* The senders get the bytes of a new batch at once, as far as the cache allows, so that normally nothing is read back. */
static void batch_made(void *arg, const struct batch *b, const struct store_group *g)
{
	struct op *op = arg;
	op->made = sp_grow(op->made, op->n_made, &op->cap_made, sizeof *op->made);
	struct payload *p = NULL;
	if (op->n_made && op->made[op->n_made - 1].batch.payload == b->payload) {
		p = op->made[op->n_made - 1].payload;
		p = p ? payload_ref(p) : NULL;
	} else if (payload_bytes_held() + g->n + g->info.n <= op->cache_max) {
		uint8_t *bytes = sp_try_alloc(g->n + g->info.n);
		if (bytes) {
			memcpy(bytes, g->bytes, g->n);
			if (g->info.n)
				memcpy(bytes + g->n, g->info.p, g->info.n);
			p = payload_new(b->payload, bytes, g->n, g->info.n);
		}
	}
	op->made[op->n_made++] = (struct made_batch){*b, p};
}

static void batch_gone(void *arg, const struct batch *b)
{
	struct op *op = arg;
	op->batches = sp_realloc(op->batches, (op->n_batches + 1) * sizeof *op->batches);
	op->batches[op->n_batches++] = *b;
}

static void change(struct writer *w, struct op *op)
{
	switch (op->kind) {
	case OP_STORE:
		op_forget_made(op);
		spool_store(w->spool, op->request, batch_made, op, &op->request->result);
		break;
	case OP_SETTLE:
		spool_settle(w->spool, op->batches, op->n_batches, op->delivered, op->dead, op->n_dead);
		break;
	case OP_MAYBE:
		spool_mark_maybe(w->spool, op->batches, op->n_batches);
		break;
	case OP_EDIT:
		op_forget_made(op);
		op->n_batches = 0;
		edit_run(w->spool, op->edit, batch_made, batch_gone, op);
		break;
	default:
		spool_note_decoding(w->spool, op->payload_id);
	}
}

static bool has_edit(const struct op *first, const struct op *end)
{
	while (first != end && first->kind != OP_EDIT)
		first = first->next;
	return first != end;
}

/* SP_OK, or SP_FULL, SP_NO_MEM, or, with an edit, SP_BAD_DATA: then nothing of the group happened. */
static enum sp_status try_group(struct writer *w, struct op *first, const struct op *end)
{
	struct sp_why why;
	spool_begin(w->spool);
	for (struct op *op = first; op != end; op = op->next)
		change(w, op);
	enum sp_status status = spool_commit(w->spool, &why);
	if (status == SP_OK)
		return SP_OK;
	/* An edit may be the first to look at old rows: what is damaged there keeps nothing from going on. */
	if (status != SP_FULL && status != SP_NO_MEM && !(status == SP_BAD_DATA && has_edit(first, end)))
		writer_failed(w, &why);
	spool_rollback(w->spool);
	return status;
}

/* The disk is full or memory is short: one at a time, so that one that does not fit takes no other with it. */
static void change_alone(struct writer *w, struct op *op, struct queue *answers)
{
	enum sp_status status = try_group(w, op, op->next);
	while (status == SP_FULL && op->kind != OP_STORE && spool_make_way(w->spool))
		status = try_group(w, op, op->next);
	if (status == SP_OK) {
		queue_put(answers, op);
	} else if (op->kind == OP_STORE) {
		op_forget_made(op);
		op->request->result = status == SP_FULL ? STORE_FULL : STORE_ERROR;
		queue_put(answers, op);
	} else if (op->kind == OP_EDIT) {
		op_forget_made(op);
		op->n_batches = 0;
		op->edit->status = sp_fail(&op->edit->why, status, "nothing was changed: %s",
			status == SP_BAD_DATA ? "one of these rows is damaged" : "no room on the disk, or no memory");
		queue_put(answers, op);
	} else {
		if (sp_log_due(&w->full_rate, CHECK_BOOKS_MS))
			sp_log(SP_LOG_WARN, "spool.settling_waits", sp_f_str("reason", sp_status_name(status)), SP_LOG_END);
		queue_put(&w->held, op);
	}
}

static void change_group(struct writer *w, struct queue *group, struct queue *answers)
{
	struct sp_mono start = sp_mono_now();
	size_t n = 0;
	for (struct op *op = group->first; op; op = op->next)
		n++;
	if (try_group(w, group->first, NULL) == SP_OK) {
		group->first->commit_s = (double)sp_mono_since_ms(start) / 1000;
		group->first->group_ops = n;
		queue_join(answers, group);
		return;
	}
	for (struct op *op = group->first, *next; op; op = next) {
		next = op->next;
		op->next = NULL;
		change_alone(w, op, answers);
	}
	*group = (struct queue){0};
}

/* ---- payloads that were read: their shards and destinations ask for them at about the same time ---- */

static void recent_drop_oldest(struct writer *w)
{
	struct payload **oldest = &w->recent[w->recent_at++ % RECENT_MAX];
	w->recent_bytes -= (*oldest)->n;
	payload_unref(oldest);
	w->n_recent--;
}

void writer_forget_recent(struct writer *w)
{
	while (w->n_recent)
		recent_drop_oldest(w);
}

static void recent_keep(struct writer *w, struct payload *p)
{
	while (w->n_recent == RECENT_MAX || (w->n_recent && w->recent_bytes + p->n > w->cache_max))
		recent_drop_oldest(w);
	w->recent[(w->recent_at + w->n_recent++) % RECENT_MAX] = payload_ref(p);
	w->recent_bytes += p->n;
}

static struct payload *recent_find(const struct writer *w, uint64_t id)
{
	for (size_t i = 0; i < w->n_recent; i++) {
		struct payload *p = w->recent[(w->recent_at + i) % RECENT_MAX];
		if (p->id == id)
			return payload_ref(p);
	}
	return NULL;
}

static enum sp_status read_payload(struct writer *w, struct op *op, struct sp_why *why)
{
	w->recent_used = true;
	op->payload = recent_find(w, op->payload_id);
	if (op->payload)
		return SP_OK;
	enum sp_status status = spool_read(w->spool, op->payload_id, &op->payload, why);
	if (status == SP_OK && op->payload)
		recent_keep(w, op->payload);
	return status;
}

static void look(struct writer *w, struct op *op)
{
	struct sp_why why;
	enum sp_status status = SP_OK;
	if (op->kind == OP_QUERY) {
		op->query(w->spool, op->arg);
	} else if (op->kind == OP_READ) {
		status = read_payload(w, op, &why);
	} else {
		op->batches = sp_new_array(struct batch, op->max);
		status = spool_list(
			w->spool, op->dest, op->shard, op->after, op->max, op->batches, &op->n_batches, &op->more, &op->reached_ms, &why);
	}
	if (status != SP_OK)
		writer_failed(w, &why);
}

/* ---- its life ---- */

/* Evidence is the one thing that is deleted unasked, so it is said. */
static void tell_expiry(struct writer *w, const struct spool_sizes *before)
{
	const struct spool_sizes *now = &w->now.sizes;
	if (before->quarantine_expired == now->quarantine_expired && before->dead_expired == now->dead_expired)
		return;
	if (sp_log_due(&w->expired_rate, EXPIRED_LOG_MS))
		sp_log(SP_LOG_WARN, "evidence.expired", sp_f_u64("quarantined", now->quarantine_expired),
			sp_f_u64("dead_letters", now->dead_expired),
			sp_f_str("msg", "too old, or too much of one sender; counted since the start"), SP_LOG_END);
}

void writer_learn_dests(struct writer *w)
{
	uint32_t n = spool_max_dest_id(w->spool);
	if (n == w->n_dests)
		return;
	w->totals = sp_realloc(w->totals, (n + 1) * sizeof *w->totals);
	w->dest_names = sp_realloc(w->dest_names, (n + 1) * sizeof *w->dest_names);
	while (w->n_dests < n) {
		w->totals[++w->n_dests] = (struct writer_totals){0};
		w->dest_names[w->n_dests] = spool_dest_name(w->spool, w->n_dests);
	}
}

/* Publishes answers and state; wakes the loop when there is something new for it. */
void writer_publish(struct writer *w, struct queue *answers)
{
	struct view before = w->now;
	bool answered = answers->first != NULL;
	w->now.sizes = spool_sizes(w->spool);
	w->now.full = spool_is_full(w->spool);
	tell_expiry(w, &before.sizes);
	bool news = answered || before.full != w->now.full || before.unbalanced != w->now.unbalanced ||
		before.sizes.used != w->now.sizes.used;
	if (answered)
		sp_crash_point("ship.after_commit_before_ack");
	pthread_mutex_lock(&w->lock);
	queue_join(&w->out, answers);
	w->published = w->now;
	writer_learn_dests(w);
	for (uint32_t d; (d = spool_next_change(w->spool));)
		w->totals[d] = *spool_totals(w->spool, d);
	pthread_mutex_unlock(&w->lock);
	uint64_t one = 1;
	while (news && write(w->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

/* The next group: what waits, or one query. */
void writer_take_group(struct writer *w, struct queue *group)
{
	size_t n = 0, bytes = 0;
	while (w->in.first && n < GROUP_MAX_OPS && bytes < GROUP_MAX_BYTES) {
		bool is_query = w->in.first->kind == OP_QUERY;
		if (n && (is_query || bytes + w->in.first->bytes > GROUP_MAX_BYTES))
			break;
		bytes += w->in.first->bytes;
		n++;
		queue_put(group, queue_take(&w->in));
		if (is_query)
			break;
	}
}

/* Looks overtake changes: who is sending waits for them, and changes gather for one commit. What is looked at is there as long as its
 * batches are, and batches that a list comes too early for are announced by their commit. */
void writer_run_group(struct writer *w, struct queue *group)
{
	struct queue looks = {0}, changes = {0};
	struct sp_why why;
	w->last_work = sp_mono_now();
	for (struct op *op; (op = queue_take(group));)
		queue_put(is_change(op) ? &changes : &looks, op);
	for (struct op *op = looks.first; op; op = op->next)
		look(w, op);
	if (looks.first)
		writer_publish(w, &looks);
	if (changes.first) {
		struct queue answers = {0};
		change_group(w, &changes, &answers);
		writer_publish(w, &answers);
	}
	/* After the answers: nobody needs to wait for it. */
	if (spool_checkpoint(w->spool, false, &why) != SP_OK)
		writer_failed(w, &why);
}

void writer_check_books(struct writer *w)
{
	struct sp_why why;
	uint32_t dest = 0;
	w->last_check = sp_mono_now();
	if (spool_check_books(w->spool, &dest, &why) != SP_OK)
		writer_failed(w, &why);
	if (!dest)
		return;
	const struct writer_totals *t = spool_totals(w->spool, dest);
	w->now.unbalanced++;
	sp_log(SP_LOG_ERROR, "books.unbalanced", sp_f_str("destination", spool_dest_name(w->spool, dest)), sp_f_u64("accepted", t->accepted),
		sp_f_u64("delivered", t->delivered), sp_f_u64("spooled", t->spooled), sp_f_u64("dead_lettered", t->dead_lettered),
		sp_f_u64("expired", t->expired), sp_f_u64("dropped", t->dropped), sp_f_u64("merged", t->merged), SP_LOG_END);
}

/* Free pages go back to the file system in small steps, as long as nobody waits; the log is emptied when they are done. */
static enum sp_status use_idle_time(struct writer *w, struct sp_why *why)
{
	struct sp_mono start = sp_mono_now();
	enum sp_status status = SP_OK;
	bool more = true, waits = false;
	while (more && !waits && status == SP_OK && sp_mono_since_ms(start) < IDLE_STEP_MS) {
		status = spool_vacuum(w->spool, &more, why);
		if (status == SP_OK)
			status = spool_checkpoint(w->spool, !more, why);
		pthread_mutex_lock(&w->lock);
		waits = w->in.first != NULL;
		pthread_mutex_unlock(&w->lock);
	}
	return status;
}

void writer_tick(struct writer *w)
{
	struct queue answers = {0};
	struct sp_why why;
	w->last_tick = sp_mono_now();
	if (w->held.first) {
		struct queue again = {0};
		queue_join(&again, &w->held);
		change_group(w, &again, &answers);
	}
	if (!w->recent_used)
		writer_forget_recent(w); /* the memory is for new batches again */
	w->recent_used = false;
	enum sp_status status = spool_tick(w->spool, &why);
	if (status == SP_OK && sp_mono_since_ms(w->last_work) >= IDLE_MS)
		status = use_idle_time(w, &why);
	if (status != SP_OK)
		writer_failed(w, &why);
	if (sp_mono_since_ms(w->last_check) >= CHECK_BOOKS_MS)
		writer_check_books(w);
	writer_publish(w, &answers);
}

void *writer_thread(void *arg)
{
	struct writer *w = arg;
	bool stop = false;
	while (!stop) {
		struct queue group = {0};
		int64_t wait_ms = TICK_MS - sp_mono_since_ms(w->last_tick);
		pthread_mutex_lock(&w->lock);
		if (!w->in.first && !w->stop && wait_ms > 0) {
			struct timespec until;
			clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_sec += wait_ms / 1000;
			until.tv_nsec += wait_ms % 1000 * 1000000;
			if (until.tv_nsec >= 1000000000)
				until.tv_sec++, until.tv_nsec -= 1000000000;
			pthread_cond_timedwait(&w->wanted, &w->lock, &until);
		}
		writer_take_group(w, &group);
		stop = w->stop && !group.first;
		pthread_mutex_unlock(&w->lock);
		if (group.first)
			writer_run_group(w, &group);
		if (sp_mono_since_ms(w->last_tick) >= TICK_MS)
			writer_tick(w);
	}
	return NULL;
}
