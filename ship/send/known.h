/* known - what was found out about a receiver's series while batches were narrowed down, so that the next refused batch
 * costs few requests: the newest time that each series delivered, and what is refused again and again (samples that
 * come late to a receiver without a window for them, series beyond a limit).
 *
 * Bounded, forgets, and says nothing rather than something wrong. Series are hashes of their labels; times are
 * milliseconds. One thread.
 */
#ifndef SHIP_KNOWN_H
#define SHIP_KNOWN_H

#include "common/bytes.h"

#define KNOWN_FORGET_MS 3600000

struct known;

struct known *known_new(void);
void known_free(struct known **k);
/* The number of a series in the calls below. */
uint64_t known_series(struct sp_bytes labels);
/* Monotonic; to be told before the others are called. k may be NULL in all that follows: then nothing is known. */
void known_clock(struct known *k, int64_t now_ms);
/* INT64_MIN: unknown. */
int64_t known_newest(const struct known *k, uint64_t series);
void known_delivered(struct known *k, uint64_t series, int64_t ms);
/* A sample was refused alone, so many times, by a receiver that took others. late: because it came late, says the receiver. */
void known_refused(struct known *k, uint64_t series, int64_t ms, unsigned times, bool late);
/* Is this sample likely to be refused? */
bool known_expects_refusal(const struct known *k, uint64_t series, int64_t ms);
/* ... so surely that the refusal of a few of its like is enough: samples like it (of this series; or as late as this)
 * were refused alone several times within the last hour, and none was taken since; nor was one of another series of which there
 * was such a proof. */
bool known_proves_refusal(const struct known *k, uint64_t series, int64_t ms);
/* The latter of the two: whatever else the receiver does now, it will not take this sample. */
bool known_proves_late(const struct known *k, uint64_t series, int64_t ms);
/* 429 and 5xx as refusals of data: `kind` is that of the receiver's words (known_kind). A sample was answered so every time, and
 * others in between were taken. */
void known_heard_load(struct known *k, uint64_t kind);
/* What had been answered so was taken after all. */
void known_doubts_load(struct known *k);
/* The first happened several times, and the second not since. */
bool known_trusts_load(const struct known *k, uint64_t kind);
/* Answers of a kind have the same status and the same words, without numbers and without what they quote. */
uint64_t known_kind(int status, struct sp_bytes words);
/* Another number each time: where to begin with what is tried. */
uint32_t known_turn(struct known *k);
/* Samples of whose refusal there is proof are not tried in some batches after each trial. False: it is time for one. */
bool known_may_skip(const struct known *k);
void known_skipped(struct known *k);

#endif
