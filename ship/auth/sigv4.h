/* sigv4 - AWS Signature Version 4 in request headers: what a request to an AWS service must carry to be believed.
 *
 * Signed are the method, the path, the query, the body's SHA-256 and these headers: host, x-amz-date,
 * x-amz-security-token when the keys are temporary, and those the caller names. No state, any thread.
 */
#ifndef SHIP_SIGV4_H
#define SHIP_SIGV4_H

#include "common/bytes.h"

struct aws_keys {
	const char *id, *secret, *token; /* token: NULL for keys that do not expire */
};

struct sigv4_header {
	const char *name, *value; /* the name in small letters */
};

#define SIGV4_EXTRA_HEADERS_MAX 8
#define SIGV4_LINES 4

struct sigv4_request {
	const char *method, *host, *path; /* as they are sent; the host with its port where the header has it */
	const char *query;		  /* without "?"; NULL: none */
	struct sp_bytes body;
	const struct sigv4_header *headers; /* further ones that are signed, at most SIGV4_EXTRA_HEADERS_MAX */
	size_t n_headers;
};

/* The header lines to send beside those that were given, up to a NULL: X-Amz-Date, X-Amz-Security-Token when there is
 * one, Authorization. The caller frees them (sigv4_lines_free). */
void sigv4_sign(const struct sigv4_request *r, const struct aws_keys *keys, const char *region, const char *service,
    int64_t wall_ms, char *lines[SIGV4_LINES]);
/* Wipes them too; they may be NULL. */
void sigv4_lines_free(char *lines[SIGV4_LINES]);

/* Percent-encoded but for letters, digits and -._~ */
void aws_encode(struct sp_buf *out, struct sp_bytes s);

#endif
