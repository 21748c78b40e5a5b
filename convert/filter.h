/* filter - which points a group takes: the sets of `filters` rules of its destination and its access key.
 *
 * A rule fits a point when each list it has fits: one of its globs (sp_glob) for namespace, metric, account and region.
 * Of `dimensions` every item must hold: a glob wants a dimension whose name fits, "!" and a glob wants none ("!*": a
 * point without dimensions). A set lets a point through when no rule `exclude` fits it and, if there are rules
 * `include`, one of them does; a point must pass every set.
 *
 * A verdict is the AND of three masks, a bit for each rule, that depend on the metric, on the names of the dimensions and
 * on the origin: whoever keeps those has nothing to match for each point. One thread; the masks are plain values.
 */
#ifndef CONVERT_FILTER_H
#define CONVERT_FILTER_H

#include "convert/point.h"
#include "proto/standpipe.pb-c.h"

#define FILTER_SETS 2	     /* a destination's and an access key's */
#define FILTER_RULES_MAX 64u /* of a set */

struct filter;

struct filter_mask {
	uint64_t of[FILTER_SETS];
};

/* Copies what it needs of the group. NULL in *out when the group has no rules. SP_CONFIG: more sets or rules than there
 * can be. */
SP_CHECKED enum sp_status filter_new(const Standpipe__Group *group, struct filter **out, struct sp_why *why);
void filter_free(struct filter **f);

struct filter_mask filter_metric(const struct filter *f, struct sp_bytes ns, struct sp_bytes metric);
struct filter_mask filter_dims(const struct filter *f, const struct cw_dim *dims, size_t n);
struct filter_mask filter_origin(const struct filter *f, struct sp_bytes account, struct sp_bytes region);

/* Who drops the point: the rule's number, counted over all sets, a set's "no rule includes it" coming behind its rules; or -1: it
 * passes. Of several rules the first counts. */
int filter_verdict(
    const struct filter *f, const struct filter_mask *metric, const struct filter_mask *dims, const struct filter_mask *origin);
/* The rule's name, "not_included" for what no rule includes. verdict < filter_verdicts(). */
const char *filter_name(const struct filter *f, int verdict);
int filter_verdicts(const struct filter *f);

#endif
