#include "proto/merge.h"

#include "common/alloc.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NONE UINT32_MAX

struct sample {
	struct rw_sample v;
	uint32_t next; /* of the same series, NONE at the end */
};

struct series {
	uint64_t hash;
	size_t labels_at; /* in m->labels */
	uint32_t labels_len, n_labels;
	uint32_t first, last; /* samples */
	uint32_t n;
	bool unordered; /* a sample is not newer than the one before it */
};

struct merge {
	struct sp_buf labels;
	struct series *series;
	struct sample *samples;
	uint32_t *slots; /* series by hash, NONE: free; n_slots is a power of two */
	struct rw_sample *run; /* samples of one series, to be written */
	size_t n_series, cap_series, n_samples, cap_samples, n_slots, cap_run;
	size_t samples_len; /* bytes of the samples when they are written */
	bool unordered;     /* any of them */
};

struct merge *merge_new(void)
{
	return sp_new(struct merge);
}

void merge_free(struct merge **merge)
{
	struct merge *m = *merge;
	if (!m)
		return;
	sp_buf_free(&m->labels);
	sp_free(m->series);
	sp_free(m->samples);
	sp_free(m->slots);
	sp_free(m->run);
	sp_free(m);
	*merge = NULL;
}

void merge_clear(struct merge *m)
{
	sp_buf_clear(&m->labels);
	m->n_series = m->n_samples = m->samples_len = 0;
	m->unordered = false;
	if (m->slots)
		memset(m->slots, 0xff, m->n_slots * sizeof *m->slots);
}

size_t merge_series(const struct merge *m)
{
	return m->n_series;
}

size_t merge_raw_len(const struct merge *m)
{
	/* The longest head of a series: tag and five bytes of length. */
	return m->labels.n + m->samples_len + 6 * m->n_series;
}

bool merge_is_unordered(const struct merge *m)
{
	return m->unordered;
}

/* ---- adding ---- */

static bool grow(void **array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	size_t more = *cap ? 2 * *cap : 256;
	void *grown = sp_try_realloc(*array, more * size);
	if (!grown)
		return false;
	*array = grown;
	*cap = more;
	return true;
}

static bool rehash(struct merge *m)
{
	size_t n = m->n_slots ? 2 * m->n_slots : 1024;
	uint32_t *slots = sp_try_alloc(n * sizeof *slots);
	if (!slots)
		return false;
	memset(slots, 0xff, n * sizeof *slots);
	for (size_t i = 0; i < m->n_series; i++) {
		size_t at = m->series[i].hash & (n - 1);
		while (slots[at] != NONE)
			at = (at + 1) & (n - 1);
		slots[at] = (uint32_t)i;
	}
	sp_free(m->slots);
	m->slots = slots;
	m->n_slots = n;
	return true;
}

static struct sp_bytes labels_of(const struct merge *m, const struct series *s)
{
	return s->labels_len ? sp_bytes(m->labels.p + s->labels_at, s->labels_len) : sp_bytes(NULL, 0);
}

/* NULL: no memory. */
static struct series *find_series(struct merge *m, const struct rw_series *in)
{
	struct sp_bytes labels = in->labels;
	uint64_t hash = XXH3_64bits(labels.p, labels.n);
	if (2 * m->n_series >= m->n_slots && !rehash(m))
		return NULL;
	size_t at = hash & (m->n_slots - 1);
	for (; m->slots[at] != NONE; at = (at + 1) & (m->n_slots - 1)) {
		struct series *s = &m->series[m->slots[at]];
		if (s->hash == hash && sp_eq(labels_of(m, s), labels))
			return s;
	}
	sp_buf_add(&m->labels, labels);
	if (!sp_buf_ok(&m->labels) || !grow((void **)&m->series, m->n_series, &m->cap_series, sizeof *m->series))
		return NULL;
	m->slots[at] = (uint32_t)m->n_series;
	struct series *s = &m->series[m->n_series++];
	*s = (struct series){.hash = hash,
	    .labels_at = m->labels.n - labels.n,
	    .labels_len = (uint32_t)labels.n,
	    .n_labels = in->n_labels,
	    .first = NONE,
	    .last = NONE};
	return s;
}

static bool add_sample(struct merge *m, struct series *s, struct rw_sample v)
{
	if (!grow((void **)&m->samples, m->n_samples, &m->cap_samples, sizeof *m->samples))
		return false;
	uint32_t at = (uint32_t)m->n_samples++;
	m->samples[at] = (struct sample){v, NONE};
	if (s->n++ == 0) {
		s->first = at;
	} else {
		struct sample *before = &m->samples[s->last];
		before->next = at;
		s->unordered |= v.ms <= before->v.ms;
		m->unordered |= s->unordered;
	}
	s->last = at;
	m->samples_len += rw_sample_size(v.ms);
	return true;
}

/* Bodies of one stream have much the same series in the same order: the next one is probably that after the last one met. */
enum sp_status merge_add(struct merge *m, struct sp_bytes raw, struct sp_why *why)
{
	struct rw_series in;
	struct rw_sample v;
	size_t next = 0;
	for (;;) {
		struct series *s = next < m->n_series ? &m->series[next] : NULL;
		struct rw_labels guess = {0};
		if (s)
			guess = (struct rw_labels){labels_of(m, s), s->n_labels};
		enum sp_status status = rw_next_guessed(&raw, &guess, &in, why);
		if (status != SP_OK)
			return status == SP_NOT_FOUND ? SP_OK : status;
		if (in.n_samples == 0)
			continue;
		/* A sample may be written longer than it came. */
		if (merge_raw_len(m) + in.raw.n + (size_t)in.n_samples * RW_SAMPLE_MAX_BYTES > RW_RAW_MAX_BYTES)
			return sp_fail(why, SP_TOO_BIG, "merged bodies would hold more than %zu bytes", RW_RAW_MAX_BYTES);
		if (!s || !sp_eq(in.labels, guess.fields))
			s = find_series(m, &in);
		bool ok = s != NULL;
		while (ok && rw_next_sample(&in.samples, &v))
			ok = add_sample(m, s, v);
		if (!ok)
			return sp_fail(why, SP_NO_MEM, "no memory to merge write requests");
		next = (size_t)(s - m->series) + 1;
	}
}

/* ---- writing ---- */

struct timed {
	struct rw_sample v;
	size_t order;
};

static int by_time(const void *a, const void *b)
{
	const struct timed *x = a, *y = b;
	if (x->v.ms != y->v.ms)
		return x->v.ms < y->v.ms ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* In order of time, the last of equal times only; *n becomes what is left. */
static bool put_in_order(struct rw_sample *run, size_t *n)
{
	struct timed *t = sp_try_alloc(*n * sizeof *t);
	if (!t)
		return false;
	for (size_t i = 0; i < *n; i++)
		t[i] = (struct timed){run[i], i};
	qsort(t, *n, sizeof *t, by_time);
	size_t left = 0;
	for (size_t i = 0; i < *n; i++)
		if (i + 1 == *n || t[i + 1].v.ms != t[i].v.ms)
			run[left++] = t[i].v;
	sp_free(t);
	*n = left;
	return true;
}

static bool write_series(struct merge *m, const struct series *s, struct sp_buf *out, struct rw_totals *t)
{
	size_t n = 0;
	while (s->n > m->cap_run)
		if (!grow((void **)&m->run, m->cap_run, &m->cap_run, sizeof *m->run))
			return false;
	for (uint32_t at = s->first; at != NONE; at = m->samples[at].next)
		m->run[n++] = m->samples[at].v;
	if (s->unordered && !put_in_order(m->run, &n))
		return false;
	if (t->samples == 0 || m->run[0].ms < t->min_ms)
		t->min_ms = m->run[0].ms;
	if (t->samples == 0 || m->run[n - 1].ms > t->max_ms)
		t->max_ms = m->run[n - 1].ms;
	t->samples += (uint32_t)n;
	t->series++;
	rw_add_series(out, labels_of(m, s), m->run, n);
	return sp_buf_ok(out);
}

enum sp_status merge_write(
    struct merge *m, size_t from, size_t to, struct sp_buf *out, struct rw_totals *totals, struct sp_why *why)
{
	struct rw_totals t = {0};
	size_t before = out->n;
	SP_BUG_IF(to > m->n_series);
	for (size_t i = from; i < to; i++)
		if (!write_series(m, &m->series[i], out, &t)) {
			out->n = before;
			return sp_fail(why, SP_NO_MEM, "no memory to write merged write requests");
		}
	t.raw_len = (uint32_t)(out->n - before);
	*totals = t;
	return SP_OK;
}
