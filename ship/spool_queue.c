/* Limits of the queues: what waits for one destination must not keep others from being served. */
#include "ship/spool.h"

#include "common/clock.h"
#include "common/log.h"
#include "ship/spool_impl.h"

/* A queue has room again when this long nothing was without. */
#define FULL_OVER_MS 3000
/* While the spool is this full, a destination that drops has a quarter of its queue: what it keeps must not get others refused. */
#define TIGHT_PART 8
#define TIGHT_QUEUE_PART 4

struct writer_totals *spool_change(struct spool *sp, uint32_t dest)
{
	struct spool_dest *d = &sp->dests[dest];
	if (!d->changed)
		sp->changes[sp->n_changes++] = dest;
	d->changed = true;
	return &d->totals;
}

uint32_t spool_next_change(struct spool *sp)
{
	if (!sp->n_changes)
		return 0;
	uint32_t dest = sp->changes[--sp->n_changes];
	sp->dests[dest].changed = false;
	return dest;
}

static uint64_t lost(const struct spool_dest *d)
{
	return d->drops ? d->totals.dropped : d->totals.refused;
}

static void begins(struct spool *sp, uint32_t dest)
{
	struct spool_dest *d = &sp->dests[dest];
	spool_change(sp, dest)->full = true;
	d->full_since_ms = sp_mono_now().ms;
	d->lost_before = lost(d);
	sp_log(SP_LOG_WARN, "queue.full", sp_f_str("destination", d->name), sp_f_u64("queued_bytes", d->totals.bytes),
		sp_f_u64("queue_max", d->totals.queue_max),
		sp_f_str("msg", d->drops ? "its newest data is dropped until there is room" : "deliveries that concern it get 503 until there is room"),
		SP_LOG_END);
}

static uint64_t limit(const struct spool *sp, const struct spool_dest *d)
{
	uint64_t most = d->totals.queue_max;
	if (d->drops && sp->used_bytes + sp->tx.reserved_bytes > sp->max_bytes - sp->max_bytes / TIGHT_PART)
		most /= TIGHT_QUEUE_PART;
	return d->totals.full ? most - most / 16 : most; /* a low mark, so that it does not flutter */
}

bool queue_takes(struct spool *sp, uint32_t dest, uint64_t bytes)
{
	struct spool_dest *d = &sp->dests[dest];
	/* An empty queue takes one delivery of any size, or it could never be stored. */
	if (!d->totals.queue_max || !d->totals.bytes || d->totals.bytes + bytes <= limit(sp, d))
		return true;
	if (!d->totals.full)
		begins(sp, dest);
	d->full_at_ms = sp_mono_now().ms;
	spool_change(sp, dest)->refused += !d->drops;
	return false;
}

void queues_look(struct spool *sp)
{
	for (uint32_t dest = 1; dest <= sp->max_dest; dest++) {
		struct spool_dest *d = &sp->dests[dest];
		int64_t now_ms = sp_mono_now().ms;
		if (!d->totals.full || d->totals.bytes > limit(sp, d) || now_ms - d->full_at_ms < FULL_OVER_MS)
			continue;
		spool_change(sp, dest)->full = d->committed.full = false;
		sp_log(SP_LOG_INFO, "queue.has_room", sp_f_str("destination", d->name),
			sp_f_i64("seconds", (now_ms - d->full_since_ms) / 1000),
			sp_f_u64(d->drops ? "dropped_samples" : "refused_deliveries", lost(d) - d->lost_before), SP_LOG_END);
	}
}
