/* limits - what becomes of a point, and of a label that is longer than a destination takes. Any thread. */
#ifndef CONVERT_LIMITS_H
#define CONVERT_LIMITS_H

#include "common/bytes.h"

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

#endif
