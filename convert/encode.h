/* encode - the points of a delivery become the slices of one group of the plan: remote write 1.0 bodies, one shard
 * of one lane each.
 *
 * Within a slice series are ordered by metric, so that snappy finds the names again, and a series occurs once, its
 * samples ascending. Equal series and time: the last to arrive wins, the others are counted as merged. Values that are
 * no number (NaN) become no sample. Points that a filter drops become nothing and are counted by rule, points older than the
 * group's max_age are counted as dropped samples. With relabelling rules each statistic of a point is a series by itself
 * (rewrite.h). What breaks a limit for labels goes into slices of its own with a dead_reason. A slice stays within the group's limits for samples, raw bytes and compressed
 * bytes, except that a single series with one sample is never refused here. One thread. The result lives until the next
 * run; the buffers are reused.
 */
#ifndef CONVERT_ENCODE_H
#define CONVERT_ENCODE_H

#include "convert/account_labels.h"
#include "convert/attributes.h"
#include "convert/delivery.h"

struct encoder;

/* budget bounds the payload and the names that are kept. SP_CONFIG when the group asks for what this release does not
 * know. */
SP_CHECKED enum sp_status encoder_new(
    const Standpipe__Group *group, size_t budget, struct encoder **out, struct sp_why *why);
void encoder_free(struct encoder **e);
/* Labels by account: once, before the first run; they must outlive the encoder. */
void encoder_accounts(struct encoder *e, const struct account_labels *accounts);
/* From now on the series made are noted in `sketches`, which must outlive the encoder. */
struct sketches;
void encoder_count(struct encoder *e, struct sketches *sketches);
/* After a large delivery: gives back what usual ones do not need. The last result is gone. */
void encoder_rest(struct encoder *e);
/* attributes: of the delivery, NULL when there are none; of `in` only its time and key name count. SP_NO_MEM when the arena
 * or the budget is spent. Leaves nothing in the arena. */
SP_CHECKED enum sp_status encoder_run(struct encoder *e, const struct cw_points *points,
	const struct attributes *attributes, const struct convert_in *in, struct sp_arena *arena, struct convert_group *out);

#endif
