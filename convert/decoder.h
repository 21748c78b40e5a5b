/* decoder - what the decoders of a delivery's records share: where points go, where bad pieces go, what was counted.
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

#endif
