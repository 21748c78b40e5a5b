/* remote_write2 - the remote write 2.0 body (io.prometheus.write.v2.Request), made of raw 1.0 bodies and what is known of their metrics.
 *
 *   rw2_begin(w); rw2_add(w, raw, info, &why) for each body; rw2_finish(w, &block, &why)
 *
 * Every text stands once in the table of symbols, which begins with "" and comes before the series. Labels keep their order, samples
 * theirs; a series without samples is left out; one whose metric is known has its type, help and unit. The order of the series is
 * the bodies', and a series that is in several of them is there several times, as in joined 1.0 bodies.
 *
 * A writer keeps its memory from body to body. One thread.
 */
#ifndef PROTO_REMOTE_WRITE2_H
#define PROTO_REMOTE_WRITE2_H

#include "proto/info.h"
#include "proto/remote_write.h"

struct rw2_writer;

struct rw2_writer *rw2_writer_new(void);
void rw2_writer_free(struct rw2_writer **w);

void rw2_begin(struct rw2_writer *w);
/* info may be NULL; neither is needed afterwards. SP_BAD_DATA: what was begun is of no use any more. */
SP_CHECKED enum sp_status rw2_add(struct rw2_writer *w, struct sp_bytes raw, const struct info *info, struct sp_why *why);
/* Appends the snappy block. SP_NO_MEM: nothing is appended. */
SP_CHECKED enum sp_status rw2_finish(struct rw2_writer *w, struct sp_buf *out, struct sp_why *why);

#endif
