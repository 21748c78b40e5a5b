/* lane - the name of a part of a destination: the samples of one tenant, delivered apart from those of others.
 *
 * A name comes from outside (an account id, a common attribute) or is that of an access key. It stands in the spool, in
 * metrics, logs and, unless lanes.map says otherwise, in a request header.
 */
#ifndef SP_LANE_H
#define SP_LANE_H

#include "common/conf.h"

#define LANE_NAME_BYTES 150 /* as long as a tenant of Mimir may be called */
#define LANE_BY_ATTRIBUTE "attribute:" /* in lanes.by, before the name */
#define LANES_OF_DELIVERY 1000 /* in one group */

/* 1 to LANE_NAME_BYTES visible ASCII characters. */
static inline bool lane_name_ok(struct sp_bytes name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return false;
	return name.n > 0 && name.n <= LANE_NAME_BYTES;
}

/* Whose lane of a destination samples under this name are in: NULL, nobody's. */
static inline const char *lane_of(const struct dest_settings *d, const char *name)
{
	bool own = *name && !(d->lanes_default && d->lanes_map.n && !sp_map_get(&d->lanes_map, name));
	return own ? name : d->lanes_default;
}

#endif
