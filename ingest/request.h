/* request - the head of one request: what it asks for, and whether it may.
 *
 * request_parse reads a complete head (up to and including the empty line) by llhttp, strictly: what a proxy in front might read differently
 * is refused, not guessed. Views of the result look into the head. request_check says what is wrong with a delivery before its
 * body is read. Both are pure. Specifications: RFC 9112, Firehose HTTP endpoint delivery 1.0.
 */
#ifndef INGEST_REQUEST_H
#define INGEST_REQUEST_H

#include "common/conf.h"
#include "ingest/answer.h"

#define HEAD_MAX_BYTES (256 * 1024)
#define HEAD_LINE_MAX_BYTES (128 * 1024)
#define HEAD_REQUEST_LINE_MAX_BYTES (8 * 1024)
#define HEAD_MAX_HEADERS 128
#define REQUEST_ID_MAX_BYTES 256

enum request_header {
	HEADER_HOST, HEADER_TRANSFER_ENCODING, HEADER_EXPECT, HEADER_CONTENT_TYPE, HEADER_CONTENT_ENCODING, HEADER_REQUEST_ID,
	HEADER_SOURCE_ARN, HEADER_ACCESS_KEY, HEADER_COMMON_ATTRIBUTES, HEADER_PROTOCOL_VERSION, HEADERS_KNOWN
};

struct request {
	bool is_get, is_head, is_post;
	bool keep_alive, chunked, expects_continue, has_length, gzip;
	uint64_t length; /* of the body, when has_length */
	struct sp_bytes path; /* without the query */
	bool has[HEADERS_KNOWN];
	struct sp_bytes header[HEADERS_KNOWN]; /* blanks around it are gone */
};

/* Length of the head that data begins with, 0 when it is not complete yet. from: where to go on looking (a former data.n). */
size_t request_head_length(struct sp_bytes data, size_t from);
/* What is wrong with a head of which this much is there already: REFUSE_URI, REFUSE_HEADERS or nothing. */
enum refusal request_head_too_big(struct sp_bytes data);
enum refusal request_parse(struct sp_bytes head, struct request *out);
/* Everything about a delivery but its key: path, method, coding, type, lengths. */
enum refusal request_check(struct request *r, const struct settings *s);

/* A body in chunks. Trailers and chunk extensions are read within HEAD_MAX_BYTES and ignored. */
struct chunked;
typedef bool (*chunked_fn)(void *arg, struct sp_bytes data); /* false: stop (chunked_feed says CHUNKED_BAD) */
enum chunked_state { CHUNKED_MORE, CHUNKED_DONE, CHUNKED_BAD };
struct chunked *chunked_new(struct sp_bytes head, chunked_fn fn, void *arg);
void chunked_free(struct chunked **c);
/* *used: bytes of data that belonged to this body. */
enum chunked_state chunked_feed(struct chunked *c, struct sp_bytes data, size_t *used);

#endif
