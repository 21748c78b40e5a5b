#include "ship/send/narrow_impl.h"

#include "common/alloc.h"
#include "ship/send/order.h"

#include <stdlib.h>

/* What is kept of an answer. */
#define ANSWER_MAX_BYTES 1024

/* ---- reading ---- */

static enum sp_status read_samples(struct narrow *n, struct sp_why *why)
{
	struct sp_bytes in = sp_buf_view(&n->raw);
	struct rw_series s;
	uint32_t at = 0, series = 0;
	enum sp_status status = rw_count(in, &n->totals, why);
	if (status != SP_OK)
		return status;
	n->samples = sp_new_array(struct sample, n->totals.samples + 1);
	n->order = sp_new_array(uint32_t, n->totals.samples + 1);
	n->series = sp_new_array(uint64_t, n->totals.series + 1);
	n->newest = sp_new_array(int64_t, n->totals.series + 1);
	for (; (status = rw_next(&in, &s, why)) == SP_OK; series++) {
		struct rw_sample v;
		n->series[series] = known_series(s.labels);
		n->newest[series] = known_newest(n->known, n->series[series]);
		while (rw_next_sample(&s.samples, &v))
			n->samples[at++] = (struct sample){.series = series, .ms = v.ms};
	}
	return status == SP_NOT_FOUND ? SP_OK : status;
}

static int by_time(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* Doubtful are series with a sample from before most others: where late samples are refused, those are the usual
 * culprits. */
static void classify(struct narrow *n)
{
	size_t all = n->totals.samples;
	int64_t *times = sp_new_array(int64_t, all + 1);
	bool *doubtful = sp_new_array(bool, n->totals.series + 1);
	for (size_t i = 0; i < all; i++)
		times[i] = n->samples[i].ms;
	qsort(times, all, sizeof(times[0]), by_time);
	for (size_t i = 0; i < all; i++) {
		struct sample *s = &n->samples[i];
		if (known_expects_refusal(n->known, n->series[s->series], s->ms))
			s->class = EXPECTED;
		else if (s->ms < times[all / 2])
			doubtful[s->series] = true;
	}
	for (size_t i = 0; i < all; i++)
		if (n->samples[i].class != EXPECTED && doubtful[n->samples[i].series])
			n->samples[i].class = DOUBTFUL;
	sp_free(times);
	sp_free(doubtful);
}

static uint64_t mixed(const struct narrow *n, uint32_t series)
{
	uint64_t h = (n->series[series] ^ n->turn) * 0x9e3779b97f4a7c15;
	return h ^ h >> 32;
}

/* Of those that are expected to be refused the youngest come first: should one be taken, it is one of these. Of equal age others each
 * time, because only the first are tried now and then. */
static int by_place(const void *a, const void *b, void *arg)
{
	const struct narrow *n = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	const struct sample *s = &n->samples[x], *t = &n->samples[y];
	if (s->class != t->class)
		return s->class < t->class ? -1 : 1;
	if (s->class == EXPECTED && s->ms != t->ms)
		return s->ms > t->ms ? -1 : 1;
	if (s->class == EXPECTED && s->series != t->series)
		return mixed(n, s->series) < mixed(n, t->series) ? -1 : 1;
	return x < y ? -1 : 1;
}

static void put_in_order(struct narrow *n)
{
	classify(n);
	for (uint32_t i = 0; i < n->totals.samples; i++)
		n->order[i] = i;
	for (int c = 0; c < CLASSES; c++)
		n->begins[c] = n->totals.samples;
	qsort_r(n->order, n->totals.samples, sizeof(n->order[0]), by_place, n);
	for (uint32_t place = n->totals.samples; place-- > 0;) {
		struct sample *s = &n->samples[n->order[place]];
		s->place = place;
		for (int c = 0; c <= s->class; c++)
			n->begins[c] = place;
	}
}

enum sp_status batch_read(struct narrow *n, struct sp_why *why)
{
	enum sp_status status = read_samples(n, why);
	if (status == SP_OK)
		put_in_order(n);
	return status;
}

static void forget_result(struct narrow *n)
{
	for (size_t i = 0; n->bodies && i <= n->n_dead; i++) /* one more may be half made */
		sp_buf_free(&n->bodies[i]);
	sp_free(n->bodies);
	sp_free(n->dead);
	n->bodies = NULL;
	n->dead = NULL;
	n->n_dead = 0;
}

void batch_free(struct narrow *n)
{
	for (size_t i = 0; i < n->n_refusals; i++)
		sp_free(n->refusals[i].words);
	forget_result(n);
	sp_buf_free(&n->raw);
	sp_buf_free(&n->block);
	sp_free(n->samples);
	sp_free(n->series);
	sp_free(n->newest);
	sp_free(n->order);
}

/* ---- parts ---- */

struct keep {
	const struct narrow *n;
	uint32_t from, to;
};

static bool keep_range(
    void *arg, uint32_t series, uint32_t sample, const struct rw_series *s, const struct rw_sample *v)
{
	const struct keep *k = arg;
	uint32_t place = k->n->samples[sample].place;
	(void)series, (void)s, (void)v;
	return place >= k->from && place < k->to;
}

enum sp_status batch_part(struct narrow *n, uint32_t from, uint32_t to, uint32_t *samples, struct sp_why *why)
{
	struct keep keep = {n, from, to};
	struct rw_totals totals = {0};
	sp_buf_clear(&n->block);
	enum sp_status status = rw_part(sp_buf_view(&n->raw), keep_range, &keep, &n->block, &totals, why);
	*samples = totals.samples;
	return status;
}

/* ---- what became of them ---- */

uint16_t batch_file_refusal(struct narrow *n, int status, bool load, struct sp_bytes words)
{
	if (words.n > ANSWER_MAX_BYTES)
		words.n = ANSWER_MAX_BYTES;
	for (size_t i = 0; i < n->n_refusals; i++) {
		const struct refusal *r = &n->refusals[i];
		if (r->status == status && sp_eq(sp_bytes(r->words, r->n_words), words))
			return (uint16_t)i;
	}
	for (size_t i = WORDS_MAX; n->n_refusals == WORDS_MAX && i-- > 0;)
		if (n->refusals[i].status == status || i == 0)
			return (uint16_t)i;
	n->refusals[n->n_refusals] = (struct refusal){status, load, order_says(words), known_kind(status, words), sp_strndup(words.p, words.n), words.n};
	return (uint16_t)n->n_refusals++;
}

static const char *reason_of(const struct narrow *n, const struct sample *s)
{
	const struct refusal *r = &n->refusals[s->refusal];
	if (s->fate == FATE_GIVEN_UP)
		return "partly_refused";
	if (r->status == 413)
		return "too_large";
	if (n->rules.maybe_delivered && !r->load)
		return "maybe_duplicate";
	return s->ms < n->newest[s->series] ? "out_of_order" : "rejected";
}

struct guilty {
	const struct narrow *n;
	const char *reason;
	uint16_t refusal;
};

static bool is_guilty(
    void *arg, uint32_t series, uint32_t sample, const struct rw_series *series_, const struct rw_sample *v)
{
	const struct guilty *g = arg;
	const struct sample *s = &g->n->samples[sample];
	(void)series, (void)series_, (void)v;
	return s->fate != FATE_DELIVERED && s->refusal == g->refusal && strcmp(reason_of(g->n, s), g->reason) == 0;
}

enum sp_status narrow_result(
    struct narrow *n, uint64_t *delivered, struct dead_letter **dead, size_t *n_dead, struct sp_why *why)
{
	static const char *const reasons[] = {
	    "rejected", "out_of_order", "maybe_duplicate", "too_large", "partly_refused"};
	enum { REASONS = sizeof(reasons) / sizeof(reasons[0]) };
	bool present[WORDS_MAX] = {false};
	uint64_t good = 0;
	for (uint32_t i = 0; i < n->totals.samples; i++) {
		const struct sample *s = &n->samples[i];
		SP_BUG_IF(s->fate == FATE_OPEN);
		good += s->fate == FATE_DELIVERED;
		present[s->refusal] |= s->fate != FATE_DELIVERED;
	}
	forget_result(n);
	n->dead = sp_new_array(struct dead_letter, n->n_refusals * REASONS + 1);
	n->bodies = sp_new_array(struct sp_buf, n->n_refusals * REASONS + 1);
	for (size_t i = 0; i < n->n_refusals * REASONS; i++) {
		const struct refusal *r = &n->refusals[i / REASONS];
		struct guilty g = {n, reasons[i % REASONS], (uint16_t)(i / REASONS)};
		struct sp_buf *body = &n->bodies[n->n_dead];
		struct rw_totals totals;
		if (!present[i / REASONS])
			continue;
		enum sp_status status = rw_part(sp_buf_view(&n->raw), is_guilty, &g, body, &totals, why);
		if (status != SP_OK)
			return status;
		if (totals.samples == 0) {
			sp_buf_free(body);
			continue;
		}
		n->dead[n->n_dead++] = (struct dead_letter){.reason = g.reason,
		    .http_status = r->status,
		    .answer = sp_bytes(r->words, r->n_words),
		    .body = sp_buf_view(body),
		    .series = totals.series,
		    .samples = totals.samples,
		    .min_ms = totals.min_ms,
		    .max_ms = totals.max_ms};
	}
	*delivered = good;
	*dead = n->dead;
	*n_dead = n->n_dead;
	return SP_OK;
}
