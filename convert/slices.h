/* slices - the payload of one group: series one after another, cut into remote-write 1.0 bodies (snappy) for one shard
 * of one lane each.
 *
 * A slice stays within the group's limits for samples, raw bytes and compressed bytes, except that a single series with one
 * sample is never refused; a series of more samples than fit goes out in pieces. One thread. The buffers are reused.
 */
#ifndef CONVERT_SLICES_H
#define CONVERT_SLICES_H

#include "convert/delivery.h"
#include "convert/mapping.h"
#include "proto/remote_write.h"

struct slices {
	uint32_t max_samples;
	size_t max_bytes, max_raw_bytes;
	struct sp_buf raw, payload;
	struct rw_totals open; /* what raw holds so far */
	uint32_t lane, shard;  /* of it */
	const char *dead_reason; /* of the slices being written; set between slices_close and slices_add */
	struct convert_slice *v;
	size_t n, cap;
	uint64_t samples;
};

/* budget bounds the payload. */
void slices_init(struct slices *s, const Standpipe__Group *group, size_t budget);
void slices_free(struct slices *s);
/* Gives back what usual deliveries do not need; what was made is gone. */
void slices_rest(struct slices *s);
void slices_begin(struct slices *s); /* of a delivery */
/* What follows is for this shard of this lane. All three: SP_NO_MEM when the budget is spent. */
SP_CHECKED enum sp_status slices_shard(struct slices *s, uint32_t lane, uint32_t shard);
/* Samples ascending; series: what is added to the metric's name and labels. */
SP_CHECKED enum sp_status slices_add(struct slices *s, const struct mapped *m, const struct naming_series *series,
	const struct rw_sample *v, size_t n);
SP_CHECKED enum sp_status slices_close(struct slices *s);

#endif
