/* attributes - Firehose's common attributes: {"commonAttributes": {"NAME": "VALUE", ...}} in a header of each request
 * (specification: Firehose HTTP endpoint delivery 1.0).
 *
 * They say something about a delivery and are never needed to keep it: what cannot be read is left out and counted. Numbers
 * and booleans are taken as text. One thread.
 */
#ifndef CONVERT_ATTRIBUTES_H
#define CONVERT_ATTRIBUTES_H

#include "common/arena.h"

/* AWS' limits; what lies beyond is left out. */
#define ATTRIBUTES_MAX 50
#define ATTRIBUTE_NAME_CHARS 256
#define ATTRIBUTE_VALUE_CHARS 1024

struct attribute {
	struct sp_bytes name, value; /* UTF-8 */
};

struct attributes {
	struct attribute v[ATTRIBUTES_MAX];
	size_t n;
	uint64_t left_out;   /* attributes, or 1 for the whole header */
	const char *why_out; /* words for the first of them; NULL: all is well */
};

/* Views into header and arena. An empty header has no attributes. SP_NO_MEM when the arena is spent. */
SP_CHECKED enum sp_status attributes_read(struct sp_bytes header, struct sp_arena *arena, struct attributes *out);
/* The value, by name without regard to case; empty when it is not there. */
struct sp_bytes attributes_get(const struct attributes *a, struct sp_bytes name);

#endif
