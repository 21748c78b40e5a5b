#include "ship/send/resume.h"

#include "common/log.h"
#include "ship/send/destination_impl.h"

/* Samples of a batch, from all over it, that are asked for, before it has nothing to prove it; and of the last one that has, and how
 * many of those must. */
#define SAMPLES 3
#define CONFIRM_SAMPLES 16
#define CONFIRM_REFUSED 3
/* Answers in a row that say nothing about the sample. */
#define FAILURES_MAX 10

static bool may_be_there(const struct entry *e)
{
	return (e->batch.flags & (BATCH_MAYBE_DELIVERED | BATCH_AS_IT_IS)) == BATCH_MAYBE_DELIVERED;
}

/* The spool knows what was delivered before, whatever became of the ship that did it. */
static void listed(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms)
{
	struct shard *s = arg;
	(void)b, (void)n, (void)more;
	s->resume.at.max_ms = reached_ms;
	s->busy = false;
	if (!s->dest->stopping)
		destination_pump(s->dest);
}

bool resume_begin(struct shard *s, const struct entry *e)
{
	uint64_t asked = s->resume.asked;
	if (!s->dest->receiver->rolls_back || e->stored_rest || !may_be_there(e) || e->batch.seq <= asked ||
	    window_first(s->window, ENTRY_REFUSED))
		return false;
	s->resume = (struct resume){.active = true, .first = e->batch.seq, .asked = e->batch.seq - 1};
	s->busy = true;
	writer_list(s->dest->writer, s->dest->id, s->index, e->batch.seq - 1, 1, listed, s);
	return true;
}

void resume_end(struct shard *s)
{
	s->resume = (struct resume){.asked = s->resume.asked};
}

/* Nothing was found out: the first batch is narrowed down like any other. */
static void give_up(struct shard *s)
{
	struct entry *e = window_find(s->window, s->resume.first);
	s->resume.asked = s->resume.first;
	resume_end(s);
	if (e && e->state == ENTRY_QUEUED)
		shard_step_aside(s, e);
}

static bool proves(const struct rw_series *series, int64_t before_ms, struct rw_sample *v)
{
	struct sp_bytes samples = series->samples;
	return series->n_samples == 1 && rw_next_sample(&samples, v) && v->ms >= before_ms;
}

/* One of the samples that could prove that this batch is there becomes s->witness: number k of n from all over it. */
static bool take_sample(struct shard *s, const struct entry *e, unsigned k, unsigned n)
{
	struct sp_buf raw = {0}, one = {0};
	struct rw_series series;
	struct rw_sample v;
	struct sp_why why;
	uint32_t can = 0, wanted, i = 0;
	bool found = false;
	if (rw_uncompress(entry_block(e), RW_RAW_MAX_BYTES, &raw, &why) == SP_OK) {
		for (struct sp_bytes in = sp_buf_view(&raw); rw_next(&in, &series, &why) == SP_OK;)
			can += proves(&series, s->resume.at.before_ms, &v);
		wanted = can <= n ? k : (uint32_t)(((uint64_t)k * can / n + s->resume.proofs * SERIES_SPREAD) % can);
		for (struct sp_bytes in = sp_buf_view(&raw); !found && rw_next(&in, &series, &why) == SP_OK;)
			found = proves(&series, s->resume.at.before_ms, &v) && i++ == wanted;
	}
	if (found) {
		rw_add_series(&one, series.labels, &v, 1);
		sp_buf_clear(&s->witness);
		rw_compress(sp_buf_view(&one), &s->witness);
		found = sp_buf_ok(&one) && sp_buf_ok(&s->witness);
	}
	sp_buf_free(&one);
	sp_buf_free(&raw);
	return found;
}

/* Nothing proved the batch that is looked at, and what lies behind it must not be asked for before it. */
static void end_walk(struct shard *s)
{
	struct resume *r = &s->resume;
	if (r->there.seq == 0 || r->confirms) {
		give_up(s);
		return;
	}
	r->at = r->there;
	r->confirms = true;
	r->samples = r->refused = 0;
	if (r->proofs >= CONFIRM_REFUSED) {
		r->buries = true;
		r->at.seq = 0;
	}
}

static void noted(void *arg)
{
	struct shard *s = arg;
	struct resume *r = &s->resume;
	struct entry *e = r->active ? window_find(s->window, r->at.seq) : NULL;
	s->busy = false;
	if (s->dest->stopping || !r->active)
		return;
	if (e && !e->payload) { /* given back meanwhile, for memory: it is loaded again */
		destination_pump(s->dest);
		return;
	}
	if (e && r->buries) {
		r->batches++;
		r->dead += e->batch.samples;
		shard_bury(s, e, "maybe_duplicate", s->refusal_status, sp_buf_view(&s->refusal));
		r->at.seq = 0;
	} else if (e && take_sample(s, e, r->samples, r->confirms ? CONFIRM_SAMPLES : SAMPLES)) {
		s->block = sp_buf_view(&s->witness);
		s->samples = 1;
		s->seqs[0] = e->batch.seq;
		shard_post_part(s, REQUEST_RESUME, e->batch.seq, 0);
		return;
	} else {
		end_walk(s);
	}
	destination_pump(s->dest);
}

static void look_at_next(struct shard *s, const struct entry *e)
{
	struct resume *r = &s->resume;
	r->at = (struct resume_place){e->batch.seq, r->at.max_ms, e->batch.max_ms > r->at.max_ms ? e->batch.max_ms : r->at.max_ms};
	r->asked = e->batch.seq;
	r->samples = r->refused = 0;
}

static void said(const struct shard *s)
{
	sp_log(SP_LOG_WARN, "shard.resumed", sp_f_str("destination", s->dest->name), sp_f_u64("shard", s->index),
	    sp_f_u64("batches", s->resume.batches), sp_f_u64("dead_lettered", s->resume.dead),
	    sp_f_str("msg", "the receiver has these already, and takes no repeats"), SP_LOG_END);
}

bool resume_send(struct shard *s)
{
	struct resume *r = &s->resume;
	struct entry *e = r->at.seq ? window_find(s->window, r->at.seq) : window_after(s->window, r->buries ? 0 : r->asked);
	if (r->buries && (!e || e->batch.seq > r->there.seq)) {
		said(s);
		r->asked = r->there.seq;
		resume_end(s);
		return false;
	}
	if (!e || !may_be_there(e)) {
		end_walk(s);
		return r->active && resume_send(s);
	}
	if (r->buries)
		r->at.seq = e->batch.seq;
	else if (r->at.seq == 0)
		look_at_next(s, e);
	if (!window_load(s->window, e))
		return false;
	s->busy = true; /* what is buried waits for its turn as well: not all of it need be in memory */
	writer_note_decoding(s->dest->writer, e->batch.payload, noted, s);
	return true;
}

bool resume_answered(struct shard *s, enum ship_verdict verdict, struct sp_bytes words)
{
	struct resume *r = &s->resume;
	bool about_data = verdict == SHIP_DATA;
	if (!r->active)
		return about_data;
	if (!about_data && verdict != SHIP_DELIVERED) {
		r->failures += verdict == SHIP_KEEP; /* whoever is not there may come back */
		if (r->failures == FAILURES_MAX)
			give_up(s);
		return false;
	}
	r->failures = 0;
	r->samples++;
	if (about_data && order_says_newer(words)) {
		r->refused++;
		r->proofs++;
		if (!r->confirms) {
			r->there = r->at;
			r->at.seq = 0;
		} else if (r->refused == CONFIRM_REFUSED) {
			r->buries = true;
			r->at.seq = 0;
		}
	} else if (r->samples == (r->confirms ? CONFIRM_SAMPLES : SAMPLES)) {
		end_walk(s);
	}
	return about_data;
}
