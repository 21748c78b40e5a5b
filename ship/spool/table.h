/* table - an open hash table of small entries of one size; the first bytes of each (8 or more) are its key.
 *
 * A key of zeros marks a free place, so no entry may have it. Pointers to entries last until the next change.
 */
#ifndef SHIP_TABLE_H
#define SHIP_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table {
	size_t key_bytes, entry_bytes; /* set by the owner; all else begins as 0 */
	uint8_t *places;
	size_t mask, used;
};

void table_free(struct table *t);
void *table_find(const struct table *t, const void *key); /* NULL: not there */
/* The entry with this key; a new one is zeros but for its key. */
void *table_put(struct table *t, const void *key);
void table_remove(struct table *t, void *entry);

#endif
