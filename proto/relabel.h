/* relabel - Prometheus' relabelling rules (write_relabel_configs), with its semantics in every action.
 *
 * A regex must fit the whole text, "." fits a line feed too, $1, ${1}, ${name} and $$ are expanded in replacement and, for
 * the action replace, in target_label; an empty value is the same as no label. The regexes are PCRE2's, which takes what
 * Prometheus' RE2 takes; unlike RE2 it can need very long for some texts, so a match is given up after
 * RELABEL_MATCH_LIMIT steps: that counts as no match and is counted. Names of labels are [a-zA-Z_][a-zA-Z0-9_]*: a
 * rule that would make another one changes nothing.
 *
 * A set of labels is sorted by name in byte order, without a name twice and without empty values. What a run puts into it
 * lives in the arena or with the rules. One thread.
 */
#ifndef PROTO_RELABEL_H
#define PROTO_RELABEL_H

#include "common/arena.h"
#include "proto/remote_write.h"
#include "proto/standpipe.pb-c.h"

#define RELABEL_MATCH_LIMIT 50000u
#define RELABEL_VALUE_MAX ((size_t)64 << 10) /* of a text that a rule makes; a longer one changes nothing and is counted */

struct relabel;

struct relabel_set { /* {0} is an empty one */
	struct rw_label *v;
	size_t n, cap;
};

/* An empty value takes the label out. The memory of both stays the caller's. */
void relabel_put(struct relabel_set *set, struct sp_bytes name, struct sp_bytes value);
/* Empty when the label is not there. */
struct sp_bytes relabel_get(const struct relabel_set *set, struct sp_bytes name);
void relabel_set_free(struct relabel_set *set);

/* Copies what it needs. SP_CONFIG when Prometheus would refuse a rule too; why then begins with its number: "0: ...". */
SP_CHECKED enum sp_status relabel_new(
    Standpipe__Relabel *const *rules, size_t n, struct relabel **out, struct sp_why *why);
void relabel_free(struct relabel **r);
/* *dropped_by: the number of the rule that drops the series, -1 when it stays. SP_NO_MEM when the arena is spent. */
SP_CHECKED enum sp_status relabel_run(
    struct relabel *r, struct relabel_set *labels, struct sp_arena *arena, int *dropped_by);
/* How often a limit was met since relabel_new. */
uint64_t relabel_limited(const struct relabel *r);

#endif
