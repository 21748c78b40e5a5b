/* sources - when each Firehose stream last delivered, kept across restarts.
 *
 * The table belongs to the loop thread. It is written to the spool in the transaction of a delivery, at most every 30 s for each
 * stream, and by sources_save at a clean stop: after a crash a time may be so much too old. A stream that has been silent for 30 days is
 * forgotten at the next start, or when a new one comes.
 */
#ifndef SHIP_SOURCES_H
#define SHIP_SOURCES_H

#include "ship/spool/spool.h"

#define SOURCES_MAX 5000
#define SOURCE_NAME_BYTES 512
#define SOURCE_SAVED_EVERY_MS 30000
#define SOURCE_FORGOTTEN_MS (INT64_C(30) * 86400 * 1000)

struct sources;

/* With what the spool remembers, which is shown at once. */
SP_CHECKED enum sp_status sources_load(struct spool *sp, int64_t now_ms, struct sources **out, struct sp_why *why);
void sources_free(struct sources **s);
/* A delivery came. True: it is to be written with it, and is taken as written. One too many, and a name that is no printable ASCII,
 * count in standpipe_metrics_left_out_total. */
bool sources_seen(struct sources *s, const char *arn, int64_t at_ms);
/* All that is not written yet, in a transaction of its own. */
SP_CHECKED enum sp_status sources_save(const struct sources *s, struct spool *sp, struct sp_why *why);
/* Of one stream, within a transaction; a failure sticks. */
void source_write(struct spool *sp, const char *arn, int64_t at_ms);

#endif
