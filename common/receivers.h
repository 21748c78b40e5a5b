/* receivers - what each kind of receiver is like: the table behind a destination's setting `receiver`.
 *
 * Settings that are written win over those of the kind. Constant data, any thread.
 */
#ifndef SP_RECEIVERS_H
#define SP_RECEIVERS_H

#include "common/bytes.h"

#define RECEIVER_DEFAULTS_MAX 4

struct receiver_kind {
	const char *name;
	bool rolls_back;	   /* a refused request leaves nothing behind */
	const char *tenant_header; /* says whose data it is; "": there is none */
	const char *order_setting; /* what has to be raised there when samples are refused for their order */
	struct receiver_default {
		const char *path, *value;
	} defaults[RECEIVER_DEFAULTS_MAX]; /* of other settings of the destination; ends early with a NULL path */
};

/* NULL when there is no kind of that name. */
const struct receiver_kind *receiver_kind(const char *name);

/* The table for people, as in docs/reference.md. */
void receivers_describe(struct sp_buf *out);

#endif
