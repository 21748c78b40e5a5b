/* answer - what Firehose is told, in the exact form it demands (HTTP endpoint delivery specification 1.0): Content-Type application/json
 * without parameters, Content-Length, and a JSON object with requestId, timestamp in milliseconds and, on failure, errorMessage; nothing else.
 * Any deviation makes Firehose retry, even a 200.
 *
 * The one list of error codes is here. 413 is never sent: Firehose throws such a batch away for good.
 */
#ifndef INGEST_ANSWER_H
#define INGEST_ANSWER_H

#include "common/bytes.h"

/* Refusals that ingest decides itself; those of convert and the pool come with an outcome. */
enum refusal {
	REFUSE_NOTHING = 0,
	REFUSE_HTTP, REFUSE_HOST, REFUSE_DUPLICATE_HEADER, REFUSE_CHUNKS, REFUSE_URI, REFUSE_HEADERS, REFUSE_HTTP_VERSION,
	REFUSE_HEAD_TIMEOUT, REFUSE_HEAD_MEMORY, REFUSE_BODY_TIMEOUT,
	REFUSE_METHOD, REFUSE_PATH, REFUSE_EXPECT, REFUSE_LENGTH, REFUSE_EMPTY, REFUSE_SIZE, REFUSE_TYPE, REFUSE_ENCODING,
	REFUSE_KEY_MISSING, REFUSE_KEY_WRONG, REFUSE_ARN, REFUSE_RATE, REFUSE_QUOTA, REFUSE_REQUEST_ID, REFUSE_PROTOCOL,
	REFUSE_MEMORY, REFUSE_STOPPING,
	REFUSALS
};

struct refusal_text {
	int http_status;
	const char *code, *text;
};
const struct refusal_text *refusal_text(enum refusal r);

/* A whole response. code NULL: success. text is cut at 512 bytes, bytes that are not printable ASCII become '?'. close: "Connection: close". */
void answer_write(struct sp_buf *out, int http_status, struct sp_bytes request_id, const char *code, const char *text, int64_t now_ms,
	bool close);
/* A short text response for health checks. */
void answer_text(struct sp_buf *out, int http_status, const char *text, bool head_only, bool close);

/* The codes as a Markdown table: docs/reference.md. */
void answer_describe(struct sp_buf *out);

#endif
