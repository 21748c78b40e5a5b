#include "ship/send/destination_impl.h"

/* One in so many failed probes (an even number) takes that sample from the newest batch of all. */
#define FAR_WITNESS_EVERY 16
#define WITNESS_PAUSE_MS 10000
/* So many samples are tried one after the other, each of another series. */
#define WITNESS_ROUND 8

bool shard_send_repeat(struct shard *s)
{
	struct destination *d = s->dest;
	if (d->repeat_refused || !recent_repeat(&d->receiver->recent, d->id, &s->witness))
		return false;
	s->n = 0;
	s->block = sp_buf_view(&s->witness);
	s->samples = 1;
	shard_post_part(s, REQUEST_REPEAT, 0, 0);
	return true;
}

static void witness_noted(void *arg)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->seqs[0]);
	s->busy = false;
	if (d->stopping)
		return;
	uint32_t number = d->witnesses++ * SERIES_SPREAD % (e && e->batch.series ? e->batch.series : 1);
	/* Purged meanwhile, or damaged: the next probe, after a pause as always, may find another. */
	if (!e || !e->payload || !rw_newest_sample(entry_block(e), number, RW_RAW_MAX_BYTES, &s->witness)) {
		health_rejects_everything(&d->health, d->health.epoch, NULL);
		return;
	}
	s->n = 0;
	s->block = sp_buf_view(&s->witness);
	s->samples = 1;
	shard_post_part(s, REQUEST_WITNESS, e->batch.seq, d->health.failures);
}

bool witness_is_promising(const struct destination *d)
{
	return d->last_success.ms > 0 && d->newest_ms > d->reached_ms && d->newest_ms > d->witnessed_ms &&
	       sp_loop_now(d->loop).ms - d->witness_at.ms >= WITNESS_PAUSE_MS;
}

bool witness_round_goes_on(const struct destination *d)
{
	return d->witnesses % WITNESS_ROUND != 0;
}

bool shard_send_witness(struct shard *s)
{
	bool far = s->dest->health.failures % FAR_WITNESS_EVERY == 0;
	struct entry *e = witness_round_goes_on(s->dest) ? window_first(s->window, ENTRY_QUEUED)
							 : window_newest(s->window, far ? INT64_MAX : destination_horizon(s->dest));
	if (!e)
		return false;
	if (!window_load(s->window, e))
		return true;
	if (e->batch.max_ms > s->dest->witnessed_ms)
		s->dest->witnessed_ms = e->batch.max_ms;
	s->dest->witness_at = sp_loop_now(s->dest->loop);
	s->seqs[0] = e->batch.seq;
	s->busy = true;
	health_sent(&s->dest->health);
	writer_note_decoding(s->dest->writer, e->batch.payload, witness_noted, s);
	return true;
}
