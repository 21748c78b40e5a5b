/* lanes - whose each point of a delivery is, for one group of the plan: the lanes are numbered as they are met.
 *
 * A key or a common attribute says it once for the whole delivery, an account for each point. What has no usable
 * name, and what comes when there are LANES_OF_DELIVERY already, has the name "". A group without lanes has a single
 * one that is not spoken of, so nobody has to tell the cases apart. One thread.
 */
#ifndef CONVERT_LANES_H
#define CONVERT_LANES_H

#include "common/lane.h"
#include "convert/attributes.h"
#include "convert/delivery.h"
#include "convert/intern.h"

struct lanes {
	enum lanes_by { LANES_NONE, LANES_BY_KEY, LANES_BY_ATTRIBUTE, LANES_BY_ACCOUNT } by;
	char *attribute; /* its name */
	struct convert_lane *v;
	size_t n;
	struct interned *known; /* of v, by account */
	struct intern table;    /* of them */
	struct sp_bytes last;   /* account of the last point */
	uint16_t last_lane;
};

/* by: Group.lane_by. SP_CONFIG when it is not known. */
SP_CHECKED enum sp_status lanes_init(struct lanes *l, const char *by, struct sp_why *why);
void lanes_free(struct lanes *l);
/* A new delivery. The names in v are views into it. attributes may be NULL. */
void lanes_begin(struct lanes *l, const struct attributes *attributes, struct sp_bytes key_name);
uint16_t lanes_of_account(struct lanes *l, struct sp_bytes account);

/* Place in v. */
static inline uint16_t lanes_of(struct lanes *l, const struct cw_point *p)
{
	return l->by == LANES_BY_ACCOUNT ? lanes_of_account(l, p->account) : 0;
}

#endif
