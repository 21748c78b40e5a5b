/* active - how many series each destination got lately, by namespace: the workers' sketches put together.
 *
 * Two generations of an hour each: a series counts for one to two hours after its last sample. Namespaces beyond
 * ACTIVE_NAMESPACES_MAX of a destination count as "other". An estimate (common/hll.h), anew after a restart. One thread, the loop's.
 */
#ifndef SHIP_ACTIVE_H
#define SHIP_ACTIVE_H

#include "proto/plan.h"

#define ACTIVE_NAMESPACES_MAX 200
#define ACTIVE_GENERATION_MS 3600000

struct active;

struct active *active_new(void);
void active_free(struct active **a);
void active_add_dest(struct active *a, uint32_t id, const char *name);
/* What a worker sends. Sketches of another plan's groups, and such as cannot be, are left out. */
void active_take(struct active *a, const struct plan *plan, const Standpipe__Ping *m, int64_t now_ms);
/* Series of a destination over all its namespaces. */
uint64_t active_series(const struct active *a, uint32_t dest);
/* Sets the gauges; forgets what has not been seen for two generations. now_ms: monotonic. */
void active_metrics(struct active *a, int64_t now_ms);

#endif
