/* recent - the batches that a receiver took lately, kept for the case that it refuses one: then they tell how new the samples are that
 * each series delivered (ship/send/known.h), without a look into batches as long as all is well; and a repeat of one sample
 * shows whether the receiver takes anything.
 *
 * Bounded in bytes and in time; what has gone is not known. What is decoded here was delivered: no note is made of it before. One thread.
 */
#ifndef SHIP_RECENT_H
#define SHIP_RECENT_H

#include "ship/send/known.h"
#include "ship/spool/batch.h"

struct recent {
	struct recent_batch *ring; /* NULL: empty */
	size_t front, n, bytes;
};

/* Takes a reference to the payload. max_bytes: of all that is kept. */
void recent_add(struct recent *r, const struct batch *b, struct payload *p, int64_t now_ms, size_t max_bytes);
/* What this destination (or lane) delivered since this was asked last. */
void recent_tell(struct recent *r, uint32_t dest, struct known *k);
/* A body with the newest sample of one series, out of what it took last: it should take that again. False: there is none. */
bool recent_repeat(const struct recent *r, uint32_t dest, struct sp_buf *out);
/* Lets go of what is too old to be of use. */
void recent_forget(struct recent *r, int64_t now_ms);
void recent_free(struct recent *r);

#endif
