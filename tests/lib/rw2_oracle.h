/* rw2_oracle - a remote write 2.0 body as a decoder that was generated from the definition reads it, against the 1.0 bodies it was made of.
 */
#ifndef RW2_ORACLE_H
#define RW2_ORACLE_H

#include "proto/info.h"
#include "proto/remote_write.h"

struct rw2_part {
	struct sp_bytes raw; /* a valid 1.0 body */
	const struct info *info;
};

/* NULL when the block keeps the rules of 2.0 and says of every series with samples what the parts say; otherwise what is wrong. */
const char *rw2_differs(struct sp_bytes block, const struct rw2_part *parts, size_t n);

#endif
