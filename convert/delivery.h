/* delivery - one Firehose body from bytes to remote-write batches: gunzip, envelope, base64, decode, map, encode.
 *
 * Never fails for what the sender did: an envelope that cannot be understood is a refusal (out->http_status), a bad
 * record or point becomes a quarantine item and the rest goes on. SP_NO_MEM means the arena's budget is spent (answer
 * "not now"). Views in *out live until the next call. One thread.
 */
#ifndef CONVERT_DELIVERY_H
#define CONVERT_DELIVERY_H

#include "common/metrics.h"
#include "convert/decoder.h"
#include "proto/standpipe.pb-c.h"

struct convert_in {
	struct sp_bytes body; /* as received */
	bool gzip;
	size_t max_inflated;
	bool has_request_id;
	struct sp_bytes request_id, source_arn, common_attributes;
	struct sp_bytes key_name; /* chooses the groups, and may be a lane */
	int64_t now_ms; /* own clock; the envelope's timestamp guards against a slow one */
};

struct convert_slice {
	uint32_t shard, len, raw_len, series, samples;
	uint64_t off;
	int64_t min_ms, max_ms;
	const char *dead_reason; /* not NULL: these samples become dead letters, no receiver is asked */
	uint32_t lane;           /* place in the group's lanes, when it has any */
};

/* Samples of one tenant. */
struct convert_lane {
	struct sp_bytes name; /* empty: the sender gave no usable one */
	uint64_t merged, dropped;
};

/* A number for the metrics. */
struct convert_count {
	enum sp_metric metric;
	const char *label; /* NULL: the metric has none */
	uint64_t n;
};

struct convert_group {
	uint32_t id;
	struct sp_bytes payload;
	const struct convert_slice *slices;
	size_t n_slices;
	uint64_t samples;
	uint64_t merged;      /* of a group without lanes */
	uint64_t dropped;     /* likewise: samples older than the group's max_age */
	const struct convert_lane *lanes;
	size_t n_lanes;       /* 0: the group's destinations have none */
	struct sp_bytes info; /* what the metrics are (proto/info.h) */
	const struct convert_count *counts; /* what filters and rules did */
	size_t n_counts;
};

struct convert_quarantine {
	const char *reason;
	enum piece_form form;
	int record; /* -1: whole body */
	uint64_t offset, pieces;
	struct sp_bytes bytes;
	const char *text;
};

struct convert_out {
	int http_status; /* 0: fine; else refused with code and text */
	const char *code;
	char text[512];
	struct sp_bytes request_id; /* to echo */
	uint64_t records, messages, points[CW_FORMATS], samples, demo, quarantined;
	uint64_t attributes_left_out;
	const char *attributes_text; /* why the first of them was; NULL: all is well */
	uint64_t dropped_values; /* NaN, quantiles out of range, repeated keys */
	struct sp_bytes account; /* of the first point */
	int64_t sent_ms;         /* envelope's timestamp, 0 when none */
	const struct cw_point *arrived; /* those that were taken */
	size_t n_arrived;
	const struct convert_group *groups;
	size_t n_groups;
	const struct convert_quarantine *quarantine;
	size_t n_quarantine;
};

struct converter;

struct sketches;
struct converter *converter_new(size_t memory_budget);
void converter_free(struct converter **c);
/* Copies the plan; caches of the former one are dropped. A plan that cannot be followed leaves the former in force. */
SP_CHECKED enum sp_status converter_plan(struct converter *c, const Standpipe__Plan *plan, struct sp_why *why);
/* The series made since the plan came or sketches_clear: of the groups of the plan. */
struct sketches *converter_sketches(struct converter *c);
/* The results of the last run are not needed any more: gives back the memory that only a large delivery takes. */
void converter_rest(struct converter *c);
SP_CHECKED enum sp_status converter_run(
    struct converter *c, const struct convert_in *in, struct convert_out *out, struct sp_why *why);
#endif
