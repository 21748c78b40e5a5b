/* delivery_lib - Firehose bodies for tests: the same points in each of CloudWatch's formats. Appends; nothing is
 * NUL-terminated. */
#ifndef TESTS_DELIVERY_LIB_H
#define TESTS_DELIVERY_LIB_H

#include "convert/point.h"
#include "proto/standpipe.pb-c.h"

/* A record's bytes: the points, framed as CloudWatch does (one message for all of them, one line each in JSON). */
void lib_record(struct sp_buf *out, enum cw_format format, const struct cw_point *points, size_t n);
/* The envelope around records. */
void lib_envelope_begin(struct sp_buf *out, const char *request_id, int64_t timestamp_ms);
void lib_envelope_record(struct sp_buf *out, struct sp_bytes record);
void lib_envelope_end(struct sp_buf *out);
/* Every key gets every group (64 at most) of the plan. One plan at a time. */
void lib_one_tenant(Standpipe__Plan *plan);

#endif
