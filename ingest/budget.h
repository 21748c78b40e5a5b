/* budget - the bytes that bodies (until their jobs are settled) or heads may take, over all connections.
 *
 * A body's bytes are reserved when its head is accepted, so that what cannot be held is refused before it is read. One thread.
 */
#ifndef INGEST_BUDGET_H
#define INGEST_BUDGET_H

#include "common/status.h"

#include <stddef.h>

struct budget {
	size_t max, used;
};

static inline bool budget_take(struct budget *b, size_t n)
{
	if (n > b->max - b->used)
		return false;
	b->used += n;
	return true;
}

static inline void budget_give(struct budget *b, size_t n)
{
	SP_BUG_IF(n > b->used);
	b->used -= n;
}

#endif
