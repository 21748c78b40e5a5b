/* rewrite - a series under the labels that a group's relabelling rules leave it.
 *
 * With rules each statistic of each point is a series of its own, for they may look at its name. Limits for labels hold
 * after the rules. One thread.
 */
#ifndef CONVERT_REWRITE_H
#define CONVERT_REWRITE_H

#include "convert/mapping.h"

struct rewriter;

/* NULL in *out when the group has no rules. */
SP_CHECKED enum sp_status rewriter_new(const Standpipe__Group *group, struct rewriter **out, struct sp_why *why);
void rewriter_free(struct rewriter **w);
/* *out is complete: no statistic adds anything to it. When a rule drops the series out->fate is FATE_GONE and
 * out->dropped_by the rule's number. SP_NO_MEM when the arena or the mapping's memory is spent. */
SP_CHECKED enum sp_status rewrite_series(struct rewriter *w, struct mapping *mapping, const struct mapped *in,
    const struct naming_series *series, struct sp_arena *arena, struct mapped *out);
/* Since rewriter_new: matches and values that met relabel's limits, values that were cut. */
uint64_t rewriter_limited(const struct rewriter *w);
uint64_t rewriter_cut(const struct rewriter *w);

#endif
