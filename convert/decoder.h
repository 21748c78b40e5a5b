/* decoder - the decoders of a delivery's records, and what they share: where points go, where bad pieces go, what was counted.
 *
 * Nothing a sender writes makes a decoder fail: what cannot be used is handed to `bad` and the rest goes on. The only status but SP_OK
 * is SP_NO_MEM: the arena's budget is spent.
 * One thread. Points hold views of the record and of the arena.
 */
#ifndef CONVERT_DECODER_H
#define CONVERT_DECODER_H

#include "convert/gunzip.h"
#include "convert/point.h"

/* What a piece must be wrapped in to be decoded by itself, when something has changed. */
enum piece_form {
	PIECE_PART = 0, /* nothing would do: it is a part of a message, or no data at all */
	PIECE_RECORD,	/* nothing: it can be a record */
	PIECE_MESSAGE,	/* its length before it */
	PIECE_BODY,	/* nothing: it is a whole delivery */
};

struct decoder {
	struct sp_arena *arena;
	struct cw_points *points;
	struct gunzip *gunzip; /* for records that are compressed once more */
	/* A piece that is set aside: a stable word, its place in the record, a sentence or NULL. The views last as long as the record. */
	void (*bad)(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
	    const char *text);
	void *arg;
	/* Counters only grow. */
	uint64_t messages, points_of[CW_FORMATS], demo;
	uint64_t dropped_values; /* NaN, quantiles out of range, repeated keys, values over a limit, bytes that are not UTF-8 */
};

#define RECORD_MAX_BYTES ((size_t)16 << 20)

/* One Firehose record, already out of its base64. Compressed ones are inflated first. JSON lines or framed OTLP is decided per record,
 * 0.7 or 1.0 per point, because a stream whose format was switched mixes them. Firehose's demo records and CloudWatch Logs' control
 * messages are passed over, other JSON is set aside. Reasons given to `bad`: record_too_big, bad_gzip, bad_frame, bad_message, too_deep,
 * bad_json, bad_point, no_time, no_name, not_cloudwatch, foreign. A message with a fault in it is set aside as a whole, the others of
 * its record are kept. */
SP_CHECKED enum sp_status record_decode(struct decoder *d, struct sp_bytes record);
/* One OTLP ExportMetricsServiceRequest as CloudWatch writes it, versions 0.7 and 1.0 alike, at `offset` of its record. A malformed message
 * leaves no trace: its points are undone and the whole of it is set aside. */
SP_CHECKED enum sp_status otlp_decode(struct decoder *d, struct sp_bytes message, uint64_t offset);
/* A record of the JSON format: objects one after the other, usually one a line. A value that cannot be read is set aside from its start to
 * the end of its line and reading goes on there. */
SP_CHECKED enum sp_status cwjson_decode(struct decoder *d, struct sp_bytes record);
/* CloudWatch's StandardUnit ("Bytes/Second") in the spelling of its OTLP formats ("By/s"), letters of any case. Unknown units stay as they
 * are. The result is static or the argument itself. */
struct sp_bytes units_otlp(struct sp_bytes standard);

#endif
