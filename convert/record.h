/* record - one Firehose record, already out of its base64: which format it is, and its points.
 *
 * Compressed records are inflated first. JSON lines or framed OTLP is decided per record, 0.7 or 1.0 per point, because a stream whose
 * format was switched mixes them. Firehose's demo records and CloudWatch Logs' control messages are passed over, other JSON is set aside.
 * Reasons given to `bad`: record_too_big, bad_gzip, bad_frame, bad_message, too_deep, bad_json, bad_point, no_time, no_name,
 * not_cloudwatch, foreign. A message with a fault in it is set aside as a whole, the others of its record are kept.
 */
#ifndef CONVERT_RECORD_H
#define CONVERT_RECORD_H

#include "convert/decoder.h"

#define RECORD_MAX_BYTES ((size_t)16 << 20)

SP_CHECKED enum sp_status record_decode(struct decoder *d, struct sp_bytes record);

#endif
