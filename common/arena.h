/* arena - memory of one batch: taken in small pieces, given back all at once.
 *
 * Chunks are kept across resets, so a worker in steady state does not allocate. The budget bounds one batch: a decompression
 * bomb ends in NULL (SP_NO_MEM), not in the OOM killer. Under AddressSanitizer unused memory is poisoned.
 * One thread. Pointers live until sp_arena_reset.
 */
#ifndef SP_ARENA_H
#define SP_ARENA_H

#include "common/bytes.h"

struct sp_arena;

struct sp_arena *sp_arena_new(size_t budget_bytes); /* 0 = no budget */
void sp_arena_free(struct sp_arena **a);
void sp_arena_reset(struct sp_arena *a);
/* Aligned for any type, not zeroed. NULL when memory or the budget is spent. */
void *sp_arena_alloc(struct sp_arena *a, size_t n);
/* Zeroed, and never NULL: of an arena without a budget. */
void *sp_arena_take(struct sp_arena *a, size_t n);
/* A growing array's step: memory for n bytes with the first `used` bytes of p copied. In place when p was the last piece. */
void *sp_arena_grow(struct sp_arena *a, void *p, size_t used, size_t n);
/* A copy of s; its p is NULL when out of memory (and s.n > 0). */
struct sp_bytes sp_arena_copy(struct sp_arena *a, struct sp_bytes s);
size_t sp_arena_used(const struct sp_arena *a); /* bytes handed out since the last reset */
/* Everything handed out after the mark becomes free again: undoes a half-decoded message. */
struct sp_arena_mark {
	void *chunk;
	size_t at, used;
};
struct sp_arena_mark sp_arena_mark(const struct sp_arena *a);
void sp_arena_rewind(struct sp_arena *a, struct sp_arena_mark mark);

#endif
