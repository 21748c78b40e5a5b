/* generate - realistic CloudWatch metrics, the same for the same seed, so that whoever receives them can check every value.
 *
 * Series 0..n-1 have a point every minute. A point depends on the seed, the series and the minute alone. Late ones come with the next
 * minute's, newest first, as in real streams. One thread.
 */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "proto/cloudwatch.h"

/* So many neighbours are of one account and region, and have most of the metrics of each of their resources. */
#define GENERATE_BLOCK 504

struct generate {
	uint64_t seed;
	size_t series;
	int64_t start_ms;  /* of minute 0 */
	unsigned late_percent;
};

/* The point of a series in a minute. */
void generate_point(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point *out);
/* What a stream sends for a series in a minute: 0 to 2 points, newest first. */
size_t generate_sent(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point out[2]);
/* One JSON line that says everything about a point. */
void generate_expected(struct sp_buf *out, const struct cloudwatch_point *p);

#endif
