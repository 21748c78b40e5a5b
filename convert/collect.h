/* collect - a point while it is decoded: its dimensions and statistics gathered, kept sorted and unique, and bounded.
 *
 * Of equal names or quantiles the first counts. What is left out is counted in `dropped`. Lives on the stack for one point.
 */
#ifndef CONVERT_COLLECT_H
#define CONVERT_COLLECT_H

#include "convert/decoder.h"

#define COLLECT_DIMS 64 /* CloudWatch allows 30 */
#define COLLECT_STATS 64 /* percentiles, and as many other statistics; CloudWatch allows 20 together */
#define COLLECT_NAME_BYTES 1024
#define COLLECT_VALUE_BYTES 16384

struct collect {
	struct cw_dim dims[COLLECT_DIMS];
	struct cw_quantile quantiles[COLLECT_STATS];
	struct cw_extra extras[COLLECT_STATS];
	uint16_t n_dims, n_quantiles, n_extras;
	uint8_t has;
	double count, sum, min, max;
	uint64_t dropped;
};

void collect_begin(struct collect *c);
/* The dimension of this name, or NULL. */
const struct cw_dim *collect_find(const struct collect *c, struct sp_bytes name);
void collect_dim(struct collect *c, struct sp_bytes name, struct sp_bytes value);
/* One of the four base statistics; NaN is left out. */
void collect_base(struct collect *c, enum cw_has which, double value);
/* 0 is the minimum, 1 the maximum. */
void collect_quantile(struct collect *c, double q, double value);
void collect_extra(struct collect *c, struct sp_bytes key, double value);
/* Adds the point to the decoder's. The caller fills in who and when. NULL: the arena is spent. */
struct cw_point *collect_point(const struct collect *c, struct decoder *d);

#endif
