/* narrow - finds the samples of one batch that a receiver refuses, so that all others are delivered.
 *
 * Pure: it says what to send next and is told the answer. What is likely to be good goes first and in one piece; what
 * is expected to be refused (ship/send/known.h) goes last, and where that was proven again and again it is not taken apart:
 * the usual case costs one request beside the one that was refused. Otherwise series are halved down to one, then its
 * samples. Until something was accepted the largest pieces go first (one good piece proves the receiver well);
 * afterwards from front to back, so that a series' samples leave in order. A half whose brother was accepted although
 * both together were refused is split without being sent.
 *
 *   for (;;) switch (narrow_next(n, &piece)) {
 *   case NARROW_SEND:    send piece.block, then narrow_answer(n, ...)
 *   case NARROW_WITNESS: nothing of this batch was accepted yet; send another batch, and on 2xx call narrow_witness(n)
 *   case NARROW_DONE:    narrow_result(n, ...): settle the batch
 *   }
 *
 * A sample is condemned when it was refused alone and the receiver accepted something else: before that, since the
 * narrowing began, when it refused with 400, 409, 422 or 413; when it answered 5xx or 429, six times, and each time it
 * accepted something right afterwards (a sample that is known to be good is sent once more as control; once will do
 * where such answers have proven to mean data). Or when the receiver says that it came late, and so it did. Or without
 * being sent, when its like were refused so again and again (known.h). An answer that is no refusal leaves the piece
 * where it is.
 */
#ifndef SHIP_NARROW_H
#define SHIP_NARROW_H

#include "proto/remote_write.h"
#include "ship/spool/batch.h"
#include "ship/send/known.h"
#include "ship/send/verdict.h"

/* From one series that is tried to the next: a prime, because series beside each other are of one metric, and often of one fate. */
#define SERIES_SPREAD 7919u

struct narrow;

enum narrow_step { NARROW_WITNESS = 0, NARROW_SEND, NARROW_DONE };

struct narrow_rules {
	int status; /* of the answer to the whole batch */
	struct sp_bytes words;
	bool suspect; /* that was 429 or 5xx, again and again: an answer like it counts as refusal */
	bool probe;   /* first one sample alone, to see whether it is the receiver that is ill */
	bool too_big; /* that was 413: nothing in it need be bad */
	size_t max_bytes; /* no need to try more in one piece, as far as can be told; 0: unknown */
	bool maybe_delivered;
	bool no_repeat; /* nothing else can vouch for the receiver without overtaking: some single samples are tried before */
	unsigned max_requests; /* then, once something was accepted, what is not known is given up; 0: never */
	size_t max_raw;	       /* bytes of the decoded batch */
};

struct narrow_piece {
	struct sp_bytes block; /* lives until the next call */
	uint32_t samples;
};

/* known may be NULL, and must outlive n. SP_BAD_DATA when the batch is no remote-write body. */
SP_CHECKED enum sp_status narrow_new(struct sp_bytes block, const struct narrow_rules *rules, struct known *known,
    struct narrow **out, struct sp_why *why);
void narrow_free(struct narrow **n);
enum narrow_step narrow_next(struct narrow *n, struct narrow_piece *out);
/* Nothing must be sent any more. Then narrow_next says so, too. */
bool narrow_is_done(struct narrow *n);
/* Was that answer one about data? False: it was about the receiver, wait and ask narrow_next again. */
bool narrow_answer(struct narrow *n, enum ship_verdict verdict, bool suspicious, int status, struct sp_bytes words);
/* The receiver took another batch; or a sample for which we asked, because this one was refused. */
void narrow_witness(struct narrow *n);
void narrow_control(struct narrow *n);
/* With max_requests, once something was accepted: what is not known is no longer looked for. Those samples become dead
 * letters, partly_refused; the receiver has stored what was good of them. Else false, and nothing changes. Not while a
 * piece is out. */
bool narrow_give_up(struct narrow *n);
/* Did the receiver accept what it had refused with 429 or 5xx? Then such answers say nothing about data. */
bool narrow_doubted(const struct narrow *n);
/* Is it asked with single samples whether it is the batch or the receiver? */
bool narrow_is_probing(const struct narrow *n);
/* Probes of a suspect batch that failed so far; 0 when it is known who is ill. */
unsigned narrow_failed_probes(const struct narrow *n);
/* Samples that were accepted, and the others as dead letters (dest, shard and seq are the caller's to fill). Views live
 * as long as n. SP_NO_MEM: try again later. */
SP_CHECKED enum sp_status narrow_result(
    struct narrow *n, uint64_t *delivered, struct dead_letter **dead, size_t *n_dead, struct sp_why *why);

#endif
