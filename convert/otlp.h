/* otlp - the points of one OTLP ExportMetricsServiceRequest as CloudWatch writes it, versions 0.7 and 1.0 alike.
 *
 * A hand-written walk over the wire: each byte is looked at once, strings stay where they are. It follows the rules of protobuf that
 * a conforming decoder must (fields in any order, repeated and packed forms, merging, unknown fields and groups).
 * A malformed message leaves no trace: its points are undone and the whole of it is set aside.
 */
#ifndef CONVERT_OTLP_H
#define CONVERT_OTLP_H

#include "convert/decoder.h"

/* message is at `offset` of its record. */
SP_CHECKED enum sp_status otlp_decode(struct decoder *d, struct sp_bytes message, uint64_t offset);

#endif
