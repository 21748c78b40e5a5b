#include "ship/send/destination_impl.h"

#include "common/alloc.h"
#include "common/metrics.h"

/* Once 429 or 5xx turned out to be about data, the next one without Retry-After is taken to be so, for this long. */
#define LOAD_IS_DATA_MS 600000
/* Where refused requests leave their good part behind, one batch a minute is narrowed down, to name the culprits. */
#define PARTLY_REFUSED_MS 60000
#define PARTLY_REFUSED_REQUESTS 64

void shard_narrow_end(struct shard *s)
{
	narrow_free(&s->narrow);
	s->blind = false;
}

static bool narrowed_lately(const struct destination *d)
{
	return d->last_narrowing.ms > 0 && sp_loop_now(d->loop).ms - d->last_narrowing.ms < PARTLY_REFUSED_MS;
}

bool destination_load_is_data(const struct destination *d)
{
	return d->load_refusal.ms > 0 && sp_loop_now(d->loop).ms - d->load_refusal.ms < LOAD_IS_DATA_MS;
}

/* Its payload is about to be decoded: that is on disk now, so that a batch which kills us is found out. */
static void noted(void *arg)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->narrow_seq);
	struct sp_why why = {.text = ""};
	s->busy = false;
	if (d->stopping || !e || e->state != ENTRY_REFUSED || !e->payload)
		return;
	if (!d->known)
		d->known = known_new();
	known_clock(d->known, sp_loop_now(s->dest->loop).ms);
	recent_tell(&d->receiver->recent, d->id, d->known);
	bool lately = narrowed_lately(d);
	struct narrow_rules rules = {.status = s->refusal_status,
	    .words = sp_buf_view(&s->refusal),
	    .suspect = e->suspect,
	    .probe = e->stored_rest ? lately : e->suspect && !destination_load_is_data(d),
	    .too_big = e->too_big,
	    .max_bytes = e->too_big && e->batch.len > d->receiver->max_bytes ? d->receiver->max_bytes : 0,
	    .no_repeat = d->repeat_refused || d->receiver->recent.n == 0,
	    .maybe_delivered = e->batch.flags & BATCH_MAYBE_DELIVERED,
	    .max_requests = !e->stored_rest ? 0
			    : lately	    ? 1
					    : PARTLY_REFUSED_REQUESTS,
	    .max_raw = RW_RAW_MAX_BYTES};
	s->pieces = 0;
	s->largest = 0;
	s->load = e->suspect && !ship_answer_is_suspicious(SHIP_ANSWERED, s->refusal_status);
	enum sp_status status = narrow_new(entry_block(e), &rules, d->known, &s->narrow, &why);
	if (!e->stored_rest || !lately)
		d->last_narrowing = sp_loop_now(d->loop);
	if (status == SP_BAD_DATA || status == SP_TOO_BIG)
		shard_bury(s, e, "rejected", 0, sp_str(why.text));
	if (s->narrow && d->vouched)
		narrow_witness(s->narrow);
	destination_pump(d);
}

bool shard_narrow_begin(struct shard *s)
{
	struct entry *e = s->any_refused ? window_first(s->window, ENTRY_REFUSED) : NULL;
	s->any_refused = e != NULL;
	if (!e)
		return false;
	if (!window_load(s->window, e))
		return true;
	s->narrow_seq = e->batch.seq;
	s->busy = true;
	writer_note_decoding(s->dest->writer, e->batch.payload, noted, s);
	return true;
}

static void finish_narrowing(struct shard *s)
{
	struct entry *e = window_find(s->window, s->narrow_seq);
	struct dead_letter *dead;
	size_t n_dead;
	uint64_t delivered, lost = 0;
	struct sp_why why;
	if (narrow_result(s->narrow, &delivered, &dead, &n_dead, &why) != SP_OK)
		return; /* short of memory; the next pump tries again */
	for (size_t i = 0; i < n_dead; i++) {
		dead[i].dest = e->batch.dest;
		dead[i].shard = e->batch.shard;
		dead[i].seq = e->batch.seq;
		lost += dead[i].samples;
		if (dead[i].http_status == 429 || dead[i].http_status >= 500)
			s->dest->load_refusal = sp_loop_now(s->dest->loop);
	}
	if (e->too_big && s->too_big && n_dead == 0)
		destination_learn_max_bytes(s->dest, s->largest);
	else if (e->too_big)
		destination_grow_max_bytes(s->dest);
	if (narrow_doubted(s->narrow))
		s->dest->load_refusal.ms = 0;
	if (n_dead > 0)
		sp_log(SP_LOG_WARN, "batch.refused", sp_f_str("destination", s->dest->name),
		    sp_f_u64("shard", s->index), sp_f_u64("delivered", delivered), sp_f_u64("dead_lettered", lost),
		    sp_f_bytes("answer", dead[0].answer), SP_LOG_END);
	if (delivered > 0)
		destination_reached(s->dest, &e->batch);
	shard_settle(s, &e->batch, 1, delivered, dead, n_dead);
	window_remove(s->window, e);
	shard_narrow_end(s);
}

/* What is refused is narrowed down as far as the budget goes; then it waits. */
static bool may_narrow(struct destination *d)
{
	if (budget_allows(&d->budget, sp_loop_now(d->loop).ms))
		return true;
	destination_refuses(d, true);
	if (d->budget_timer.at == 0)
		sp_timer_set(d->loop, &d->budget_timer, 1000, destination_pump_again, d);
	return false;
}

/* When the receiver may be one that refuses everything, one shard finds out; the others would but repeat its requests.
 */
static bool is_scout(const struct shard *s)
{
	const struct destination *d = s->dest;
	if (d->refused_in_a_row < REFUSED_IN_A_ROW)
		return true;
	for (size_t i = 0; i < s->index; i++)
		if (d->shards[i] && d->shards[i]->narrow)
			return false;
	return true;
}

bool shard_narrow_send(struct shard *s)
{
	struct narrow_piece piece;
	if (narrow_is_done(s->narrow)) {
		finish_narrowing(s);
		return false;
	}
	if (!is_scout(s) || (s->pieces > 0 && !may_narrow(s->dest) && !narrow_give_up(s->narrow)))
		return true;
	switch (narrow_next(s->narrow, &piece)) {
	case NARROW_SEND:
		s->block = piece.block;
		s->samples = piece.samples;
		shard_post_part(s, REQUEST_PIECE, s->narrow_seq, 0);
		return true;
	case NARROW_DONE:
		finish_narrowing(s);
		return false;
	case NARROW_WITNESS:
		s->blind = true;
		break;
	}
	return false;
}

void shard_step_aside(struct shard *s, struct entry *e)
{
	e->state = ENTRY_REFUSED;
	s->any_refused = true;
}

void shard_refused(struct shard *s, const struct http_answer *a, struct ship_ruling r)
{
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->seqs[0]);
	e->too_big = s->too_big = r.verdict == SHIP_TOO_BIG;
	e->suspect = r.verdict != SHIP_DATA && !e->too_big;
	e->stored_rest = r.verdict == SHIP_DATA && (!d->receiver->rolls_back || protocol_stored_a_part(&d->receiver->protocol, s->version, a));
	bool vouched = d->refused_in_a_row < REFUSED_IN_A_ROW && d->last_success.ms > 0;
	if (!e->suspect)
		d->refused_in_a_row++;
	if (health_is_rejecting(&d->health))
		return; /* it stays queued */
	if (e->stored_rest && vouched && narrowed_lately(d)) {
		destination_reached(s->dest, &e->batch);
		shard_bury(s, e, "partly_refused", a->status, a->words);
		return;
	}
	s->refusal_status = a->status;
	sp_buf_clear(&s->refusal);
	sp_buf_add(&s->refusal, a->words);
	if (s->narrowing_since.ms == 0)
		s->narrowing_since = sp_loop_now(d->loop);
	if (r.verdict != SHIP_DATA || !resume_begin(s, e))
		shard_step_aside(s, e);
}

/* A single sample of a batch that went unanswered before is refused: it may be there. */
static bool is_rather_a_repeat(struct shard *s, const struct http_answer *a)
{
	struct entry *e = window_find(s->window, s->narrow_seq);
	e->state = ENTRY_QUEUED;
	if (!resume_begin(s, e)) {
		e->state = ENTRY_REFUSED;
		return false;
	}
	e->strikes = e->attempts = 0;
	s->refusal_status = a->status;
	sp_buf_clear(&s->refusal);
	sp_buf_add(&s->refusal, a->words);
	shard_narrow_end(s);
	return true;
}

bool shard_narrow_answered(struct shard *s, const struct http_answer *a, struct ship_ruling r)
{
	struct entry *e = window_find(s->window, s->narrow_seq);
	if (e->purged) {
		shard_narrow_end(s);
		window_remove(s->window, e);
		return r.verdict == SHIP_DATA || r.verdict == SHIP_TOO_BIG;
	}
	bool load = s->load && ship_answer_is_not_now(a->transport, r.verdict);
	bool suspicious = load || ship_answer_is_suspicious(a->transport, a->status);
	known_clock(s->dest->known, sp_loop_now(s->dest->loop).ms);
	if (r.verdict == SHIP_DATA && narrow_is_probing(s->narrow) && is_rather_a_repeat(s, a))
		return true;
	s->too_big |= r.verdict == SHIP_TOO_BIG;
	if (r.verdict == SHIP_DELIVERED && s->block.n > s->largest)
		s->largest = s->block.n;
	if (health_is_rejecting(&s->dest->health) && r.verdict != SHIP_DELIVERED) {
		shard_narrow_end(s);
		e->state = ENTRY_QUEUED;
		return true;
	}
	bool about_data = narrow_answer(s->narrow, r.verdict, suspicious, a->status, a->words);
	bool obeyed = load && s->samples > 1 && !destination_load_is_data(s->dest); /* until it is clear, it means load as well */
	return about_data && !obeyed;
}
