#include "ship/narrow.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Requests without a single 2xx after which another batch must show that the receiver is well. */
#define BLIND_REQUESTS 16
/* 5xx to the same piece, each after a pause, before it is taken for a refusal. */
#define STRIKES 3
/* Times a sample must be answered 5xx alone, and the receiver accept something right after it, before it is condemned.
 */
#define HEARINGS 2
/* What is kept of an answer. */
#define ANSWER_MAX_BYTES 1024
/* Different answers that are kept in full; later ones are filed under the last. */
#define WORDS_MAX 64

#define NEWEST_SLOTS 65536 /* 1 MiB */
#define NOBODY UINT32_MAX

struct newest {
	struct {
		uint64_t series;
		int64_t ms;
	} slots[NEWEST_SLOTS];
};

/* A range of n->order. */
struct piece {
	uint32_t from, to;
	bool left;	 /* the next piece is its brother, and both together were refused */
	bool surely_bad; /* its brother was accepted */
	unsigned strikes, hearings;
};

enum fate { FATE_OPEN = 0, FATE_DELIVERED, FATE_CONDEMNED };

struct sample {
	uint32_t series;
	int64_t ms;
	uint32_t place; /* in order */
	uint16_t refusal;
	uint8_t fate;
};

struct refusal {
	int status;
	bool server_error;
	char *words;
	size_t n_words;
};

struct narrow {
	struct narrow_rules rules;
	struct newest *newest;
	struct sp_buf raw, block;
	struct rw_totals totals;
	struct sample *samples;
	uint64_t *series;     /* hashes */
	int64_t *known;	      /* newest time delivered of each series when narrowing began; INT64_MIN unknown */
	uint32_t *order;      /* sample numbers, the order of sending */
	struct piece *pieces; /* a ring: front is next */
	size_t cap, front, n;
	struct piece current, accused; /* accused: one sample that was answered 5xx, from == to when there is none */
	enum { IDLE, PIECE_OUT, PROBE_OUT, CONTROL_OUT } state;
	bool probing; /* is it the batch or the receiver? */
	bool proven;  /* the receiver accepted something since we began */
	bool anew;    /* it did so after all that was sent of this batch had been refused */
	unsigned failed_probes;
	bool wants_other; /* the last probe failed: another batch shall go in between */
	uint32_t probe;	  /* series to probe next */
	uint32_t good;	  /* a sample that was accepted; NOBODY */
	unsigned blind;	  /* requests without a single 2xx */
	struct refusal refusals[WORDS_MAX];
	size_t n_refusals;
	struct sp_buf *bodies; /* of the dead letters */
	struct dead_letter *dead;
	size_t n_dead;
};

/* ---- newest ---- */

struct newest *newest_new(void)
{
	return sp_new(struct newest);
}

void newest_free(struct newest **n)
{
	sp_free(*n);
	*n = NULL;
}

static int64_t newest_get(const struct newest *n, uint64_t series)
{
	size_t at = series % NEWEST_SLOTS;
	return n && n->slots[at].series == series ? n->slots[at].ms : INT64_MIN;
}

static void newest_put(struct newest *n, uint64_t series, int64_t ms)
{
	if (n && newest_get(n, series) < ms)
		n->slots[series % NEWEST_SLOTS] = (__typeof__(n->slots[0])){series, ms};
}

/* ---- the queue of pieces ---- */

static void grow(struct narrow *n)
{
	if (n->n < n->cap)
		return;
	size_t cap = n->cap ? n->cap * 2 : 64;
	struct piece *p = sp_new_array(struct piece, cap);
	for (size_t i = 0; i < n->n; i++)
		p[i] = n->pieces[(n->front + i) % n->cap];
	sp_free(n->pieces);
	n->pieces = p;
	n->cap = cap;
	n->front = 0;
}

static void push_front(struct narrow *n, struct piece p)
{
	grow(n);
	n->front = (n->front + n->cap - 1) % n->cap;
	n->pieces[n->front] = p;
	n->n++;
}

static void push_back(struct narrow *n, struct piece p)
{
	grow(n);
	n->pieces[(n->front + n->n++) % n->cap] = p;
}

static struct piece pop_front(struct narrow *n)
{
	struct piece p = n->pieces[n->front];
	n->front = (n->front + 1) % n->cap;
	n->n--;
	return p;
}

static struct sample *sample_at(struct narrow *n, uint32_t place)
{
	return &n->samples[n->order[place]];
}

/* Between two series, as near to the middle as there is such a place; in the middle when there is but one series. */
static uint32_t middle(struct narrow *n, const struct piece *p, bool *one_series)
{
	uint32_t mid = p->from + (p->to - p->from) / 2;
	for (uint32_t d = 0; mid - d > p->from || mid + d < p->to; d++) {
		uint32_t below = mid - d, above = mid + d;
		if (below > p->from && below < p->to && sample_at(n, below)->series != sample_at(n, below - 1)->series)
			return *one_series = false, below;
		if (above < p->to && sample_at(n, above)->series != sample_at(n, above - 1)->series)
			return *one_series = false, above;
		if (d >= mid - p->from)
			break;
	}
	*one_series = true;
	return mid;
}

/* implied: one of the halves must be bad when the other is not; not so after 413, when both may fit. */
static void split(struct narrow *n, const struct piece *p, bool implied)
{
	bool one_series;
	uint32_t mid = middle(n, p, &one_series);
	struct piece left = {.from = p->from, .to = mid, .left = implied}, right = {.from = mid, .to = p->to};
	if (n->proven || one_series || !implied) {
		push_front(n, right);
		push_front(n, left);
	} else { /* breadth first: the larger pieces have their turn before the halves of this one */
		push_back(n, left);
		push_back(n, right);
	}
}

/* ---- beginning ---- */

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
	n->known = sp_new_array(int64_t, n->totals.series + 1);
	for (; (status = rw_next(&in, &s, why)) == SP_OK; series++) {
		struct rw_sample v;
		n->series[series] = XXH3_64bits(s.labels.p, s.labels.n);
		n->known[series] = newest_get(n->newest, n->series[series]);
		while (rw_next_sample(&s.samples, &v))
			n->samples[at++] = (struct sample){.series = series, .ms = v.ms};
	}
	return status == SP_NOT_FOUND ? SP_OK : status;
}

/* Is the sample not newer than what its series already delivered? Such are the usual culprits. */
static bool is_late(const struct narrow *n, const struct sample *s)
{
	return s->ms <= n->known[s->series];
}

static uint32_t put_in_order(struct narrow *n)
{
	uint32_t at = 0, late;
	for (uint32_t i = 0; i < n->totals.samples; i++)
		if (n->rules.rolls_back && is_late(n, &n->samples[i]))
			n->order[at++] = i;
	late = at;
	for (uint32_t i = 0; i < n->totals.samples; i++)
		if (!n->rules.rolls_back || !is_late(n, &n->samples[i]))
			n->order[at++] = i;
	for (uint32_t place = 0; place < at; place++)
		n->samples[n->order[place]].place = place;
	return late;
}

enum sp_status narrow_new(struct sp_bytes block, const struct narrow_rules *rules, struct newest *newest,
    struct narrow **out, struct sp_why *why)
{
	struct narrow *n = sp_new(struct narrow);
	n->rules = *rules;
	n->newest = newest;
	n->good = NOBODY;
	n->probing = rules->suspect;
	enum sp_status status = rw_uncompress(block, rules->max_raw, &n->raw, why);
	if (status == SP_OK)
		status = read_samples(n, why);
	if (status != SP_OK) {
		narrow_free(&n);
		return status;
	}
	uint32_t late = put_in_order(n), all = n->totals.samples;
	struct piece whole = {.from = 0, .to = all};
	if (rules->suspect && all > 0) { /* should the receiver have been ill until now, the whole passes at once */
		push_back(n, whole);
	} else if (late > 0 && late < all) {
		push_back(n, (struct piece){.from = 0, .to = late, .left = !rules->too_big});
		push_back(n, (struct piece){.from = late, .to = all});
	} else if (all > 1) { /* the whole batch was refused already */
		split(n, &whole, !rules->too_big);
	} else if (all == 1) {
		push_back(n, whole);
	}
	*out = n;
	return SP_OK;
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

void narrow_free(struct narrow **narrow)
{
	struct narrow *n = *narrow;
	if (!n)
		return;
	for (size_t i = 0; i < n->n_refusals; i++)
		sp_free(n->refusals[i].words);
	forget_result(n);
	sp_buf_free(&n->raw);
	sp_buf_free(&n->block);
	sp_free(n->samples);
	sp_free(n->series);
	sp_free(n->known);
	sp_free(n->order);
	sp_free(n->pieces);
	sp_free(n);
	*narrow = NULL;
}

/* ---- what to send ---- */

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

static enum narrow_step send_range(struct narrow *n, uint32_t from, uint32_t to, struct narrow_piece *out)
{
	struct keep keep = {n, from, to};
	struct rw_totals totals;
	struct sp_why why;
	sp_buf_clear(&n->block);
	/* The batch was walked in full at the beginning; only memory can be short, and then waiting is right. */
	if (rw_part(sp_buf_view(&n->raw), keep_range, &keep, &n->block, &totals, &why) != SP_OK)
		return n->state = IDLE, NARROW_WITNESS;
	out->block = sp_buf_view(&n->block);
	out->samples = totals.samples;
	return NARROW_SEND;
}

static uint32_t newest_sample_of(const struct narrow *n, uint32_t series)
{
	uint32_t found = NOBODY;
	for (uint32_t i = 0; i < n->totals.samples; i++)
		if (n->samples[i].series == series && (found == NOBODY || n->samples[i].ms >= n->samples[found].ms))
			found = i;
	return found;
}

static enum narrow_step send_one(struct narrow *n, uint32_t sample, struct narrow_piece *out)
{
	uint32_t place = n->samples[sample].place;
	return send_range(n, place, place + 1, out);
}

static enum narrow_step send_probe(struct narrow *n, struct narrow_piece *out)
{
	if (n->wants_other) {
		n->wants_other = false; /* next time, if no other batch was there */
		return NARROW_WITNESS;
	}
	uint32_t sample = NOBODY;
	for (uint32_t tried = 0; sample == NOBODY && tried < n->totals.series; tried++) {
		sample = newest_sample_of(n, n->probe % n->totals.series);
		if (sample == NOBODY)
			n->probe++;
	}
	n->good = sample;
	n->state = PROBE_OUT;
	return send_one(n, sample, out);
}

/* What was refused so far was perhaps refused because everything was. */
static void begin_anew(struct narrow *n)
{
	n->anew = false;
	n->n = 0;
	n->accused = (struct piece){0};
	for (uint32_t i = 0; i < n->totals.samples; i++)
		n->samples[i].fate = FATE_OPEN;
	push_back(n, (struct piece){.from = 0, .to = n->totals.samples});
}

enum narrow_step narrow_next(struct narrow *n, struct narrow_piece *out)
{
	SP_BUG_IF(n->state != IDLE);
	if (n->totals.samples == 0)
		return NARROW_DONE;
	if (n->anew)
		begin_anew(n);
	if (n->probing)
		return send_probe(n, out);
	bool last = n->n == 0;
	if (n->accused.from < n->accused.to) {
		if (n->good == NOBODY)
			return NARROW_WITNESS;
		n->state = CONTROL_OUT;
		return send_one(n, n->good, out);
	}
	if (!n->proven && (last || n->blind >= BLIND_REQUESTS))
		return NARROW_WITNESS;
	if (last)
		return NARROW_DONE;
	struct piece p = pop_front(n);
	while (p.surely_bad && p.to - p.from > 1) {
		split(n, &p, true);
		p = pop_front(n);
	}
	n->current = p;
	n->state = PIECE_OUT;
	enum narrow_step step = send_range(n, p.from, p.to, out);
	if (step != NARROW_SEND)
		push_front(n, p);
	return step;
}

/* ---- what came back ---- */

static uint16_t file_refusal(struct narrow *n, int status, bool server_error, struct sp_bytes words)
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
	n->refusals[n->n_refusals] = (struct refusal){status, server_error, sp_strndup(words.p, words.n), words.n};
	return (uint16_t)n->n_refusals++;
}

static void receiver_is_well(struct narrow *n)
{
	struct piece *p = &n->accused;
	n->proven = true;
	n->probing = false;
	n->blind = 0;
	if (p->from == p->to)
		return;
	if (++p->hearings >= HEARINGS)
		sample_at(n, p->from)->fate = FATE_CONDEMNED;
	else
		push_front(n, *p);
	p->to = p->from;
}

/* 5xx for the control as well: it is the receiver that is ill. */
static void acquit(struct narrow *n)
{
	struct piece *p = &n->accused;
	p->hearings = 0;
	push_front(n, *p);
	p->to = p->from;
}

static void accepted(struct narrow *n, const struct piece *p)
{
	for (uint32_t place = p->from; place < p->to; place++) {
		struct sample *s = sample_at(n, place);
		s->fate = FATE_DELIVERED;
		newest_put(n->newest, n->series[s->series], s->ms);
	}
	n->good = n->order[p->to - 1];
	if (p->left)
		n->pieces[n->front].surely_bad = true;
	receiver_is_well(n);
}

static void refused(struct narrow *n, const struct piece *p, bool server_error, int status, struct sp_bytes words)
{
	if (!n->proven)
		n->blind++;
	if (p->to - p->from > 1) {
		split(n, p, status != 413);
		return;
	}
	struct sample *s = sample_at(n, p->from);
	s->refusal = file_refusal(n, status, server_error, words);
	if (server_error)
		n->accused = *p;
	else
		s->fate = FATE_CONDEMNED;
}

bool narrow_answer(struct narrow *n, enum ship_verdict verdict, bool suspicious, int status, struct sp_bytes words)
{
	bool is_refusal = verdict == SHIP_DATA || verdict == SHIP_TOO_BIG;
	int state = n->state;
	n->state = IDLE;
	if (state == PROBE_OUT) {
		if (verdict == SHIP_DELIVERED) {
			receiver_is_well(n);
			return true;
		}
		n->probe++;
		n->failed_probes++;
		n->wants_other = true;
		n->good = NOBODY;
		return is_refusal;
	}
	if (state == CONTROL_OUT) {
		if (verdict == SHIP_DELIVERED) {
			receiver_is_well(n);
			return true;
		}
		if (is_refusal) /* of a repeat: no news about the receiver, another batch must vouch for it */
			n->good = NOBODY;
		else
			acquit(n);
		return is_refusal;
	}
	SP_BUG_IF(state != PIECE_OUT);
	struct piece p = n->current;
	if (verdict == SHIP_DELIVERED) {
		accepted(n, &p);
		return true;
	}
	if (suspicious && (n->rules.suspect || ++p.strikes >= STRIKES)) {
		refused(n, &p, true, status, words);
		return true;
	}
	if (is_refusal) {
		refused(n, &p, false, status, words);
		return true;
	}
	push_front(n, p);
	return false;
}

void narrow_witness(struct narrow *n)
{
	n->anew |= !n->proven && n->blind > 0;
	receiver_is_well(n);
}

unsigned narrow_failed_probes(const struct narrow *n)
{
	return n->probing ? n->failed_probes : 0;
}

/* ---- the end ---- */

static const char *reason_of(const struct narrow *n, const struct sample *s)
{
	const struct refusal *r = &n->refusals[s->refusal];
	if (r->status == 413)
		return "too_large";
	if (n->rules.maybe_delivered && !r->server_error)
		return "maybe_duplicate";
	return is_late(n, s) ? "out_of_order" : "rejected";
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
	static const char *const reasons[] = {"rejected", "out_of_order", "maybe_duplicate", "too_large"};
	enum { REASONS = sizeof(reasons) / sizeof(reasons[0]) };
	bool present[WORDS_MAX] = {false};
	uint64_t good = 0;
	for (uint32_t i = 0; i < n->totals.samples; i++) {
		const struct sample *s = &n->samples[i];
		SP_BUG_IF(s->fate != FATE_DELIVERED && s->fate != FATE_CONDEMNED);
		good += s->fate == FATE_DELIVERED;
		present[s->refusal] |= s->fate == FATE_CONDEMNED;
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
