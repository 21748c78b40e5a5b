/* access_log - what a request leaves behind: its line in the log, and its count. Never the key, only its name.
 *
 * Every delivery that reached the pool leaves exactly one line. Refusals before that are limited to one line a minute for each error; for what is
 * the sender's fault, for each error and stream.
 */
#ifndef INGEST_ACCESS_LOG_H
#define INGEST_ACCESS_LOG_H

#include "common/clock.h"
#include "ingest/pool.h"
#include "ingest/request.h"

/* key_name may be NULL. */
void access_log_delivery(
	const struct request *q, const char *key_name, const struct outcome *o, size_t body_bytes, struct sp_mono began);
void access_log_refused(const struct request *q, const char *key_name, int http_status, const char *code, const char *text);
/* code NULL: success. */
void access_count(int http_status, const char *code, struct sp_mono began);

#endif
