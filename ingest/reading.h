/* reading - the body of one request while it comes in: its bytes, the memory taken from the budget for them, the chunks it may come in,
 * and the hash of everything that makes two deliveries the same one.
 *
 * reading_begin, then room and took (or feed, when it comes in chunks) until it is complete, then reading_hand_over, or
 * reading_drop at any time. One thread, the loop's.
 */
#ifndef INGEST_READING_H
#define INGEST_READING_H

#include "ingest/budget.h"
#include "ingest/pool.h"
#include "ingest/request.h"

/* Zero is "no body". Read by the connection, changed here. */
struct reading {
	struct budget *budget;
	size_t max; /* ingest.max_body */
	uint8_t *bytes;
	size_t n, reserved;
	size_t seen; /* n at the last look for a stall */
	struct chunked *chunked;
	enum refusal refusal; /* what reading_feed has against it */
	void *hash; /* XXH3_state_t, for the delivery key */
};

/* Reserves the body's length, or nothing yet when it comes in chunks. REFUSE_MEMORY when the budget is spent. */
enum refusal reading_reserve(struct reading *r, struct budget *budget, size_t max, size_t length);
void reading_begin(struct reading *r, const struct request *q, struct sp_bytes head);
/* Where to read to: the whole of what is missing. A body of known length is complete when that is nothing. */
uint8_t *reading_room(const struct reading *r, size_t *room);
void reading_took(struct reading *r, size_t n);
/* *used: bytes of data that belonged to this body. CHUNKED_BAD: r->refusal says why. */
enum chunked_state reading_feed(struct reading *r, struct sp_bytes data, size_t *used);
/* Did fewer than `least` bytes come since the last look? */
bool reading_stalls(struct reading *r, int64_t least);
/* The body and its key become the delivery's, which gives the bytes back to the budget. */
void reading_hand_over(struct reading *r, struct delivery *d);
void reading_drop(struct reading *r);

#endif
