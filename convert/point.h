/* point - what one CloudWatch data point says, whatever format carried it (specification: AWS metric streams, all formats).
 *
 * Views look into the record or the delivery's arena and live until the arena is reset. Bytes are as they came: cleaning
 * names is the mapping's work. Times are milliseconds since 1970 UTC.
 */
#ifndef CONVERT_POINT_H
#define CONVERT_POINT_H

#include "common/arena.h"
#include "common/bytes.h"

struct cw_dim {
	struct sp_bytes name, value;
};

/* A percentile given as quantile: q strictly between 0 and 1 (p99 is 0.99). */
struct cw_quantile {
	double q, value;
};

/* A statistic that only the JSON format has (TM, WM, TC, TS, PR, IQM, unknown ones): its key as spelled there. */
struct cw_extra {
	struct sp_bytes key;
	double value;
};

enum cw_has { CW_COUNT = 1, CW_SUM = 2, CW_MIN = 4, CW_MAX = 8 };

enum cw_format { CW_OTLP07, CW_OTLP10, CW_JSON, CW_FORMATS };

struct cw_point {
	struct sp_bytes account, region, stream; /* empty when unknown; stream = metric stream name */
	struct sp_bytes ns, metric, unit;        /* unit in OTLP spelling ("By/s"), empty when none */
	const struct cw_dim *dims;               /* sorted by name in byte order, names unique, no empty names */
	const struct cw_quantile *quantiles;     /* ascending, unique */
	const struct cw_extra *extras;
	uint16_t n_dims, n_quantiles, n_extras;
	uint8_t has;    /* enum cw_has */
	uint8_t format; /* enum cw_format */
	int64_t start_ms, end_ms;
	double count, sum, min, max;
};

/* The points of a delivery, in order of arrival. Grows in the arena. */
struct cw_points {
	struct cw_point *v;
	size_t n, cap;
};

/* A place for one more point (zeroed, already counted), or NULL when the arena's budget is spent. */
struct cw_point *cw_points_add(struct cw_points *points, struct sp_arena *arena);

#endif
