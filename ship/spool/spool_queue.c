/* Limits of the queues: what waits for one destination must not keep others from being served. */
#include "ship/spool/spool.h"

#include "common/clock.h"
#include "common/log.h"
#include "ship/spool/spool_impl.h"

/* A queue has room again when this long nothing was without. */
#define FULL_OVER_MS 3000
/* While the spool is this full, a destination that drops has a quarter of its queue: what it keeps must not get others
 * refused. */
#define TIGHT_PART 8
#define TIGHT_QUEUE_PART 4
/* A lane may grow until it has this many times the room that is left for the others. */
#define LANE_ROOMS 8

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

void queue_add(struct spool *sp, uint32_t dest, int64_t bytes)
{
	struct writer_totals *t = spool_change(sp, dest);
	if (bytes < -(int64_t)t->bytes) /* a damaged row says so */
		bytes = -(int64_t)t->bytes;
	t->bytes += (uint64_t)bytes;
	if (sp->dests[dest].parent)
		sp->dests[sp->dests[dest].parent].lanes_bytes += (uint64_t)bytes;
}

static bool drops(const struct spool_dest *d)
{
	return d->settings && strcmp(d->settings->on_full, "drop") == 0;
}

bool queue_drops(const struct spool *sp, uint32_t dest)
{
	return drops(&sp->dests[dest]);
}

static uint64_t lost(const struct spool_dest *d)
{
	return drops(d) ? d->totals.dropped : d->totals.refused;
}

/* The limit of a lane depends on the room that all lanes of its destination leave: one that is away may fill most of
 * the queue, several share it, and for those that are well there is always some. */
static uint64_t limit(const struct spool *sp, const struct spool_dest *d)
{
	const struct spool_dest *whole = d->parent ? &sp->dests[d->parent] : d;
	uint64_t most = whole->totals.queue_max;
	if (drops(d) && sp->used_bytes + sp->tx.reserved_bytes > sp->max_bytes - sp->max_bytes / TIGHT_PART)
		most /= TIGHT_QUEUE_PART;
	if (d->parent) {
		uint64_t waits = whole->totals.bytes + whole->lanes_bytes, room = most > waits ? most - waits : 0;
		most = (d->totals.bytes + room) / (LANE_ROOMS + 1) * LANE_ROOMS;
	}
	return d->totals.full ? most - most / 16 : most; /* a low mark, so that it does not flutter */
}

static void begins(struct spool *sp, uint32_t dest)
{
	struct spool_dest *d = &sp->dests[dest];
	sp_log(SP_LOG_WARN, "queue.full", sp_f_str("destination", d->name), sp_f_u64("queued_bytes", d->totals.bytes),
	    sp_f_u64("limit", limit(sp, d)),
	    sp_f_str("msg", drops(d) ? "its newest data is dropped until there is room"
				     : "deliveries that concern it get 503 until there is room"),
	    SP_LOG_END);
	spool_change(sp, dest)->full = true;
	d->full_since_ms = sp_mono_now().ms;
	d->lost_before = lost(d);
}

bool queue_has_room(const struct spool *sp, uint32_t dest, uint64_t bytes)
{
	const struct spool_dest *d = &sp->dests[dest];
	/* An empty queue takes one delivery of any size, or it could never be stored. */
	return !sp->dests[d->parent ? d->parent : dest].totals.queue_max || !d->totals.bytes ||
	       d->totals.bytes + bytes <= limit(sp, d);
}

bool queue_takes(struct spool *sp, uint32_t dest, uint64_t bytes)
{
	struct spool_dest *d = &sp->dests[dest];
	if (queue_has_room(sp, dest, bytes))
		return true;
	if (!d->totals.full)
		begins(sp, dest);
	d->full_at_ms = sp_mono_now().ms;
	spool_change(sp, dest)->refused += !drops(d);
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
		    sp_f_u64(drops(d) ? "dropped_samples" : "refused_deliveries", lost(d) - d->lost_before),
		    SP_LOG_END);
	}
}
