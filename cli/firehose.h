/* firehose - what Firehose checks in an answer, and how it retries (HTTP endpoint delivery specification 1.0). Pure. */
#ifndef CLI_FIREHOSE_H
#define CLI_FIREHOSE_H

#include "common/bytes.h"

struct firehose_answer {
	int status;
	const char *content_type;     /* NULL: no such header */
	const char *content_encoding; /* NULL: none */
	bool has_length;
	struct sp_bytes body;
};

/* NULL when Firehose would count the delivery as done; else why not. A sentence, valid until the next call. */
const char *firehose_fault(const struct firehose_answer *a, const char *request_id);
/* The error message in the answer, copied into out; "" when there is none. */
void firehose_message(const struct firehose_answer *a, char *out, size_t n);
/* Pause before retry n = 0, 1, ...: min(120 s, 1 s x 2^n), times 0.85 to 1.15. unit: random in 0..1. */
int64_t firehose_backoff_ms(unsigned n, double unit);
/* What is wrong with a URL for Firehose: NULL, or a sentence. It takes https on port 443, at most 1,000 characters. */
const char *firehose_url_fault(const char *url);

#endif
