/* plan - what convert is told to make of every point, and which destinations take which result.
 *
 * What a destination and an access key say of names, labels and filters is put together here: a tenant (an access key with
 * settings of its own, or all others) has a group for each distinct mapping of its destinations. A group's payload is made
 * and stored once, whoever takes it. The epoch is a hash of the content, so the same settings give the same plan whatever
 * process made it. No secret and no URL is in it.
 */
#ifndef PROTO_PLAN_H
#define PROTO_PLAN_H

#include "common/accounts.h"
#include "common/conf.h"
#include "proto/standpipe.pb-c.h"

#define PLAN_MAX_BYTES ((size_t)15 << 20) /* packed, without the labels of accounts */

struct plan {
	Standpipe__Plan message; /* groups[i]->id is i */
	struct plan_dests {
		uint32_t *ids; /* as the spool numbers them, in the order of the settings */
		size_t n;
	} * dests; /* of groups[i] */
	struct sp_arena *arena;
};

/* Are the settings' relabelling rules rules, and is the plan small enough for the workers? settings_load has not looked at them:
 * that takes their regexes. SP_CONFIG names the place. */
SP_CHECKED enum sp_status plan_check(const struct settings *s, struct sp_why *why);
/* dest_ids[i] is the spool's number of s->dests[i]. accounts may be NULL. Both must outlive the plan. */
struct plan *plan_new(const struct settings *s, const struct accounts *accounts, const uint32_t *dest_ids);
void plan_free(struct plan **p);

#endif
