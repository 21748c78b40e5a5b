/* Any bytes as a request: a head is read or refused, views lie within it, a chunked body ends or fails, nothing else. */
#include "ingest/request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool take(void *arg, struct sp_bytes data)
{
	size_t *total = arg;
	*total += data.n;
	return *total < 1000000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct request r;
	size_t head = request_head_length(sp_bytes(data, n), 0);
	(void)request_head_too_big(sp_bytes(data, n));
	if (head == 0 || request_parse(sp_bytes(data, head), &r) != REFUSE_NOTHING)
		return 0;
	for (int i = 0; i < HEADERS_KNOWN; i++)
		if (r.header[i].n && (r.header[i].p < data || r.header[i].p + r.header[i].n > data + head))
			abort();
	if (r.chunked && r.has_length)
		abort(); /* the two together are how requests are smuggled */
	if (!r.chunked)
		return 0;
	size_t total = 0, used = 0;
	struct chunked *c = chunked_new(sp_bytes(data, head), take, &total);
	enum chunked_state state = CHUNKED_MORE;
	for (size_t at = head; at < n && state == CHUNKED_MORE; at += used) { /* in small pieces, as a network may bring them */
		size_t piece = n - at < 7 ? n - at : 7;
		state = chunked_feed(c, sp_bytes(data + at, piece), &used);
		if (used > piece || (state == CHUNKED_MORE && used != piece))
			abort();
	}
	if (total > n)
		abort();
	chunked_free(&c);
	return 0;
}
