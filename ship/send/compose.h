/* compose - the body of one request, out of batches of one shard or a part of one.
 *
 * A body lies in buf, or, when it is one that there is already, where that lies: whoever sends it holds both until the answer came.
 * A composer is the memory that it takes, for any number of shards. One thread, the loop's.
 */
#ifndef SHIP_COMPOSE_H
#define SHIP_COMPOSE_H

#include "ship/send/window.h"

#define COMPOSE_GAIN_MAX 8

struct composer;

struct composed {
	struct sp_bytes body;
	enum rw_version version; /* 1.0 also where 2.0 was wanted of what cannot be read (or memory is short) */
	size_t n;		 /* batches that are in it, of those that were given: the first n */
	uint64_t samples; /* in it: fewer than those of its batches where some were merged away */
};

struct composer *composer_new(void);
void composer_free(struct composer **c);

/* All entries have their payloads. As many of them as the limits on bytes allow are put behind each other, or, in a backlog, merged:
 * each series once, in order of time, of equal times the later batch's sample. At least the first is taken: alone when they cannot be
 * joined (memory is short, or one of them is damaged, which is found out when that one goes alone). */
struct composed compose_batches(struct composer *c, struct entry *const *entries, size_t n,
    const struct window_limits *l, enum rw_version version, struct sp_buf *buf);
/* How many times the limits on bytes it is worth to give: merging made so much less of the last backlog. */
size_t composer_gain(const struct composer *c);
/* block: samples of the entry's batch, or of what was one. The entry may be NULL. */
struct composed compose_part(struct composer *c, const struct entry *e, struct sp_bytes block, uint64_t samples,
    enum rw_version version, struct sp_buf *buf);

#endif
