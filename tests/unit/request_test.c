/* Heads as a hostile or merely odd client sends them: what two servers could read differently is refused; bodies in chunks. */
#include "ingest/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST "Host: relay\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST

static enum refusal parse(const char *head, struct request *r)
{
	struct sp_bytes data = sp_str(head);
	return request_head_length(data, 0) == data.n ? request_parse(data, r) : REFUSE_HTTP;
}

static void heads_are_read_strictly(void **state)
{
	static const struct {
		const char *head;
		enum refusal refusal;
	} rows[] = {
		{POST "Content-Length: 3\r\n\r\n", REFUSE_NOTHING},
		{POST "\r\n", REFUSE_NOTHING},
		{"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", REFUSE_NOTHING},
		{POST "Transfer-Encoding: chunked\r\n\r\n", REFUSE_NOTHING},
		{POST "transfer-encoding:  CHUNKED \r\n\r\n", REFUSE_NOTHING},
		{POST "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n", REFUSE_NOTHING},
		/* where the body ends */
		{POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: 3, 4\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: +3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: -3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: 0x3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: 3 3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length: 18446744073709551616\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: gzip, chunked\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: chunked, identity\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: identity\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: xchunked\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: chunked\t\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding:\r\n\r\n", REFUSE_HTTP},
		{POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSE_HTTP},
		{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSE_HTTP},
		/* where a line or a name ends */
		{POST "Content-Length : 3\r\n\r\n", REFUSE_HTTP},
		{POST "Content-Length\t: 3\r\n\r\n", REFUSE_HTTP},
		{POST "X-A: b\r\n c\r\n\r\n", REFUSE_HTTP},
		{POST "X-A: b\r\n\tContent-Length: 3\r\n\r\n", REFUSE_HTTP},
		{POST " X-A: b\r\n\r\n", REFUSE_HTTP},
		{POST "X-A: b\nContent-Length: 3\r\n\r\n", REFUSE_HTTP},
		{POST "X-A: b\rContent-Length: 3\r\n\r\n", REFUSE_HTTP},
		{POST "X-A: b\x01\r\n\r\n", REFUSE_HTTP},
		{POST ": b\r\n\r\n", REFUSE_HTTP},
		{POST "no colon\r\n\r\n", REFUSE_HTTP},
		/* who is meant, and what is spoken */
		{"POST / HTTP/1.1\r\n\r\n", REFUSE_HOST},
		{"POST / HTTP/1.1\r\nHost:\r\n\r\n", REFUSE_HOST},
		{POST HOST "\r\n", REFUSE_HOST},
		{"POST / HTTP/2.0\r\n" HOST "\r\n", REFUSE_HTTP_VERSION},
		{"POST / HTTP/3.0\r\n" HOST "\r\n", REFUSE_HTTP_VERSION},
		{"POST /\r\n\r\n", REFUSE_HTTP_VERSION},
		{"PRI * HTTP/2.0\r\n\r\n", REFUSE_HTTP},
		{"BREW / HTTP/1.1\r\n" HOST "\r\n", REFUSE_HTTP},
		{"\r\n\r\n", REFUSE_HTTP},
		{POST "X-Amz-Firehose-Access-Key: a\r\nx-amz-firehose-access-key: a\r\n\r\n", REFUSE_DUPLICATE_HEADER},
		{POST "X-Amz-Firehose-Request-Id: a\r\nX-Amz-Firehose-Request-Id: b\r\n\r\n", REFUSE_DUPLICATE_HEADER},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct request r;
		enum refusal refusal = parse(rows[i].head, &r);
		bool same = refusal == rows[i].refusal;
		if (!same)
			print_error("row %zu: %d instead of %d:\n%s", i, refusal, rows[i].refusal, rows[i].head);
		assert_true(same);
	}
}

static void a_nul_is_never_part_of_a_head(void **state)
{
	static const char head[] = POST "X-A: b\0c\r\n\r\n";
	struct request r;
	(void)state;
	assert_int_equal(request_parse(sp_bytes(head, sizeof head - 1), &r), REFUSE_HTTP);
}

/* Whatever is accepted as chunked must be readable as chunked: the two parsers agree. */
static bool ignore(void *arg, struct sp_bytes data)
{
	(void)arg, (void)data;
	return true;
}

static void every_spelling_of_chunked_is_one_for_both_parsers(void **state)
{
	static const char *const values[] = {"chunked", " chunked", "  chunked  ", "\tchunked", "chunked\t", "Chunked", " \t chunked \t ", "chunked ,",
		",chunked", "chunked;a=b"};
	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		char head[200];
		struct request r;
		size_t used;
		snprintf(head, sizeof head, POST "Transfer-Encoding:%s\r\n\r\n", values[i]);
		if (parse(head, &r) != REFUSE_NOTHING)
			continue;
		struct chunked *c = chunked_new(sp_str(head), ignore, NULL);
		assert_int_equal(chunked_feed(c, SP_LIT("0\r\n\r\n"), &used), CHUNKED_DONE);
		chunked_free(&c);
	}
}

static void what_a_head_says_is_found(void **state)
{
	struct request r;
	(void)state;
	assert_int_equal(parse("POST /firehose?a=b HTTP/1.1\r\nhost: x\r\nCONTENT-LENGTH: 17\r\nx-amz-firehose-access-key: \t a b {\"c\"} \r\n"
			       "X-Amz-Firehose-Request-Id:id\r\n\r\n", &r), REFUSE_NOTHING);
	assert_true(r.is_post && r.keep_alive && r.has_length && !r.chunked);
	assert_int_equal(r.length, 17);
	assert_true(sp_eq(r.path, SP_LIT("/firehose")));
	assert_true(sp_eq(r.header[HEADER_ACCESS_KEY], SP_LIT("a b {\"c\"}")));
	assert_true(sp_eq(r.header[HEADER_REQUEST_ID], SP_LIT("id")));
	assert_false(r.has[HEADER_SOURCE_ARN]);
	assert_int_equal(parse("GET /healthz HTTP/1.0\r\n\r\n", &r), REFUSE_NOTHING);
	assert_true(r.is_get && !r.keep_alive);
	assert_int_equal(parse(POST "Connection: close\r\n\r\n", &r), REFUSE_NOTHING);
	assert_false(r.keep_alive);
}

static void the_whole_url_is_as_good_as_its_path(void **state)
{
	static const struct {
		const char *head, *path;
	} rows[] = {
		{"POST http://relay/firehose?a=/b HTTP/1.1\r\n" HOST "\r\n", "/firehose"},
		{"POST http://relay:8080/ HTTP/1.1\r\n" HOST "\r\n", "/"},
		{"POST http://relay HTTP/1.1\r\n" HOST "\r\n", "/"},
		{"POST http://relay?a=/b HTTP/1.1\r\n" HOST "\r\n", "/"},
		{"POST /http://relay/x HTTP/1.1\r\n" HOST "\r\n", "/http://relay/x"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct request r;
		assert_int_equal(parse(rows[i].head, &r), REFUSE_NOTHING);
		if (!sp_eq(r.path, sp_str(rows[i].path)))
			fail_msg("%s: %.*s", rows[i].head, (int)r.path.n, (const char *)r.path.p);
	}
}

static void heads_have_limits(void **state)
{
	struct sp_buf head = {0};
	struct request r;
	(void)state;
	for (int extra = 0; extra < 2; extra++) { /* Host and 127 more; one too many */
		sp_buf_clear(&head);
		sp_buf_str(&head, POST);
		for (int i = 0; i < HEAD_MAX_HEADERS - 1 + extra; i++)
			sp_buf_printf(&head, "X-%d: a\r\n", i);
		sp_buf_str(&head, "\r\n");
		assert_int_equal(request_parse(sp_buf_view(&head), &r), extra ? REFUSE_HEADERS : REFUSE_NOTHING);
	}
	for (int extra = 0; extra < 2; extra++) {
		sp_buf_clear(&head);
		sp_buf_str(&head, POST "X-A: ");
		for (int i = 0; i < HEAD_LINE_MAX_BYTES - 3 + extra; i++)
			sp_buf_u8(&head, 'a');
		sp_buf_str(&head, "\r\n\r\n");
		assert_int_equal(request_parse(sp_buf_view(&head), &r), extra ? REFUSE_HEADERS : REFUSE_NOTHING);
	}
	sp_buf_clear(&head);
	sp_buf_str(&head, "POST /");
	while (head.n <= HEAD_REQUEST_LINE_MAX_BYTES)
		sp_buf_u8(&head, 'a');
	assert_int_equal(request_head_too_big(sp_buf_view(&head)), REFUSE_URI);
	sp_buf_str(&head, "\r\n");
	assert_int_equal(request_head_too_big(sp_buf_view(&head)), REFUSE_URI);
	sp_buf_clear(&head);
	sp_buf_str(&head, POST);
	while (head.n < HEAD_MAX_BYTES)
		sp_buf_u8(&head, 'a');
	assert_int_equal(request_head_too_big(sp_buf_view(&head)), REFUSE_NOTHING);
	sp_buf_u8(&head, 'a');
	assert_int_equal(request_head_too_big(sp_buf_view(&head)), REFUSE_HEADERS);
	sp_buf_free(&head);
}

/* The end of a head is found wherever the network cut it. */
static void a_head_may_come_in_pieces(void **state)
{
	static const char data[] = POST "Content-Length: 3\r\n\r\nabc";
	size_t head = sizeof data - 1 - 3;
	(void)state;
	for (size_t cut = 0; cut < sizeof data - 1; cut++) {
		assert_int_equal(request_head_length(sp_bytes(data, cut), 0), cut >= head ? head : 0);
		if (cut < head)
			assert_int_equal(request_head_length(sp_bytes(data, sizeof data - 1), cut), head);
	}
}

/* ---- what a delivery must be ---- */

static void deliveries_are_checked_before_their_body(void **state)
{
	static const struct {
		const char *line, *headers;
		enum refusal refusal;
	} rows[] = {
		{"POST /", "Content-Length: 3\r\n", REFUSE_NOTHING},
		{"POST /?x", "Content-Length: 100\r\n", REFUSE_NOTHING},
		{"POST /", "Transfer-Encoding: chunked\r\n", REFUSE_NOTHING},
		{"POST /other", "Content-Length: 3\r\n", REFUSE_PATH},
		{"PUT /", "Content-Length: 3\r\n", REFUSE_METHOD},
		{"GET /", "", REFUSE_METHOD},
		{"POST /", "", REFUSE_LENGTH},
		{"POST /", "Content-Length: 0\r\n", REFUSE_EMPTY},
		{"POST /", "Content-Length: 101\r\n", REFUSE_SIZE},
		{"POST /", "Content-Length: 3\r\nExpect: 100-Continue\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nExpect: miracles\r\n", REFUSE_EXPECT},
		{"POST /", "Content-Length: 3\r\nContent-Type: application/json; charset=utf-8\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nContent-Type: Application/JSON\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nContent-Type: text/plain\r\n", REFUSE_TYPE},
		{"POST /", "Content-Length: 3\r\nContent-Type: application/jsonx\r\n", REFUSE_TYPE},
		{"POST /", "Content-Length: 3\r\nContent-Encoding: GZIP\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nContent-Encoding: x-gzip\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nContent-Encoding: identity\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nContent-Encoding: br\r\n", REFUSE_ENCODING},
		{"POST /", "Content-Length: 3\r\nContent-Encoding: gzip, gzip\r\n", REFUSE_ENCODING},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Protocol-Version: 1.0\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Protocol-Version: 2.0\r\n", REFUSE_PROTOCOL},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Request-Id: a\"\\b\r\n", REFUSE_NOTHING},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Request-Id: a b\r\n", REFUSE_REQUEST_ID},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Request-Id: \xc3\xa4\r\n", REFUSE_REQUEST_ID},
		{"POST /", "Content-Length: 3\r\nX-Amz-Firehose-Request-Id:\r\n", REFUSE_REQUEST_ID},
	};
	static char root[] = "/", other[] = "/firehose", *paths[] = {root, other};
	struct settings s = {.ingest_max_body = 100};
	(void)state;
	s.ingest_paths.v = paths;
	s.ingest_paths.n = 2;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char head[400];
		struct request r;
		snprintf(head, sizeof head, "%s HTTP/1.1\r\n" HOST "%s\r\n", rows[i].line, rows[i].headers);
		assert_int_equal(parse(head, &r), REFUSE_NOTHING);
		enum refusal refusal = request_check(&r, &s);
		if (refusal != rows[i].refusal)
			print_error("row %zu: %d instead of %d:\n%s", i, refusal, rows[i].refusal, head);
		assert_int_equal(refusal, rows[i].refusal);
	}
}

static void a_request_id_has_256_bytes_at_most(void **state)
{
	static char root[] = "/", *paths[] = {root};
	struct settings s = {.ingest_max_body = 100};
	(void)state;
	s.ingest_paths.v = paths;
	s.ingest_paths.n = 1;
	for (int n = 256; n <= 257; n++) {
		char head[600];
		struct request r;
		snprintf(head, sizeof head, POST "Content-Length: 3\r\nX-Amz-Firehose-Request-Id: %0*d\r\n\r\n", n, 7);
		assert_int_equal(parse(head, &r), REFUSE_NOTHING);
		assert_int_equal(request_check(&r, &s), n == 256 ? REFUSE_NOTHING : REFUSE_REQUEST_ID);
	}
}

/* ---- bodies in chunks ---- */

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static bool collect(void *arg, struct sp_bytes data)
{
	sp_buf_add(arg, data);
	return true;
}

/* Feeds in pieces; *rest: bytes behind the body. */
static enum chunked_state feed(const char *text, size_t piece, struct sp_buf *body, size_t *rest)
{
	struct sp_bytes data = sp_str(text);
	struct chunked *c = chunked_new(SP_LIT(CHUNKED), collect, body);
	enum chunked_state state = CHUNKED_MORE;
	size_t at = 0;
	while (state == CHUNKED_MORE && at < data.n) {
		size_t n = data.n - at < piece ? data.n - at : piece, used = 0;
		state = chunked_feed(c, sp_bytes(data.p + at, n), &used);
		at += used;
	}
	*rest = data.n - at;
	chunked_free(&c);
	return state;
}

static void chunks_give_the_same_body_however_they_are_cut(void **state)
{
	static const char next[] = POST "Content-Length: 1\r\n\r\n", *const forms[] = {
		"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
		"5;a=b\r\nhello\r\n006\r\n world\r\n0\r\n\r\n",
		"B\r\nhello world\r\n0\r\nX-Trailer: a\r\nHost: other\r\n\r\n",
	};
	(void)state;
	for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
		for (size_t piece = 1; piece < 200; piece++) {
			char text[400];
			struct sp_buf body = {0};
			size_t rest;
			snprintf(text, sizeof text, "%s%s", forms[f], next);
			enum chunked_state got = feed(text, piece, &body, &rest);
			if (got != CHUNKED_DONE)
				print_error("in pieces of %zu: %s\n", piece, text);
			assert_int_equal(got, CHUNKED_DONE);
			assert_int_equal(rest, sizeof next - 1); /* the next request begins exactly there */
			assert_true(sp_eq(sp_buf_view(&body), SP_LIT("hello world")));
			sp_buf_free(&body);
		}
}

static void bad_chunks_are_refused(void **state)
{
	static const char *const bad[] = {"x\r\n", "-1\r\n", "+5\r\nhello\r\n", "5\nhello\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5 \r\nhello\r\n",
		" 5\r\nhello\r\n", "0x5\r\nhello\r\n", "10000000000000000\r\n", "5;a\nb\r\nhello\r\n", "\r\n5\r\nhello\r\n"};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		for (size_t piece = 1; piece < 30; piece += 28) {
			struct sp_buf body = {0};
			size_t rest;
			enum chunked_state got = feed(bad[i], piece, &body, &rest);
			if (got != CHUNKED_BAD)
				print_error("row %zu: %s\n", i, bad[i]);
			assert_int_equal(got, CHUNKED_BAD);
			sp_buf_free(&body);
		}
}

static bool stop(void *arg, struct sp_bytes data)
{
	(void)arg, (void)data;
	return false;
}

static void the_taker_can_stop_a_body(void **state)
{
	struct chunked *c = chunked_new(SP_LIT(CHUNKED), stop, NULL);
	size_t used;
	(void)state;
	assert_int_equal(chunked_feed(c, SP_LIT("5\r\nhello\r\n"), &used), CHUNKED_BAD);
	chunked_free(&c);
}

static void trailers_and_extensions_end_some_time(void **state)
{
	static char line[] = "X-Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
	struct sp_buf body = {0};
	struct chunked *c = chunked_new(SP_LIT(CHUNKED), collect, &body);
	enum chunked_state got;
	size_t used, fed = 0;
	(void)state;
	got = chunked_feed(c, SP_LIT("1\r\na\r\n0\r\n"), &used);
	while (got == CHUNKED_MORE && fed < 2 * HEAD_MAX_BYTES) {
		got = chunked_feed(c, sp_str(line), &used);
		fed += sizeof line - 1;
	}
	assert_int_equal(got, CHUNKED_BAD);
	chunked_free(&c);
	sp_buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_read_strictly),
		cmocka_unit_test(the_whole_url_is_as_good_as_its_path),
		cmocka_unit_test(a_nul_is_never_part_of_a_head),
		cmocka_unit_test(every_spelling_of_chunked_is_one_for_both_parsers),
		cmocka_unit_test(what_a_head_says_is_found),
		cmocka_unit_test(heads_have_limits),
		cmocka_unit_test(a_head_may_come_in_pieces),
		cmocka_unit_test(deliveries_are_checked_before_their_body),
		cmocka_unit_test(a_request_id_has_256_bytes_at_most),
		cmocka_unit_test(chunks_give_the_same_body_however_they_are_cut),
		cmocka_unit_test(bad_chunks_are_refused),
		cmocka_unit_test(the_taker_can_stop_a_body),
		cmocka_unit_test(trailers_and_extensions_end_some_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
