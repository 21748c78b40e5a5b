/* agree - one input given to the product's decoder and to one that was written by others: protobuf-c for OTLP, jansson for JSON.
 *
 * They must take and refuse the same inputs and read the same from them. Where they differ by design the difference has a name here,
 * and its cause must be seen in the input. Anything else is shown on stderr, and abort() is called.
 */
#ifndef TESTS_AGREE_H
#define TESTS_AGREE_H

#include "common/bytes.h"

enum agree {
	AGREE_ACCEPTED, /* by both, and they read the same */
	AGREE_REFUSED,  /* by both */
	/* OTLP */
	AGREE_GROUP,
	AGREE_WIRE_TYPE,
	AGREE_UNREAD,
	AGREE_PARTS,
	AGREE_BAD_NUMBER,
	AGREE_ONEOF,
	/* JSON */
	AGREE_REPEATED_KEY,
	AGREE_NUMBER_AS_TEXT,
	AGREE_BEYOND_DOUBLE,
	AGREE_NOT_UTF8,
	AGREE_NUL,
	AGREE_RESULTS,
};

extern const char *const agree_text[AGREE_RESULTS];

/* *points grows by the points, or records, that were compared. */
enum agree agree_otlp(struct sp_bytes message, uint64_t *points);
enum agree agree_cwjson(struct sp_bytes record, uint64_t *points);
enum agree agree_envelope(struct sp_bytes body, uint64_t *points);

#endif
