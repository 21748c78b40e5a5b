#include "ship/send/resume.h"

#include "common/log.h"
#include "ship/send/destination_impl.h"

/* Samples of a batch that are heard, and how many of them must be refused. */
#define HEARINGS 16
#define HEARINGS_REFUSED 14
/* Answers in a row that say nothing about the sample. */
#define FAILURES_MAX 10

bool resume_begin(struct shard *s, const struct entry *e)
{
	uint32_t flags = e->batch.flags & (BATCH_MAYBE_DELIVERED | BATCH_AS_IT_IS);
	if (!s->dest->receiver->rolls_back || e->stored_rest || flags != BATCH_MAYBE_DELIVERED ||
	    e->batch.seq <= s->resume.refused)
		return false;
	resume_end(s);
	s->resume = (struct resume){.active = true, .first = e->batch.seq, .asked = e->batch.seq - 1};
	return true;
}

void resume_end(struct shard *s)
{
	s->resume.active = false;
	sp_buf_free(&s->resume.labels);
}

/* The series' newest sample in the batch becomes s->witness: of the given labels, or of the series with this number. */
static bool take_sample(struct shard *s, const struct entry *e, struct sp_bytes labels, uint32_t number)
{
	struct sp_buf raw = {0}, one = {0};
	struct rw_series series;
	struct rw_sample v, newest = {INT64_MIN, 0};
	struct sp_why why;
	bool found = false;
	if (rw_uncompress(entry_block(e), RW_RAW_MAX_BYTES, &raw, &why) == SP_OK) {
		struct sp_bytes in = sp_buf_view(&raw);
		for (uint32_t i = 0; !found && rw_next(&in, &series, &why) == SP_OK; i++)
			found = series.n_samples > 0 && (labels.n ? sp_eq(series.labels, labels) : i >= number);
	}
	if (found) {
		while (rw_next_sample(&series.samples, &v))
			newest = v.ms >= newest.ms ? v : newest;
		if (!s->resume.labels.n)
			sp_buf_add(&s->resume.labels, series.labels);
		rw_add_series(&one, series.labels, &newest, 1);
		sp_buf_clear(&s->witness);
		rw_compress(sp_buf_view(&one), &s->witness);
		found = sp_buf_ok(&one) && sp_buf_ok(&s->witness);
	}
	sp_buf_free(&one);
	sp_buf_free(&raw);
	return found;
}

/* Nothing was found out: the first batch is narrowed down like any other. */
static void give_up(struct shard *s)
{
	struct entry *e = window_find(s->window, s->resume.first);
	resume_end(s);
	if (e && e->state == ENTRY_QUEUED)
		shard_step_aside(s, e);
}

static void noted(void *arg)
{
	struct shard *s = arg;
	struct resume *r = &s->resume;
	struct entry *e = window_find(s->window, r->heard ? r->heard : r->asked);
	s->busy = false;
	if (s->dest->stopping || !r->active)
		return;
	struct sp_bytes labels = r->heard ? sp_bytes(NULL, 0) : sp_buf_view(&r->labels);
	if (e && e->payload && take_sample(s, e, labels, r->hearings * e->batch.series / HEARINGS)) {
		s->block = sp_buf_view(&s->witness);
		s->samples = 1;
		s->seqs[0] = e->batch.seq;
		shard_post_part(s, REQUEST_RESUME, e->batch.seq, 0);
		return;
	}
	if (r->heard)
		give_up(s);
	destination_pump(s->dest); /* the series is not in this batch */
}

bool resume_send(struct shard *s)
{
	struct resume *r = &s->resume;
	struct entry *e = r->heard ? window_find(s->window, r->heard) : window_after(s->window, r->asked);
	if (!e) {
		give_up(s);
		return false;
	}
	if (!window_load(s->window, e))
		return false;
	r->asked = r->heard ? r->asked : e->batch.seq;
	s->busy = true;
	writer_note_decoding(s->dest->writer, e->batch.payload, noted, s);
	return true;
}

static void bury_repeats(struct shard *s)
{
	struct entry *e;
	uint64_t batches = 0, samples = 0, seq = 0;
	while ((e = window_after(s->window, seq)) && e->batch.seq <= s->resume.refused && window_load(s->window, e)) {
		seq = e->batch.seq;
		if (!(e->batch.flags & BATCH_MAYBE_DELIVERED))
			continue;
		batches++;
		samples += e->batch.samples;
		shard_bury(s, e, "maybe_duplicate", s->refusal_status, sp_buf_view(&s->refusal));
	}
	sp_log(SP_LOG_WARN, "shard.resumed", sp_f_str("destination", s->dest->name), sp_f_u64("shard", s->index),
	    sp_f_u64("batches", batches), sp_f_u64("dead_lettered", samples),
	    sp_f_str("msg", "the receiver has these already, and takes no repeats"), SP_LOG_END);
}

static void judge(struct shard *s)
{
	struct resume *r = &s->resume;
	if (r->hearings < HEARINGS)
		return;
	if (r->refusals < HEARINGS_REFUSED) {
		give_up(s);
	} else if (r->heard == r->refused) {
		bury_repeats(s);
		resume_end(s);
	} else {
		r->heard = r->refused;
		r->hearings = r->refusals = 0;
	}
}

bool resume_answered(struct shard *s, bool accepted, bool refused)
{
	struct resume *r = &s->resume;
	if (!accepted && !refused) {
		r->asked -= !r->heard; /* the same once more */
		if (++r->failures == FAILURES_MAX)
			give_up(s);
		return false;
	}
	r->failures = 0;
	const struct entry *e = window_find(s->window, r->asked);
	if (r->heard) {
		r->refusals += refused;
		r->hearings++;
		judge(s);
	} else if (refused && e && !(e->batch.flags & BATCH_MAYBE_DELIVERED)) {
		give_up(s); /* it cannot be there */
	} else if (refused) {
		r->refused = r->asked;
	} else if (r->refused) {
		r->heard = r->first;
	} else { /* it has none of them: the batch was refused for itself */
		give_up(s);
	}
	return refused;
}
