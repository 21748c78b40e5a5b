/* resume - finds out how much of a shard's queue a receiver has already, when nobody knows whether a request arrived.
 *
 * A request with several samples of a series that arrived, and is sent again, is refused by a receiver without an out-of-order window,
 * all of it: no single sample of it is bad. To take each batch apart would cost a request a sample. Instead single samples prove that a
 * batch is there:
 *
 * The sample is at least as new as all that was delivered before and all that lies before its batch, and the only one of its series in
 * the batch. The receiver refuses it because its series has a newer one. So a later batch has arrived; and as requests are made of the
 * oldest batches and stored as a whole or not at all, this one came with it, and all before it.
 *
 * An accepted sample proves nothing: it is new, or a repeat of the newest. It overtakes nothing either. So one batch after the other is
 * asked for some samples, until one has nothing to prove it; three series must prove something. Those batches are dead letters then
 * (`maybe_duplicate`): another sender of the same series could have been ahead, or ship was killed while a batch had overtaken this
 * one, which was being narrowed down. All others are narrowed down when they are refused.
 *
 * Only for receivers where a refused request leaves nothing behind, and while no batch has stepped aside for others.
 */
#ifndef SHIP_RESUME_H
#define SHIP_RESUME_H

#include "ship/send/http_client.h"

struct shard;
struct entry;

/* A batch that is looked at. */
struct resume_place {
	uint64_t seq;
	int64_t before_ms; /* the newest sample of what was delivered, and of what lies before it */
	int64_t max_ms;
};

struct resume {
	bool active, confirms, buries;
	uint64_t first;		/* seq of the batch that was refused */
	uint64_t asked;		/* nothing up to this one is looked at again */
	struct resume_place at; /* seq 0: the next one is due */
	struct resume_place there; /* the newest that was proven; seq 0: none */
	unsigned samples, refused; /* of `at` */
	unsigned proofs;	/* of all batches */
	unsigned failures;	/* requests in a row that came to nothing */
	uint64_t batches, dead; /* buried, and their samples */
};

/* A batch that was perhaps delivered before is refused. False: there is nothing to find out. */
bool resume_begin(struct shard *s, const struct entry *e);
/* Sends the next sample, or takes the next step; false when it cannot now. */
bool resume_send(struct shard *s);
/* What became of it; true when the answer was about data. */
bool resume_answered(struct shard *s, enum ship_verdict verdict, struct sp_bytes words);
void resume_end(struct shard *s);

#endif
