#include "ship/send/narrow_impl.h"

#include "common/alloc.h"

/* Requests without a single 2xx after which another batch must show that the receiver is well. */
#define BLIND_REQUESTS 16
/* The same where all of the batch is expected to be refused. */
#define HOPELESS_REQUESTS 4
/* Single samples that are tried then. */
#define SINGLES 8
/* Where what is proven bad is tried all the same, so many of it are. */
#define TRIAL_SAMPLES 8
/* Probes of a suspect batch, with different samples, before another batch is asked for. */
#define OTHER_AFTER 2
/* 5xx to the same piece, each after a pause, before it is taken for a refusal. */
#define STRIKES 3
/* Times a sample must be answered 5xx or 429 alone, and the receiver accept something else right after it, before it is
 * condemned. What that was counts: most if we chose it and sent it for that, less if another batch just came along. */
#define HEARINGS 6
#define HEARING_CONTROL 6
#define HEARING_WITNESS 1
/* Once such answers were in doubt, this many of them mean load before another one is about data. */
#define TRUST 10

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

/* Between two classes, else between two series, as near to the middle as there is such a place; in the middle when
 * there is but one series. */
static uint32_t middle(struct narrow *n, const struct piece *p, bool *one_series)
{
	uint32_t mid = p->from + (p->to - p->from) / 2;
	for (int c = LIKELY_GOOD + 1; c < CLASSES && !n->rules.too_big; c++)
		if (n->begins[c] > p->from && n->begins[c] < p->to)
			return *one_series = false, n->begins[c];
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
	left.apart = right.apart = p->from >= n->begins[EXPECTED] && implied;
	if (n->proven || one_series || !implied) {
		push_front(n, right);
		push_front(n, left);
	} else { /* breadth first: the larger pieces have their turn before the halves of this one */
		push_back(n, left);
		push_back(n, right);
	}
}

/* ---- beginning ---- */

enum sp_status narrow_new(struct sp_bytes block, const struct narrow_rules *rules, struct known *known,
    struct narrow **out, struct sp_why *why)
{
	struct narrow *n = sp_new(struct narrow);
	n->rules = *rules;
	n->known = known;
	n->good = NOBODY;
	n->probing = rules->probe;
	n->turn = known_turn(known);
	n->trial = !known_may_skip(known);
	n->block_bytes = block.n;
	batch_file_refusal(n, rules->status, rules->suspect, rules->words); /* the first: of the whole */
	enum sp_status status = rw_uncompress(block, rules->max_raw, &n->raw, why);
	if (status == SP_OK)
		status = batch_read(n, why);
	if (status != SP_OK) {
		narrow_free(&n);
		return status;
	}
	struct piece whole = {.from = 0, .to = n->totals.samples};
	if (whole.to > 1 && !rules->probe)
		split(n, &whole, !rules->too_big);
	else if (whole.to > 0) /* should the receiver have been ill until now, the whole passes at once */
		push_back(n, whole);
	*out = n;
	return SP_OK;
}

void narrow_free(struct narrow **narrow)
{
	struct narrow *n = *narrow;
	if (!n)
		return;
	batch_free(n);
	sp_free(n->pieces);
	sp_free(n);
	*narrow = NULL;
}

static void learn_refused(struct narrow *n, const struct sample *s, unsigned times)
{
	known_refused(n->known, n->series[s->series], s->ms, times, n->refusals[s->refusal].order);
}

/* ---- what to send ---- */

static enum narrow_step send_range(struct narrow *n, uint32_t from, uint32_t to, struct narrow_piece *out)
{
	struct sp_why why;
	n->requests++;
	/* The batch was walked in full at the beginning; only memory can be short, and then waiting is right. */
	if (batch_part(n, from, to, &out->samples, &why) != SP_OK)
		return n->state = IDLE, NARROW_WITNESS;
	out->block = sp_buf_view(&n->block);
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

/* From all over the batch: where most is bad, hardly a piece of several samples is good. */
static enum narrow_step send_single(struct narrow *n, struct narrow_piece *out)
{
	while (n->singles < SINGLES) {
		uint32_t sample = (n->turn + n->singles++ * SERIES_SPREAD) % n->totals.samples;
		const struct sample *s = &n->samples[sample];
		bool of_several = (sample > 0 && s[-1].series == s->series) || (sample + 1 < n->totals.samples && s[1].series == s->series);
		if (of_several) /* it might overtake another one */
			continue;
		n->state = SINGLE_OUT;
		return send_one(n, sample, out);
	}
	return NARROW_WITNESS;
}

static void condemn(struct narrow *n, const struct piece *p, uint16_t refusal, bool proven)
{
	for (uint32_t place = p->from; place < p->to; place++) {
		struct sample *s = sample_at(n, place);
		s->fate = FATE_CONDEMNED;
		s->refusal = refusal;
		s->proven = proven;
	}
}

static bool is_all(struct narrow *n, const struct piece *p, bool (*proves)(const struct known *k, uint64_t series, int64_t ms))
{
	for (uint32_t place = p->from; place < p->to; place++) {
		const struct sample *s = sample_at(n, place);
		if (s->class != EXPECTED || !proves(n->known, n->series[s->series], s->ms))
			return false;
	}
	return true;
}

static bool is_proven_bad(struct narrow *n, const struct piece *p)
{
	return n->proven && is_all(n, p, known_proves_refusal);
}

static bool may_skip(const struct narrow *n)
{
	return n->skips || known_may_skip(n->known);
}

static void skip(struct narrow *n, const struct piece *p, uint16_t refusal)
{
	condemn(n, p, refusal, true);
	if (!n->skips)
		known_skipped(n->known);
	n->skips = true;
}

/* Such a piece, once refused, is not taken apart. */
static bool need_not_try(struct narrow *n, const struct piece *p)
{
	return may_skip(n) && (!n->trial || n->tried >= TRIAL_SAMPLES) && is_proven_bad(n, p);
}

/* Such a piece is why the whole was refused, and it need not be sent. */
static bool is_too_late(struct narrow *n, const struct piece *p)
{
	return may_skip(n) && !n->rules.suspect && !n->rules.too_big && is_all(n, p, known_proves_late);
}

/* What the receiver says of it is so: nothing else need vouch for that. */
static bool is_late(const struct narrow *n, const struct sample *s)
{
	return n->refusals[s->refusal].order && s->ms < known_newest(n->known, n->series[s->series]);
}

/* Is anything condemned for an answer that nothing vouches for yet? */
static bool is_in_doubt(const struct narrow *n)
{
	for (uint32_t i = 0; i < n->totals.samples && !n->proven; i++) {
		const struct sample *s = &n->samples[i];
		if (s->fate == FATE_CONDEMNED && !s->proven && !is_late(n, s))
			return true;
	}
	return false;
}

static bool is_too_big(const struct narrow *n, const struct piece *p)
{
	return n->rules.max_bytes > 0 &&
	       (uint64_t)n->block_bytes * (p->to - p->from) / n->totals.samples > n->rules.max_bytes;
}

/* Pieces in front that need not be sent to know that they are too big, or hold something bad, are taken apart, or
 * settled. */
static void settle_unsent(struct narrow *n)
{
	while (n->n > 0) {
		struct piece p = n->pieces[n->front];
		bool untried = need_not_try(n, &p);
		if ((p.surely_bad && untried) || is_too_late(n, &p)) {
			skip(n, &p, 0);
			pop_front(n);
		} else if (p.to - p.from > 1 && !untried && (p.surely_bad || p.apart)) {
			pop_front(n);
			split(n, &p, true);
		} else if (p.to - p.from > 1 && is_too_big(n, &p)) {
			pop_front(n);
			split(n, &p, false);
		} else {
			return;
		}
	}
}

/* 429 and 5xx are about data only as long as the same data is always answered so. Here it was not: what was concluded
 * from such answers is forgotten. */
static void doubt(struct narrow *n)
{
	n->doubted = true;
	known_doubts_load(n->known);
	n->trust = TRUST;
	n->n = 0;
	n->accused = (struct piece){0};
	for (uint32_t place = 0; place < n->totals.samples; place++) {
		struct sample *s = sample_at(n, place);
		if (s->fate == FATE_CONDEMNED && n->refusals[s->refusal].load)
			s->fate = FATE_OPEN, s->heard = false;
		if (s->fate != FATE_OPEN)
			continue;
		struct piece *last = n->n > 0 ? &n->pieces[(n->front + n->n - 1) % n->cap] : NULL;
		if (last && last->to == place)
			last->to++;
		else
			push_back(n, (struct piece){.from = place, .to = place + 1});
	}
}

bool narrow_doubted(const struct narrow *n)
{
	return n->doubted;
}

static void remember_load(struct narrow *n)
{
	for (uint32_t i = 0; i < n->totals.samples; i++) {
		struct sample *s = &n->samples[i];
		if (s->heard)
			learn_refused(n, s, HEARINGS);
		s->heard = false;
	}
}

bool narrow_give_up(struct narrow *n)
{
	if (n->rules.max_requests == 0 || !n->proven)
		return false;
	n->n = 0;
	n->accused = (struct piece){0};
	for (uint32_t i = 0; i < n->totals.samples; i++)
		if (n->samples[i].fate == FATE_OPEN)
			n->samples[i].fate = FATE_GIVEN_UP;
	return true;
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

/* There is nothing yet to hear it with; what is next may be good. But no sample overtakes another of its series. */
static void defer_accused(struct narrow *n)
{
	struct piece *p = &n->accused;
	if (p->from == p->to || n->n == 0 || n->pieces[n->front].refused ||
	    (p->to < n->totals.samples && sample_at(n, p->to)->series == sample_at(n, p->from)->series))
		return;
	p->left = false; /* its brother is next, and it no longer */
	push_back(n, *p);
	p->to = p->from;
}

bool narrow_is_done(struct narrow *n)
{
	if (n->state != IDLE || n->anew || n->probing || n->accused.from < n->accused.to)
		return false;
	settle_unsent(n);
	if (n->n > 0 || is_in_doubt(n))
		return false;
	remember_load(n);
	return true;
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
	if (n->requests >= n->rules.max_requests)
		narrow_give_up(n);
	if (n->good == NOBODY)
		defer_accused(n);
	if (n->accused.from < n->accused.to) {
		if (n->good == NOBODY)
			return NARROW_WITNESS;
		n->state = CONTROL_OUT;
		return send_one(n, n->good, out);
	}
	if (narrow_is_done(n))
		return NARROW_DONE;
	bool hopeless = n->begins[EXPECTED] == 0;
	bool blind = !n->proven && n->blind >= (hopeless ? HOPELESS_REQUESTS : BLIND_REQUESTS);
	if (blind && n->n > 0 && n->rules.no_repeat && !n->rules.suspect && n->singles < SINGLES)
		return send_single(n, out);
	if (n->n == 0 || blind)
		return NARROW_WITNESS;
	struct piece p = pop_front(n);
	n->current = p;
	n->state = PIECE_OUT;
	enum narrow_step step = send_range(n, p.from, p.to, out);
	if (step != NARROW_SEND)
		push_front(n, p);
	return step;
}

/* ---- what came back ---- */

static void receiver_is_well(struct narrow *n, unsigned weight)
{
	struct piece *p = &n->accused;
	for (uint32_t i = 0; !n->proven && !n->anew && i < n->totals.samples; i++)
		if (n->samples[i].fate == FATE_CONDEMNED && !n->samples[i].proven)
			learn_refused(n, &n->samples[i], 1);
	n->proven = true;
	n->probing = false;
	n->blind = 0;
	if (p->from == p->to)
		return;
	struct sample *s = sample_at(n, p->from);
	uint64_t kind = n->refusals[s->refusal].kind;
	p->hearings += weight;
	if (p->hearings >= (known_trusts_load(n->known, kind) ? 1 : HEARINGS) * HEARING_CONTROL) {
		if (p->hearings >= HEARINGS * HEARING_CONTROL)
			known_heard_load(n->known, kind);
		s->fate = FATE_CONDEMNED;
		s->heard = true;
	} else {
		push_front(n, *p);
	}
	p->to = p->from;
}

/* 5xx for the control as well: it is the receiver that is ill. */
static void acquit(struct narrow *n)
{
	struct piece *p = &n->accused;
	if (p->from == p->to)
		return; /* another batch has vouched for the receiver meanwhile */
	p->hearings = 0;
	push_front(n, *p);
	p->to = p->from;
}

static void accepted(struct narrow *n, const struct piece *p)
{
	for (uint32_t place = p->from; place < p->to; place++) {
		struct sample *s = sample_at(n, place);
		s->fate = FATE_DELIVERED;
		known_delivered(n->known, n->series[s->series], s->ms);
	}
	n->good = n->order[p->to - 1];
	for (size_t i = 0; i < n->n && p->apart; i++) /* it takes again what it refused */
		n->pieces[(n->front + i) % n->cap].apart = false;
	if (p->refused || (n->rules.suspect && p->surely_bad))
		doubt(n);
	else if (p->left)
		n->pieces[n->front].surely_bad = true;
	receiver_is_well(n, HEARING_CONTROL);
}

static void refused(struct narrow *n, const struct piece *p, bool load, int status, struct sp_bytes words)
{
	if (!n->proven)
		n->blind++;
	bool alone = p->to - p->from == 1;
	if (!alone && !need_not_try(n, p)) {
		split(n, p, status != 413);
		return;
	}
	struct sample *s = sample_at(n, p->from);
	s->refusal = batch_file_refusal(n, status, load, words);
	if (alone && load && !is_proven_bad(n, p)) {
		n->accused = *p;
		n->accused.refused = true;
		return;
	}
	if (!alone) {
		skip(n, p, s->refusal);
		return;
	}
	n->tried += s->class == EXPECTED;
	bool late = is_late(n, s);
	condemn(n, p, s->refusal, late);
	if ((late || n->proven) && status != 413)
		learn_refused(n, s, 1);
}

static void vouch(struct narrow *n, unsigned weight)
{
	n->anew |= !n->proven && n->blind > 0;
	receiver_is_well(n, weight);
}

bool narrow_answer(struct narrow *n, enum ship_verdict verdict, bool suspicious, int status, struct sp_bytes words)
{
	bool is_refusal = verdict == SHIP_DATA || verdict == SHIP_TOO_BIG;
	int state = n->state;
	n->state = IDLE;
	if (state == PROBE_OUT) {
		if (verdict == SHIP_DELIVERED) {
			receiver_is_well(n, HEARING_CONTROL);
			return true;
		}
		n->probe++;
		n->failed_probes++;
		n->wants_other = n->failed_probes % (is_refusal ? BLIND_REQUESTS : OTHER_AFTER) == 0;
		n->good = NOBODY;
		return is_refusal;
	}
	if (state == SINGLE_OUT) {
		if (verdict == SHIP_DELIVERED)
			vouch(n, HEARING_CONTROL);
		return verdict == SHIP_DELIVERED || is_refusal;
	}
	if (state == CONTROL_OUT) {
		if (verdict == SHIP_DELIVERED) {
			receiver_is_well(n, HEARING_CONTROL);
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
	if (suspicious && n->trust > 0)
		n->trust--;
	else if (suspicious && (n->rules.suspect || ++p.strikes >= STRIKES)) {
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
	if (n->state == CONTROL_OUT || (n->accused.from < n->accused.to && n->good != NOBODY))
		return; /* the control says more */
	vouch(n, HEARING_WITNESS);
}

void narrow_control(struct narrow *n)
{
	vouch(n, HEARING_CONTROL);
}

bool narrow_is_probing(const struct narrow *n)
{
	return n->probing;
}

unsigned narrow_failed_probes(const struct narrow *n)
{
	return n->probing ? n->failed_probes : 0;
}
