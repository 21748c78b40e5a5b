/* intern - a table of what has been worked out for a name before.
 *
 * The entries belong to the caller, who makes them in an arena of his and forgets the table with it (intern_clear).
 * Their first member is a struct interned. The table itself grows with the number of entries and is kept when cleared.
 */
#ifndef CONVERT_INTERN_H
#define CONVERT_INTERN_H

#include "common/bytes.h"

struct interned {
	struct interned *next;
	uint64_t hash;
	struct sp_bytes key;
};

struct intern {
	struct interned **slots;
	size_t mask, n;
};

uint64_t intern_hash(struct sp_bytes key);
/* NULL when it is not there. */
struct interned *intern_find(const struct intern *t, struct sp_bytes key, uint64_t hash);
/* e->key and e->hash are set, the key is not there yet. */
void intern_add(struct intern *t, struct interned *e);
void intern_clear(struct intern *t);
void intern_free(struct intern *t);

#endif
