#include "ingest/answer.h"

#include "common/admin.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_MAX 512

static const struct refusal_text refusals[REFUSALS] = {
	[REFUSE_HTTP] = {400, "E_HTTP", "malformed request"},
	[REFUSE_HOST] = {400, "E_HTTP", "host missing or repeated"},
	[REFUSE_DUPLICATE_HEADER] = {400, "E_HTTP", "duplicate header"},
	[REFUSE_CHUNKS] = {400, "E_HTTP", "bad chunked body"},
	[REFUSE_URI] = {414, "E_URI", "request line too long"},
	[REFUSE_HEADERS] = {431, "E_HEADERS", "headers too large or too many"},
	[REFUSE_HTTP_VERSION] = {505, "E_HTTP", "HTTP/1.1 expected"},
	[REFUSE_HEAD_TIMEOUT] = {408, "E_TIMEOUT", "headers not complete in time"},
	[REFUSE_HEAD_MEMORY] = {503, "E_BUSY", "memory for request heads is in use; try again"},
	[REFUSE_BODY_TIMEOUT] = {408, "E_TIMEOUT", "body stalled"},
	[REFUSE_METHOD] = {405, "E_METHOD", "use POST"},
	[REFUSE_PATH] = {404, "E_PATH", "no receiver at this path"},
	[REFUSE_EXPECT] = {417, "E_EXPECT", "only 100-continue can be expected"},
	[REFUSE_LENGTH] = {411, "E_LENGTH", "length required"},
	[REFUSE_EMPTY] = {400, "E_BODY", "empty body"},
	[REFUSE_SIZE] = {400, "E_SIZE", "body over ingest.max_body; lower the buffer size of the stream or raise the limit"},
	[REFUSE_TYPE] = {415, "E_TYPE", "application/json expected"},
	[REFUSE_ENCODING] = {415, "E_ENCODING", "only gzip"},
	[REFUSE_KEY_MISSING] = {401, "E_AUTH", "access key missing"},
	[REFUSE_KEY_WRONG] = {401, "E_AUTH", "access key not accepted"},
	[REFUSE_ARN] = {403, "E_ARN", "stream not allowed for this key"},
	[REFUSE_RATE] = {429, "E_RATE", "more deliveries than this key may send; try again"},
	[REFUSE_QUOTA] = {429, "E_QUOTA", "more bytes than this key may send; try again"},
	[REFUSE_REQUEST_ID] = {400, "E_REQID", "request id not usable"},
	[REFUSE_PROTOCOL] = {400, "E_VERSION", "protocol version not supported"},
	[REFUSE_MEMORY] = {503, "E_BUSY", "memory for bodies is in use; try again"},
	[REFUSE_STOPPING] = {503, "E_SHUTDOWN", "restarting"},
};

/* What each code means, for people. */
static const struct {
	const char *code, *status, *meaning;
} codes[] = {
	{"E_ARN", "403", "The stream (`X-Amz-Firehose-Source-Arn`) is none of the key's `source_arns`."},
	{"E_AUTH", "401", "The access key is missing or none of `keys`."},
	{"E_BODY", "400", "The body is empty."},
	{"E_BUSY", "503", "Memory for bodies, heads or workers is in use, or ship is; Firehose tries again."},
	{"E_CRASH", "503", "Workers die on everything; the fault is here, not in the body."},
	{"E_ENCODING", "415", "A content coding other than gzip."},
	{"E_EXPECT", "417", "An expectation other than 100-continue."},
	{"E_GZIP", "400", "The body is not gzip, or damaged."},
	{"E_HEADERS", "431", "Headers over 256 KiB, a line over 128 KiB, or more than 128 of them."},
	{"E_HTTP", "400, 505", "Not a valid HTTP/1.1 request."},
	{"E_INTERNAL", "500", "A fault of standpipe's."},
	{"E_JSON", "400", "The body is not the JSON object that Firehose sends."},
	{"E_LENGTH", "411", "Neither Content-Length nor chunked."},
	{"E_METHOD", "405", "Only POST takes deliveries."},
	{"E_PATH", "404", "Not one of `ingest.paths`."},
	{"E_QUOTA", "429", "The key is over its `bytes_per_second`; Firehose tries again."},
	{"E_RATE", "429", "The key is over its `rate` of deliveries; Firehose tries again."},
	{"E_RECORDS", "400", "The array `records` is missing."},
	{"E_REQID", "400", "No request id in header or body, or one that cannot be echoed."},
	{"E_SHUTDOWN", "503", "standpipe is stopping."},
	{"E_SIZE", "400", "The body is over `ingest.max_body`, before or after decompression. Never 413: Firehose would throw it away."},
	{"E_SLOW", "503", "Not committed within `ingest.deadline`; when it is later, the retry is recognised."},
	{"E_STARTING", "503", "No worker or no ship is there yet."},
	{"E_STORE", "503", "The spool or its disk is full or failing."},
	{"E_TIMEOUT", "408", "Head or body did not come in time."},
	{"E_TOKEN", "401", "The receiver does not accept this access key (`lanes.token`)."},
	{"E_TYPE", "415", "Content-Type is not application/json."},
	{"E_URI", "414", "The request line is over 8 KiB."},
	{"E_VERSION", "400", "A Firehose protocol version other than 1.0."},
};

const struct refusal_text *refusal_text(enum refusal r)
{
	SP_BUG_IF(r <= REFUSE_NOTHING || r >= REFUSALS);
	return &refusals[r];
}

static void write_head(struct sp_buf *out, int status, const char *type, size_t length, bool close)
{
	sp_buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n", status, sp_http_reason(status), type, length,
		status == 405 ? "Allow: POST\r\n" : "", close ? "Connection: close\r\n" : "");
}

void answer_write(struct sp_buf *out, int http_status, struct sp_bytes request_id, const char *code, const char *text, int64_t now_ms,
	bool close)
{
	struct sp_buf body = {0};
	SP_BUG_IF(http_status == 413 || (http_status > 200 && http_status < 400));
	sp_buf_str(&body, "{\"requestId\":");
	sp_buf_json(&body, request_id);
	sp_buf_printf(&body, ",\"timestamp\":%" PRId64, now_ms);
	if (code) {
		char message[TEXT_MAX];
		int n = snprintf(message, sizeof message, "%s: %s", code, text ? text : "");
		if (n > (int)sizeof message - 1)
			n = (int)sizeof message - 1;
		for (int i = 0; i < n; i++)
			if (message[i] < ' ' || message[i] > '~')
				message[i] = '?';
		sp_buf_str(&body, ",\"errorMessage\":");
		sp_buf_json(&body, sp_bytes(message, (size_t)n));
	}
	sp_buf_u8(&body, '}');
	write_head(out, http_status, "application/json", body.n, close);
	sp_buf_join(out, &body);
}

void answer_text(struct sp_buf *out, int http_status, const char *text, bool head_only, bool close)
{
	write_head(out, http_status, "text/plain; charset=utf-8", strlen(text), close);
	if (!head_only)
		sp_buf_str(out, text);
}

void answer_describe(struct sp_buf *out)
{
	sp_buf_str(out, "| code | status | meaning |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		sp_buf_printf(out, "| `%s` | %s | %s |\n", codes[i].code, codes[i].status, codes[i].meaning);
}
