/* compose - the body of one request, out of batches of one shard.
 *
 * A body lies in buf, or, when it is one batch as it is, in that batch's payload: whoever sends it holds both until the answer came.
 */
#ifndef SHIP_COMPOSE_H
#define SHIP_COMPOSE_H

#include "ship/window.h"

struct composed {
	struct sp_bytes body;
	size_t n; /* batches that are in it, of those that were given: the first n */
	uint64_t samples;
};

/* All entries have their payloads. At least the first is taken: alone when they cannot be joined (memory is short, or one of them is
 * damaged, which is found out when that one goes alone). */
struct composed compose_batches(struct entry *const *entries, size_t n, struct sp_buf *buf);

#endif
