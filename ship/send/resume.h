/* resume - finds out how much of a shard's queue a receiver has already, when nobody knows whether a request arrived.
 *
 * A request with several samples of a series that arrived, and is sent again, is refused by a receiver without an out-of-order window,
 * all of it: no single sample of it is bad. Instead of taking each batch apart, one series' samples are sent alone, batch by batch. Up
 * to some batch they are refused, and then one is accepted: it is the last that the receiver has, as a repeat, or the first it has not.
 * Nothing is overtaken by that, and what came in the same requests as the refused ones is there as well. Because the series may have
 * been late by itself, some more samples of the first and of the last refused batch are heard, from all over them; nearly all must be
 * refused.
 *
 * Only for receivers where a refused request leaves nothing behind.
 */
#ifndef SHIP_RESUME_H
#define SHIP_RESUME_H

#include "common/bytes.h"

struct shard;
struct entry;

struct resume {
	bool active;
	uint64_t first;   /* seq of the batch that was refused */
	uint64_t asked;   /* of the last batch that was looked at */
	uint64_t refused; /* of the newest one whose sample was refused */
	struct sp_buf labels; /* of the series */
	uint64_t heard; /* the batch whose samples are heard, once one of a later batch was accepted: `first`, then `refused` */
	unsigned hearings, refusals;
	unsigned failures; /* requests in a row that came to nothing */
};

/* A batch that was perhaps delivered before is refused. False: there is nothing to find out. */
bool resume_begin(struct shard *s, const struct entry *e);
/* Sends the next sample; false when it cannot now. */
bool resume_send(struct shard *s);
/* What became of it; true when the answer was about data. */
bool resume_answered(struct shard *s, bool accepted, bool refused);
void resume_end(struct shard *s);

#endif
