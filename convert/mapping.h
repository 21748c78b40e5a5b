/* mapping - a point under its final labels, for one group of the plan.
 *
 * Names are worked out once (naming.h) and kept: one entry for each metric and one for each "shape", that is the list
 * of dimension names and statistics of a point. Their number does not depend on how many series there are. Values go
 * straight from the point into the encoded labels. What is kept is given back between deliveries when it has grown
 * beyond MAPPING_KEEP_BYTES. One thread.
 */
#ifndef CONVERT_MAPPING_H
#define CONVERT_MAPPING_H

#include "convert/account_labels.h"
#include "convert/attributes.h"
#include "convert/filter.h"
#include "convert/naming.h"
#include "proto/standpipe.pb-c.h"

#define MAPPING_KEEP_BYTES ((size_t)8 << 20)

/* What becomes of a point. */
enum fate { FATE_SENT, FATE_TOO_MANY_LABELS, FATE_LABEL_NAME_TOO_LONG, FATE_BAD_NAME, FATES_WRITTEN, FATE_GONE = FATES_WRITTEN };

/* Of label_limit, label_name_length_limit and label_value_length_limit; 0: none. */
struct label_limits {
	uint32_t labels, name, value;
	uint64_t cut; /* values so far */
};

/* The value as far as it may go, ending with a whole character. */
static inline struct sp_bytes limits_cut(struct label_limits *l, struct sp_bytes value)
{
	if (l->value == 0 || value.n <= l->value)
		return value;
	value.n = l->value;
	while (value.n && (value.p[value.n] & 0xc0) == 0x80)
		value.n--;
	l->cut++;
	return value;
}

static inline enum fate limits_fate(const struct label_limits *l, size_t n_labels, size_t longest_name)
{
	if (l->labels && n_labels > l->labels)
		return FATE_TOO_MANY_LABELS;
	return l->name && longest_name > l->name ? FATE_LABEL_NAME_TOO_LONG : FATE_SENT;
}

struct mapping;

/* The metric of CloudWatch that a series was made of. */
struct mapped_from {
	struct sp_bytes ns;
	struct sp_bytes said; /* type, unit and help, as info_add takes them */
};

struct mapped {
	const uint8_t *labels; /* encoded label fields, sorted, without __name__: what all statistics of the point share */
	uint32_t labels_len;
	uint32_t before, before_quantile; /* so many bytes of them come before __name__ and before quantile in byte order */
	uint64_t identity; /* XXH3-64 of the labels: chooses the shard, in every release and whatever came before */
	uint32_t metric;   /* equal numbers mean equal base names; valid for this delivery */
	struct sp_bytes base; /* metric name without suffix */
	const struct mapped_from *from;
	const struct naming_series *series; /* of the point's percentiles, then of its other statistics */
	int dropped_by; /* -1, or the filter's verdict on the point; then nothing else is set but the fate, FATE_GONE */
	uint8_t fate;	/* enum fate */
	uint8_t wants;  /* a bit for each enum naming_stat that becomes series */
	uint16_t lane;  /* the encoder's (lanes.h) */
};

/* budget bounds the kept names of one delivery. SP_CONFIG when the group asks for what this release does not know. */
SP_CHECKED enum sp_status mapping_new(
    const Standpipe__Group *group, size_t budget, struct mapping **out, struct sp_why *why);
void mapping_free(struct mapping **m);
/* Once, before the first delivery; the labels must outlive the mapping. */
void mapping_accounts(struct mapping *m, const struct account_labels *accounts);
/* Before each delivery: metric numbers and names of the former one are void. attributes: NULL when there are none; their
 * values must last as long as the delivery. */
void mapping_begin(struct mapping *m, const struct attributes *attributes);
/* The labels are in the arena, the names with the mapping until the next mapping_begin. SP_NO_MEM when either is spent.
 */
SP_CHECKED enum sp_status mapping_point(
    struct mapping *m, const struct cw_point *p, struct sp_arena *arena, struct mapped *out);
/* The preset with the bugs that the group asks for. */
const struct naming_preset *mapping_preset(const struct mapping *m);
/* The number of a name as mapped.metric, for a base name that is not the mapping's own. It is kept like the others. */
SP_CHECKED enum sp_status mapping_number(struct mapping *m, struct sp_bytes base, uint32_t *out);
struct label_limits mapping_limits(const Standpipe__Group *group);
/* Values that were cut since mapping_new. */
uint64_t mapping_cut(const struct mapping *m);
/* NULL when the group takes every point. */
const struct filter *mapping_filter(const struct mapping *m);
/* How many metrics got the name of another one since mapping_new; each is logged when it is first met. */
uint64_t mapping_collisions(const struct mapping *m);
/* Values that were not UTF-8, so far. */
uint64_t mapping_mended(const struct mapping *m);
/* The same without the labels that say whose point it is. SP_NO_MEM when the arena is spent. */
SP_CHECKED enum sp_status mapping_without_origin(
    const struct mapping *m, const struct mapped *in, struct sp_arena *arena, struct mapped *out);

#endif
