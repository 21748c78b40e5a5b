#include "convert/intern.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FIRST_SLOTS 1024

uint64_t intern_hash(struct sp_bytes key)
{
	return XXH3_64bits(key.p, key.n);
}

struct interned *intern_find(const struct intern *t, struct sp_bytes key, uint64_t hash)
{
	if (!t->slots)
		return NULL;
	struct interned *e = t->slots[hash & t->mask];
	while (e && !(e->hash == hash && sp_eq(e->key, key)))
		e = e->next;
	return e;
}

static void grow(struct intern *t)
{
	size_t slots = t->slots ? 2 * (t->mask + 1) : FIRST_SLOTS;
	struct interned **old = t->slots;
	size_t old_slots = old ? t->mask + 1 : 0;
	t->slots = sp_new_array(struct interned *, slots);
	t->mask = slots - 1;
	for (size_t i = 0; i < old_slots; i++) {
		for (struct interned *e = old[i], *next; e; e = next) {
			next = e->next;
			e->next = t->slots[e->hash & t->mask];
			t->slots[e->hash & t->mask] = e;
		}
	}
	sp_free(old);
}

void intern_add(struct intern *t, struct interned *e)
{
	if (!t->slots || t->n > t->mask)
		grow(t);
	e->next = t->slots[e->hash & t->mask];
	t->slots[e->hash & t->mask] = e;
	t->n++;
}

void intern_clear(struct intern *t)
{
	if (t->n)
		memset(t->slots, 0, (t->mask + 1) * sizeof(*t->slots));
	t->n = 0;
}

void intern_free(struct intern *t)
{
	sp_free(t->slots);
	*t = (struct intern){0};
}
