#include "ship/send/destination_impl.h"

/* One in so many failed probes (an even number) takes that sample from the newest batch of all. */
#define FAR_WITNESS_EVERY 16

/* False when there is none. */
static bool make_witness(struct shard *s, const struct entry *e)
{
	struct sp_buf raw = {0}, one = {0};
	struct sp_why why;
	struct rw_series series;
	struct rw_sample v, newest = {INT64_MIN, 0};
	bool made = rw_uncompress(entry_block(e), RW_RAW_MAX_BYTES, &raw, &why) == SP_OK;
	struct sp_bytes in = sp_buf_view(&raw);
	made = made && rw_next(&in, &series, &why) == SP_OK;
	if (made) {
		while (rw_next_sample(&series.samples, &v))
			newest = v.ms >= newest.ms ? v : newest;
		rw_add_series(&one, series.labels, &newest, 1);
		sp_buf_clear(&s->witness);
		rw_compress(sp_buf_view(&one), &s->witness);
	}
	sp_buf_free(&one);
	sp_buf_free(&raw);
	return made;
}

static void witness_noted(void *arg)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->seqs[0]);
	s->busy = false;
	if (d->stopping)
		return;
	if (!e || !e->payload || !make_witness(s, e)) { /* purged meanwhile, or damaged: the next probe, after a pause as always, may find another */
		health_rejects_everything(&d->health, d->health.epoch, NULL);
		return;
	}
	s->n = 0;
	s->block = sp_buf_view(&s->witness);
	s->samples = 1;
	shard_post_part(s, REQUEST_WITNESS, e->batch.seq, d->health.failures);
}

bool shard_send_witness(struct shard *s)
{
	bool far = s->dest->health.failures % FAR_WITNESS_EVERY == 0;
	struct entry *e = window_newest(s->window, far ? INT64_MAX : destination_horizon(s->dest));
	if (!e)
		return false;
	if (!window_load(s->window, e))
		return true;
	s->seqs[0] = e->batch.seq;
	s->busy = true;
	health_sent(&s->dest->health);
	writer_note_decoding(s->dest->writer, e->batch.payload, witness_noted, s);
	return true;
}
