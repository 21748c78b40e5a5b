#include "tests/lib/destination_lib.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct destination_fixture f;

/* ---- common/loop.h, as far as it is needed ---- */

enum { MAX_TIMERS = 256 };

struct sp_loop {
	struct sp_mono now;
	struct sp_timer *timers[MAX_TIMERS]; /* in the order of setting */
	size_t n;
	bool stopped;
};

struct sp_loop *sp_loop_new(void)
{
	struct sp_loop *l = sp_new(struct sp_loop);
	l->now.ms = 1000000;
	return l;
}

void sp_loop_free(struct sp_loop **l)
{
	assert_int_equal((*l)->n, 0);
	sp_free(*l);
}

void sp_loop_stop(struct sp_loop *l)
{
	l->stopped = true;
}

struct sp_mono sp_loop_now(const struct sp_loop *l)
{
	return l->now;
}

void sp_timer_cancel(struct sp_loop *l, struct sp_timer *t)
{
	if (t->at == 0)
		return;
	l->n--;
	for (size_t i = t->at - 1; i < l->n; i++) {
		l->timers[i] = l->timers[i + 1];
		l->timers[i]->at = i + 1;
	}
	t->at = 0;
}

void sp_timer_set(struct sp_loop *l, struct sp_timer *t, int64_t in_ms, sp_timer_fn fn, void *arg)
{
	sp_timer_cancel(l, t);
	assert_true(l->n < MAX_TIMERS);
	l->timers[l->n++] = t;
	*t = (struct sp_timer){.fn = fn, .arg = arg, .due_ms = l->now.ms + in_ms, .at = l->n};
}

void sp_loop_run(struct sp_loop *l)
{
	for (l->stopped = false; !l->stopped && l->n > 0;) {
		struct sp_timer *next = l->timers[0];
		for (size_t i = 1; i < l->n; i++)
			if (l->timers[i]->due_ms < next->due_ms)
				next = l->timers[i];
		l->now.ms = next->due_ms > l->now.ms ? next->due_ms : l->now.ms;
		sp_timer_cancel(l, next);
		next->fn(next->arg);
		l->stopped |= f.until && f.until();
	}
}

/* ---- the loop's calls ---- */

static void run_calls(void *arg)
{
	(void)arg;
	struct call *c = f.calls;
	f.calls = NULL;
	f.last_call = &f.calls;
	while (c) {
		struct call *next = c->next;
		c->fn(c->arg);
		sp_free(c);
		c = next;
	}
	if (f.calls)
		sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
}

static void later(void (*fn)(void *arg), void *arg)
{
	struct call *c = sp_new(struct call);
	*c = (struct call){fn, arg, NULL};
	*f.last_call = c;
	f.last_call = &c->next;
	sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
}

/* ---- ship/send/http_client.h ---- */

struct request {
	struct sp_timer timer;
	struct sp_bytes body;
	http_done_fn done;
	void *arg;
};

static void answer_request(void *arg)
{
	struct request *r = arg;
	struct sp_buf raw = {0};
	struct rw_totals t;
	struct sp_why why;
	struct http_answer a = {.transport = f.transport, .retry_after_ms = f.retry_after_ms, .samples_written = -1};
	assert_int_equal(rw_uncompress(r->body, 1 << 30, &raw, &why), SP_OK);
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
	a.status = a.transport == SHIP_ANSWERED ? f.receive(sp_buf_view(&raw), t.samples) : 0;
	if (f.loses_answers)
		a = (struct http_answer){.transport = SHIP_UNANSWERED, .retry_after_ms = SHIP_NO_RETRY_AFTER, .samples_written = -1};
	a.words = sp_str(f.words);
	f.of_one_sample += t.samples == 1;
	if (a.status / 100 == 2)
		f.taken += t.samples;
	sp_buf_free(&raw);
	f.out--;
	r->done(r->arg, &a);
	sp_free(r);
}

enum sp_status http_target_new(
    struct http_client *c, const struct dest_settings *d, struct http_target **out, struct sp_why *why)
{
	(void)c, (void)d, (void)why;
	*out = NULL;
	return SP_OK;
}

void http_target_free(struct http_target **t)
{
	(void)t;
}

const struct http_place *http_target_place(const struct http_target *t)
{
	(void)t;
	return NULL;
}

void http_call(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg)
{
	(void)c, (void)call, (void)done, (void)arg;
	fail_msg("no access keys are asked for here");
}

void http_post(struct http_target *t, const char *const *lines, struct sp_bytes body, enum rw_version version,
    unsigned attempt, http_done_fn done, void *arg)
{
	struct request *r = sp_new(struct request);
	(void)t, (void)version;
	for (; *lines; lines++)
		snprintf(f.line, sizeof f.line, "%s", *lines);
	*r = (struct request){.body = body, .done = done, .arg = arg};
	assert_true(f.posts < MAX_POSTS);
	f.attempts[f.posts] = attempt;
	f.at[f.posts++] = sp_loop_now(f.loop).ms;
	f.out++;
	if (f.out > f.most_out)
		f.most_out = f.out;
	sp_timer_set(f.loop, &r->timer, f.latency_ms, answer_request, r);
}

/* ---- ship/spool/writer.h ---- */

uint32_t writer_dest_id(struct writer *w, const char *name)
{
	(void)w, (void)name;
	return 1;
}

struct writer_totals writer_totals(struct writer *w, uint32_t dest)
{
	(void)w, (void)dest;
	return (struct writer_totals){.batches = f.n_stored - f.settled, .delivered = f.delivered};
}

void writer_settle(struct writer *w, const struct batch *b, size_t n, uint64_t delivered,
    const struct dead_letter *dead, size_t n_dead, void (*done)(void *arg), void *arg)
{
	uint64_t samples = 0, lost = 0;
	(void)w, (void)done, (void)arg;
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (f.stored[k].batch.shard != b[i].shard || f.stored[k].batch.seq != b[i].seq)
			assert_true(++k < f.n_stored);
		assert_false(f.stored[k].settled);
		f.stored[k].settled = true;
		samples += b[i].samples;
		f.overtaken += b[i].seq < f.last_settled[b[i].shard];
		f.last_settled[b[i].shard] = b[i].seq;
		if ((delivered || (n_dead && strcmp(dead[0].reason, "maybe_duplicate") == 0)) && b[i].max_ms > f.reached[b[i].shard])
			f.reached[b[i].shard] = b[i].max_ms;
	}
	for (size_t i = 0; i < n_dead; i++) {
		lost += dead[i].samples;
		if (strcmp(dead[i].reason, "partly_refused") == 0)
			f.dead_partly += dead[i].samples;
		snprintf(f.reason, sizeof(f.reason), "%s", dead[i].reason);
		assert_int_equal(dead[i].dest, 1);
	}
	assert_int_equal(samples, delivered + lost); /* the books balance at each settling */
	f.settled += n;
	f.delivered += delivered;
	f.dead += lost;
}

void writer_mark_maybe(struct writer *w, const struct batch *b, size_t n)
{
	(void)w, (void)b;
	f.maybe += n;
}

void writer_note_decoding(struct writer *w, uint64_t payload, void (*done)(void *arg), void *arg)
{
	(void)w, (void)payload;
	f.noted++;
	later(done, arg);
}

struct fake_read {
	uint64_t payload;
	void (*done)(void *arg, struct payload *p);
	void *arg;
};

static void answer_read(void *arg)
{
	struct fake_read *r = arg;
	size_t k = 0;
	while (f.stored[k].batch.payload != r->payload)
		k++;
	const struct payload *p = f.stored[k].payload;
	size_t n = p->n + f.read_more;
	uint8_t *bytes = sp_alloc(n);
	memcpy(bytes, p->bytes, p->n);
	struct payload *copy = payload_new(p->id, bytes, n, 0);
	if (payload_bytes_held() > f.most_held)
		f.most_held = payload_bytes_held();
	r->done(r->arg, copy);
	payload_unref(&copy);
	sp_free(r);
}

void writer_read(struct writer *w, uint64_t payload, void (*done)(void *arg, struct payload *p), void *arg)
{
	struct fake_read *r = sp_new(struct fake_read);
	(void)w;
	*r = (struct fake_read){payload, done, arg};
	f.reads++;
	later(answer_read, r);
}

size_t writer_memory(const struct writer *w)
{
	(void)w;
	return f.memory;
}

struct fake_list {
	uint32_t shard;
	uint64_t after;
	size_t max;
	void (*done)(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms);
	void *arg;
};

static void answer_list(void *arg)
{
	struct fake_list *l = arg;
	struct batch *found = sp_new_array(struct batch, f.n_stored + 1);
	size_t n = 0;
	bool more = false;
	for (size_t i = 0; i < f.n_stored; i++)
		if (f.stored[i].batch.shard == l->shard && f.stored[i].batch.seq > l->after && !f.stored[i].settled) {
			more = n == l->max;
			if (more)
				break;
			found[n++] = f.stored[i].batch;
		}
	l->done(l->arg, found, n, more, f.reached[l->shard]);
	sp_free(found);
	sp_free(l);
}

void writer_list(struct writer *w, uint32_t dest, uint32_t shard, uint64_t after, size_t max,
    void (*done)(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms), void *arg)
{
	struct fake_list *l = sp_new(struct fake_list);
	(void)w, (void)dest;
	*l = (struct fake_list){shard, after, max, done, arg};
	later(answer_list, l);
}

/* ---- batches ---- */

void commit_raw(uint32_t shard, struct sp_buf *raw, int64_t ms)
{
	struct sp_buf block = {0};
	struct rw_totals t;
	struct sp_why why;
	if (f.n_stored == f.stored_cap) {
		f.stored_cap = f.stored_cap ? f.stored_cap * 2 : 256;
		f.stored = sp_realloc(f.stored, f.stored_cap * sizeof(f.stored[0]));
	}
	struct stored *s = &f.stored[f.n_stored];
	assert_int_equal(rw_count(sp_buf_view(raw), &t, &why), SP_OK);
	rw_compress(sp_buf_view(raw), &block);
	*s = (struct stored){.batch = {.seq = ++f.seq[shard],
				 .payload = ++f.payloads,
				 .dest = 1,
				 .shard = shard,
				 .len = (uint32_t)block.n,
				 .raw_len = (uint32_t)raw->n,
				 .series = t.series,
				 .samples = t.samples,
				 .flags = f.flags,
				 .min_ms = ms,
				 .max_ms = ms}};
	size_t size;
	uint8_t *bytes = sp_buf_steal(&block, &size);
	s->payload = payload_new(f.payloads, bytes, size, 0);
	f.n_stored++;
	sp_buf_free(raw);
	destination_add(f.dest, &s->batch, f.on_disk ? NULL : s->payload);
}

int takes_all(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 204;
}

/* ---- running ---- */

bool all_settled(void)
{
	return f.settled == f.n_stored;
}

static void too_late(void *arg)
{
	*(bool *)arg = true;
	sp_loop_stop(f.loop);
}

bool run_for(int64_t ms, bool (*until)(void))
{
	bool late = false;
	f.until = until;
	sp_timer_set(f.loop, &f.limit, ms, too_late, &late);
	sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
	sp_loop_run(f.loop);
	sp_timer_cancel(f.loop, &f.limit);
	return !late;
}

void destination_again(void)
{
	struct sp_why why;
	destination_free(&f.dest);
	assert_int_equal(destination_new(f.loop, NULL, NULL, &f.settings, &f.dest, &why), SP_OK);
	destination_start(f.dest);
	run_for(5, NULL);
}

int destination_begin(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	f.last_call = &f.calls;
	f.loop = sp_loop_new();
	f.receive = takes_all;
	f.words = "the words";
	f.latency_ms = 1;
	f.memory = 64 << 20;
	f.transport = SHIP_ANSWERED;
	f.retry_after_ms = SHIP_NO_RETRY_AFTER;
	f.settings = (struct dest_settings){.name = (char *)(uintptr_t) "main",
	    .receiver = (char *)(uintptr_t) "prometheus",
	    .protocol = (char *)(uintptr_t) "1.0",
	    .shards = SHARDS,
	    .lanes_requests = 256,
	    .max_samples = 5000,
	    .max_bytes = 900 << 10,
	    .max_raw_bytes = 3000000,
	    .backoff_min = 2,
	    .backoff_max = 20,
	    .backoff_unreachable_max = 10,
	    .retry_after_max = 1000,
	    .probe_min = 10,
	    .probe_max = 50};
	destination_again();
	return 0;
}

int destination_end(void **state)
{
	(void)state;
	destination_stop(f.dest);
	run_for(f.latency_ms + 5, NULL);
	destination_free(&f.dest);
	for (size_t i = 0; i < f.n_stored; i++)
		payload_unref(&f.stored[i].payload);
	sp_free(f.stored);
	sp_loop_free(&f.loop);
	return 0;
}

struct destination_report report(void)
{
	struct destination_report r;
	destination_report(f.dest, &r);
	return r;
}
