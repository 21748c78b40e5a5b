/* plan - what convert is told to make of every point, and which destinations take which result.
 *
 * Destinations whose mapping is the same share a group: its payload is made and stored once. The epoch is a hash of the
 * content, so the same settings give the same plan whatever process made it. No secret and no URL is in it. Strings are
 * the settings': they must outlive the plan.
 */
#ifndef SHIP_PLAN_H
#define SHIP_PLAN_H

#include "common/conf.h"
#include "proto/standpipe.pb-c.h"

struct plan {
	Standpipe__Plan message; /* groups[i]->id is i */
	struct plan_dests {
		uint32_t *ids; /* as the spool numbers them, in the order of the settings */
		size_t n;
	} * dests; /* of groups[i] */
};

/* dest_ids[i] is the spool's number of s->dests[i]. */
struct plan *plan_new(const struct settings *s, const uint32_t *dest_ids);
void plan_free(struct plan **p);

#endif
