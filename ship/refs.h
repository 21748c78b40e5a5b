/* refs - how many batches still need each payload row: a hash map from row id to count, in memory.
 *
 * Rebuilt at start from the table `batch`. A count of 0 means that the id is not in the map.
 * One thread.
 */
#ifndef SHIP_REFS_H
#define SHIP_REFS_H

#include <stdint.h>

struct refs;

struct refs *refs_new(void);
void refs_free(struct refs **r);
/* Adds by (which may be negative) and returns the new count; ids are never 0. */
uint32_t refs_add(struct refs *r, uint64_t id, int32_t by);

#endif
