#include "ship/spool/table.h"

#include "common/alloc.h"

#include <stdbool.h>
#include <string.h>

#define PLACES_AT_FIRST 1024

static uint8_t *place(const struct table *t, size_t at)
{
	return t->places + (at & t->mask) * t->entry_bytes;
}

static bool is_free(const struct table *t, size_t at)
{
	static const uint8_t zeros[32];
	return memcmp(place(t, at), zeros, t->key_bytes) == 0;
}

/* Row numbers as well as hashes are spread. */
static size_t home(const struct table *t, const void *key)
{
	uint64_t first;
	memcpy(&first, key, sizeof first);
	return (size_t)(first * UINT64_C(0x9e3779b97f4a7c15) >> 20) & t->mask;
}

/* Where the key is, else the free place where it belongs. */
static size_t find(const struct table *t, const void *key)
{
	size_t at = home(t, key);
	while (!is_free(t, at) && memcmp(place(t, at), key, t->key_bytes) != 0)
		at++;
	return at;
}

static void grow(struct table *t)
{
	struct table old = *t;
	size_t n = old.places ? 2 * (old.mask + 1) : PLACES_AT_FIRST;
	t->places = sp_new_array(uint8_t, n * t->entry_bytes);
	t->mask = n - 1;
	for (size_t i = 0; old.places && i <= old.mask; i++)
		if (!is_free(&old, i))
			memcpy(place(t, find(t, place(&old, i))), place(&old, i), t->entry_bytes);
	sp_free(old.places);
}

void table_free(struct table *t)
{
	sp_free(t->places);
	t->places = NULL;
	t->mask = t->used = 0;
}

void *table_find(const struct table *t, const void *key)
{
	if (!t->used)
		return NULL;
	size_t at = find(t, key);
	return is_free(t, at) ? NULL : place(t, at);
}

void *table_put(struct table *t, const void *key)
{
	if (!t->places || 4 * (t->used + 1) > 3 * (t->mask + 1))
		grow(t);
	size_t at = find(t, key);
	if (is_free(t, at)) {
		memcpy(place(t, at), key, t->key_bytes);
		t->used++;
	}
	return place(t, at);
}

/* Closes the gap, so that no search ends early: a later entry moves up unless its own place lies behind the hole. */
void table_remove(struct table *t, void *entry)
{
	size_t hole = (size_t)((uint8_t *)entry - t->places) / t->entry_bytes;
	for (size_t at = hole + 1; !is_free(t, at); at++)
		if (((at - home(t, place(t, at))) & t->mask) >= ((at - hole) & t->mask)) {
			memcpy(place(t, hole), place(t, at), t->entry_bytes);
			hole = at;
		}
	memset(place(t, hole), 0, t->entry_bytes);
	t->used--;
}
