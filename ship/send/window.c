#include "ship/send/window.h"

#include "common/alloc.h"

struct window {
	struct writer *writer;
	uint32_t dest, shard;
	void (*ready)(void *arg);
	void *arg;
	struct entry *ring;
	size_t cap, front, n; /* cap is a power of two */
	uint64_t last_seq;    /* newest that was ever in the ring */
	bool more;	      /* there are newer ones on disk */
	bool listing;
	size_t reading;
};

struct read {
	struct window *window;
	uint64_t seq;
	size_t bytes;
};

/* Of one window: what a payload takes is known when it is here. */
#define READS_MAX 64

/* What the payloads that are being read will take at least, of all windows. */
static size_t expected_bytes;

static struct entry *at(const struct window *w, size_t i)
{
	return &w->ring[(w->front + i) & (w->cap - 1)];
}

struct window *window_new(
    struct writer *writer, uint32_t dest, uint32_t shard, bool behind, void (*ready)(void *arg), void *arg)
{
	struct window *w = sp_new(struct window);
	*w = (struct window){
	    .writer = writer, .dest = dest, .shard = shard, .ready = ready, .arg = arg, .more = behind, .cap = 2};
	w->ring = sp_new_array(struct entry, w->cap);
	return w;
}

void window_free(struct window **window)
{
	struct window *w = *window;
	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++)
		payload_unref(&at(w, i)->payload);
	sp_free(w->ring);
	sp_free(w);
	*window = NULL;
}

static void append(struct window *w, const struct batch *b, struct payload *p)
{
	if (w->n == w->cap) {
		struct entry *ring = sp_new_array(struct entry, w->cap * 2);
		for (size_t i = 0; i < w->n; i++)
			ring[i] = *at(w, i);
		sp_free(w->ring);
		w->ring = ring;
		w->cap *= 2;
		w->front = 0;
	}
	*at(w, w->n++) = (struct entry){.batch = *b, .payload = p ? payload_ref(p) : NULL};
	w->last_seq = b->seq;
}

/* ---- what is on disk ---- */

static void refill(struct window *w);

static void on_list(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms)
{
	struct window *w = arg;
	(void)reached_ms;
	w->listing = false;
	for (size_t i = 0; i < n; i++)
		if (b[i].seq > w->last_seq)
			append(w, &b[i], NULL);
	w->more = more;
	refill(w); /* all of them may have been damaged */
	w->ready(w->arg);
}

static void refill(struct window *w)
{
	if (!w->more || w->listing || w->n > WINDOW_MAX / 2)
		return;
	w->listing = true;
	writer_list(w->writer, w->dest, w->shard, w->last_seq, WINDOW_MAX - w->n, on_list, w);
}

static void on_read(void *arg, struct payload *p)
{
	struct read *r = arg;
	struct window *w = r->window;
	struct entry *e = window_find(w, r->seq);
	expected_bytes -= r->bytes;
	sp_free(r);
	w->reading--;
	if (e) {
		e->reading = false;
		if (p && !e->payload)
			e->payload = payload_ref(p);
		else if (!p)
			window_remove(w, e); /* damaged: the writer has made dead letters of it */
	}
	w->ready(w->arg);
}

bool window_load(struct window *w, struct entry *e)
{
	if (e->payload)
		return true;
	if (!e->reading) {
		struct read *r = sp_new(struct read);
		*r = (struct read){w, e->batch.seq, (size_t)e->batch.off + e->batch.len};
		e->reading = true;
		w->reading++;
		expected_bytes += r->bytes;
		writer_read(w->writer, e->batch.payload, on_read, r);
	}
	return false;
}

void window_unload(struct window *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (at(w, i)->state == ENTRY_QUEUED)
			payload_unref(&at(w, i)->payload);
}

bool window_is_idle(const struct window *w)
{
	return w->n == 0 && !w->more && !w->listing && w->reading == 0;
}

void window_start(struct window *w)
{
	refill(w);
}

void window_add(struct window *w, const struct batch *b, struct payload *p)
{
	if (b->seq <= w->last_seq)
		return; /* the list brought it */
	if (w->more || w->n >= WINDOW_MAX) {
		w->more = true;
		refill(w);
		return;
	}
	append(w, b, p);
	w->ready(w->arg);
}

/* ---- looking and taking ---- */

/* Of a payload that many lanes share a batch may be a small part: a request takes fewer batches before too much is in memory. */
static bool has_memory(const struct window *w, const struct entry *e)
{
	return e->payload || payload_bytes_held() + expected_bytes < writer_memory(w->writer);
}

size_t window_collect(struct window *w, const struct window_limits *l, struct entry **out)
{
	size_t n = 0, samples = 0, bytes = 0, raw = 0;
	bool complete = true;
	for (size_t i = 0; i < w->n && n < l->batches && n < WINDOW_JOIN_MAX; i++) {
		struct entry *e = at(w, i);
		if (e->state != ENTRY_QUEUED)
			continue;
		if (e->batch.max_ms > l->until_ms)
			break;
		samples += e->batch.samples;
		bytes += e->batch.len;
		raw += e->batch.raw_len;
		if (n > 0 && (samples > l->samples || bytes > l->bytes || raw > l->raw_bytes || !has_memory(w, e)))
			break;
		if (!e->payload && !e->reading && w->reading >= READS_MAX)
			return 0;
		complete &= window_load(w, e);
		out[n++] = e;
	}
	return complete ? n : 0;
}

struct entry *window_first(struct window *w, enum entry_state state)
{
	for (size_t i = 0; i < w->n; i++)
		if (at(w, i)->state == state)
			return at(w, i);
	return NULL;
}

struct entry *window_newest(struct window *w, int64_t until_ms)
{
	struct entry *newest = NULL;
	for (size_t i = 0; i < w->n && at(w, i)->batch.max_ms <= until_ms; i++)
		if (at(w, i)->state == ENTRY_QUEUED)
			newest = at(w, i);
	return newest;
}

bool window_front_ms(const struct window *w, int64_t *ms)
{
	*ms = w->n > 0 ? at(w, 0)->batch.max_ms : INT64_MIN;
	return w->n > 0 || w->more || w->listing;
}

/* The place of the first one whose seq is not smaller. */
static size_t place_of(const struct window *w, uint64_t seq)
{
	size_t low = 0, high = w->n; /* seq ascends */
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (at(w, mid)->batch.seq < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct entry *window_after(struct window *w, uint64_t seq)
{
	for (size_t i = place_of(w, seq + 1); i < w->n; i++)
		if (at(w, i)->state == ENTRY_QUEUED)
			return at(w, i);
	return NULL;
}

struct entry *window_find(struct window *w, uint64_t seq)
{
	size_t place = place_of(w, seq);
	struct entry *e = place < w->n ? at(w, place) : NULL;
	return e && e->batch.seq == seq && e->state != ENTRY_GONE ? e : NULL;
}

struct sp_bytes entry_block(const struct entry *e)
{
	SP_BUG_IF((size_t)e->batch.off + e->batch.len > e->payload->n);
	return sp_bytes(e->payload->bytes + e->batch.off, e->batch.len);
}

struct sp_bytes entry_info(const struct entry *e)
{
	return sp_bytes(e->payload->bytes + e->payload->n, e->payload->n_info);
}

void window_remove(struct window *w, struct entry *e)
{
	payload_unref(&e->payload);
	e->state = ENTRY_GONE;
	while (w->n > 0 && at(w, 0)->state == ENTRY_GONE) {
		w->front = (w->front + 1) & (w->cap - 1);
		w->n--;
	}
	refill(w);
}
