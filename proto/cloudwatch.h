/* cloudwatch - payloads as CloudWatch metric streams make them, for the generator and for tests. The other direction is convert's.
 *
 * Follows what real streams do: fields in ascending order, defaults left out (a zero sum is absent, a minimum of zero is an empty
 * sub-message), one dimension set per metric entry, its points newest first. Errors stick in the buffer. Any thread.
 */
#ifndef PROTO_CLOUDWATCH_H
#define PROTO_CLOUDWATCH_H

#include "common/bytes.h"

#define CLOUDWATCH_DIMS_MAX 8
#define CLOUDWATCH_QUANTILES_MAX 8

enum cloudwatch_format { CLOUDWATCH_OTLP07, CLOUDWATCH_OTLP10, CLOUDWATCH_JSON };

struct cloudwatch_point {
	uint64_t series; /* neighbours with the same number share a metric entry */
	const char *account, *region, *ns, *metric, *unit; /* unit in OTLP spelling */
	const char *dim_names[CLOUDWATCH_DIMS_MAX]; /* sorted */
	char dim_values[CLOUDWATCH_DIMS_MAX][64];
	size_t n_dims;
	int64_t start_ms; /* the minute's begin */
	uint64_t count;
	double sum, min, max;
	double quantiles[CLOUDWATCH_QUANTILES_MAX][2]; /* q strictly between 0 and 1, ascending; value */
	size_t n_quantiles;
};

/* Appends one Firehose record's bytes: OTLP messages, each behind its length, a new one where account or region change; or JSON lines. */
void cloudwatch_record(struct sp_buf *out, enum cloudwatch_format format, const struct cloudwatch_point *points, size_t n);

/* Firehose's JSON envelope around records, in its exact layout. */
void cloudwatch_body(struct sp_buf *out, const char *request_id, int64_t timestamp_ms, const struct sp_bytes *records, size_t n);

#endif
