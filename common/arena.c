#include "common/arena.h"

#include "common/alloc.h"

#ifndef __has_feature /* clang has it, gcc 12 has not */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK_BYTES (64 * 1024)
#define ALIGN 16
#define KEEP_BYTES (16 * 1024 * 1024) /* more than this is given back at reset */

struct chunk {
	struct chunk *next;
	size_t cap, at;
	_Alignas(ALIGN) uint8_t data[];
};

struct sp_arena {
	struct chunk *first, *now;
	size_t budget, used, held;
};

struct sp_arena *sp_arena_new(size_t budget_bytes)
{
	struct sp_arena *a = sp_new(struct sp_arena);
	a->budget = budget_bytes;
	return a;
}

static void chunks_free(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;
		UNPOISON(c->data, c->cap);
		sp_free(c);
		c = next;
	}
}

void sp_arena_free(struct sp_arena **a)
{
	if (!*a)
		return;
	chunks_free((*a)->first);
	sp_free(*a);
	*a = NULL;
}

void sp_arena_reset(struct sp_arena *a)
{
	if (a->held > KEEP_BYTES) {
		chunks_free(a->first);
		a->first = NULL;
		a->held = 0;
	}
	for (struct chunk *c = a->first; c; c = c->next) {
		c->at = 0;
		POISON(c->data, c->cap);
	}
	a->now = a->first;
	a->used = 0;
}

/* Moves on to a chunk with room for n bytes: a kept one, or a new one behind the present one. */
static bool next_chunk(struct sp_arena *a, size_t n)
{
	struct chunk **link = a->now ? &a->now->next : &a->first;
	if (!*link || (*link)->cap < n) {
		size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;
		struct chunk *c = sp_try_alloc(sizeof *c + cap);
		if (!c)
			return false;
		*c = (struct chunk){.next = *link, .cap = cap};
		POISON(c->data, cap);
		*link = c;
		a->held += cap;
	}
	a->now = *link;
	a->now->at = 0;
	return true;
}

void *sp_arena_alloc(struct sp_arena *a, size_t n)
{
	if (n > SIZE_MAX / 2)
		return NULL;
	size_t take = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (take == 0)
		take = ALIGN;
	if (a->budget && take > a->budget - a->used)
		return NULL;
	if ((!a->now || a->now->cap - a->now->at < take) && !next_chunk(a, take))
		return NULL;
	void *p = a->now->data + a->now->at;
	UNPOISON(p, n);
	a->now->at += take;
	a->used += take;
	return p;
}

void *sp_arena_take(struct sp_arena *a, size_t n)
{
	void *p = sp_arena_alloc(a, n);
	SP_BUG_IF(!p);
	return memset(p, 0, n);
}

void *sp_arena_grow(struct sp_arena *a, void *p, size_t used, size_t n)
{
	size_t old = (used + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	size_t take = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct chunk *c = a->now;
	if (p && c && (uint8_t *)p + old == c->data + c->at && take >= old && c->cap - c->at >= take - old &&
	    !(a->budget && take - old > a->budget - a->used)) {
		UNPOISON(p, n);
		c->at += take - old;
		a->used += take - old;
		return p;
	}
	void *q = sp_arena_alloc(a, n);
	if (q && used)
		memcpy(q, p, used);
	return q;
}

struct sp_bytes sp_arena_copy(struct sp_arena *a, struct sp_bytes s)
{
	uint8_t *p = sp_arena_alloc(a, s.n);
	if (p && s.n)
		memcpy(p, s.p, s.n);
	return (struct sp_bytes){p, p ? s.n : 0};
}

size_t sp_arena_used(const struct sp_arena *a)
{
	return a->used;
}

struct sp_arena_mark sp_arena_mark(const struct sp_arena *a)
{
	return (struct sp_arena_mark){a->now, a->now ? a->now->at : 0, a->used};
}

void sp_arena_rewind(struct sp_arena *a, struct sp_arena_mark mark)
{
	struct chunk *c = mark.chunk ? mark.chunk : a->first;
	size_t at = mark.chunk ? mark.at : 0;
	for (; c; c = c->next, at = 0) {
		POISON(c->data + at, c->cap - at);
		c->at = at;
		if (c == a->now)
			break;
	}
	a->now = mark.chunk;
	a->used = mark.used;
}
