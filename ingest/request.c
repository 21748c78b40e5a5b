#include "ingest/request.h"

#include "common/alloc.h"

#include <llhttp/llhttp.h>

/* ---- the head ---- */

static const char *const header_names[HEADERS_KNOWN] = {
	[HEADER_HOST] = "host",
	[HEADER_TRANSFER_ENCODING] = "transfer-encoding",
	[HEADER_EXPECT] = "expect",
	[HEADER_CONTENT_TYPE] = "content-type",
	[HEADER_CONTENT_ENCODING] = "content-encoding",
	[HEADER_REQUEST_ID] = "x-amz-firehose-request-id",
	[HEADER_SOURCE_ARN] = "x-amz-firehose-source-arn",
	[HEADER_ACCESS_KEY] = "x-amz-firehose-access-key",
	[HEADER_COMMON_ATTRIBUTES] = "x-amz-firehose-common-attributes",
	[HEADER_PROTOCOL_VERSION] = "x-amz-firehose-protocol-version",
};

size_t request_head_length(struct sp_bytes data, size_t from)
{
	from = from > 3 ? from - 3 : 0;
	if (data.n < 4 || from > data.n)
		return 0;
	const uint8_t *end = memmem(data.p + from, data.n - from, "\r\n\r\n", 4);
	return end ? (size_t)(end - data.p) + 4 : 0;
}

enum refusal request_head_too_big(struct sp_bytes data)
{
	size_t line = data.n < HEAD_REQUEST_LINE_MAX_BYTES ? data.n : HEAD_REQUEST_LINE_MAX_BYTES;
	if (data.n > HEAD_REQUEST_LINE_MAX_BYTES && !memchr(data.p, '\n', line))
		return REFUSE_URI;
	return data.n > HEAD_MAX_BYTES ? REFUSE_HEADERS : REFUSE_NOTHING;
}

struct parsing {
	llhttp_t parser;
	struct request *r;
	struct sp_bytes name, value, url;
	unsigned headers;
	enum refusal refusal; /* ours; llhttp's own is REFUSE_HTTP */
};

/* The head lies in one piece, so a span comes whole; a value in two pieces is a folded one (obsolete, and read differently by others). */
static int add_span(struct parsing *p, struct sp_bytes *to, const char *at, size_t n)
{
	if (to->n && to->p + to->n != (const uint8_t *)at) {
		p->refusal = REFUSE_HTTP;
		return HPE_USER;
	}
	*to = to->n ? sp_bytes(to->p, to->n + n) : sp_bytes(at, n);
	return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
	struct parsing *p = parser->data;
	return add_span(p, &p->url, at, n);
}

static int on_field(llhttp_t *parser, const char *at, size_t n)
{
	struct parsing *p = parser->data;
	return add_span(p, &p->name, at, n);
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
	struct parsing *p = parser->data;
	return add_span(p, &p->value, at, n);
}

static int on_value_complete(llhttp_t *parser)
{
	struct parsing *p = parser->data;
	struct sp_bytes name = p->name, value = sp_trim(p->value);
	p->name = p->value = (struct sp_bytes){0};
	if (++p->headers > HEAD_MAX_HEADERS || name.n + value.n > HEAD_LINE_MAX_BYTES)
		p->refusal = REFUSE_HEADERS;
	for (int i = 0; i < HEADERS_KNOWN; i++) {
		if (!sp_eq_nocase(name, sp_str(header_names[i])))
			continue;
		if (p->r->has[i])
			p->refusal = i == HEADER_HOST ? REFUSE_HOST : REFUSE_DUPLICATE_HEADER;
		p->r->has[i] = true;
		p->r->header[i] = value;
	}
	return p->refusal == REFUSE_NOTHING ? 0 : HPE_USER;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct parsing *p = parser->data;
	struct request *r = p->r;
	r->has_length = parser->flags & F_CONTENT_LENGTH;
	r->length = r->has_length ? parser->content_length : 0;
	r->chunked = r->has[HEADER_TRANSFER_ENCODING];
	r->is_post = parser->method == HTTP_POST;
	r->is_get = parser->method == HTTP_GET;
	r->is_head = parser->method == HTTP_HEAD;
	r->keep_alive = llhttp_should_keep_alive(parser);
	return 1; /* the body is not this parser's */
}

static int on_head_done(llhttp_t *parser)
{
	(void)parser;
	return HPE_PAUSED; /* what follows is the body */
}

static const llhttp_settings_t head_callbacks = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_head_done,
};

/* Three things that llhttp lets pass and others read differently: a line that begins with a blank (obsolete folding), a blank before the
 * colon, and nothing before it. */
static bool has_odd_line(struct sp_bytes head)
{
	struct sp_bytes line, name;
	(void)sp_take_part(&head, '\n', &line); /* of the request */
	while (sp_take_part(&head, '\n', &line)) {
		bool any = sp_take_part(&line, ':', &name);
		if (sp_trim(name).n != name.n || (any && name.n == 0))
			return true;
	}
	return false;
}

/* Without the query. Proxies may write the whole URL, "http://host/path" (RFC 9112, 3.2.2). */
static struct sp_bytes path_of(struct sp_bytes url)
{
	const uint8_t *authority = url.n && url.p[0] != '/' ? memmem(url.p, url.n, "://", 3) : NULL;
	if (authority) {
		authority += 3;
		size_t n = (size_t)(url.p + url.n - authority), host = 0;
		while (host < n && authority[host] != '/' && authority[host] != '?')
			host++;
		if (host == n || authority[host] == '?')
			return SP_LIT("/");
		url = sp_bytes(authority + host, n - host);
	}
	(void)sp_take_part(&url, '?', &url);
	return url;
}

enum refusal request_parse(struct sp_bytes head, struct request *out)
{
	struct parsing p = {.r = out};
	*out = (struct request){0};
	if (memchr(head.p, 0, head.n) || has_odd_line(head))
		return REFUSE_HTTP;
	llhttp_init(&p.parser, HTTP_REQUEST, &head_callbacks);
	p.parser.data = &p;
	enum llhttp_errno e = llhttp_execute(&p.parser, (const char *)head.p, head.n);
	if (p.refusal != REFUSE_NOTHING)
		return p.refusal;
	if (e == HPE_INVALID_VERSION || e == HPE_PAUSED_H2_UPGRADE)
		return REFUSE_HTTP_VERSION;
	if (e != HPE_PAUSED || llhttp_get_error_pos(&p.parser) != (const char *)head.p + head.n)
		return REFUSE_HTTP;
	if (p.parser.http_major != 1)
		return REFUSE_HTTP_VERSION;
	bool http10 = p.parser.http_minor == 0;
	if (!http10 && (!out->has[HEADER_HOST] || out->header[HEADER_HOST].n == 0))
		return REFUSE_HOST;
	/* llhttp must see it too, or it would not find the body's end: a tab behind the word is enough to hide it. */
	bool is_chunked = (p.parser.flags & F_CHUNKED) && sp_eq_nocase(out->header[HEADER_TRANSFER_ENCODING], SP_LIT("chunked"));
	if (out->chunked && (http10 || out->has_length || !is_chunked))
		return REFUSE_HTTP;
	out->path = path_of(p.url);
	return REFUSE_NOTHING;
}

/* ---- what a delivery must be ---- */

static bool is_usable_id(struct sp_bytes id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] < '!' || id.p[i] > '~')
			return false;
	return id.n > 0 && id.n <= REQUEST_ID_MAX_BYTES;
}

static bool is_json_type(struct sp_bytes type)
{
	struct sp_bytes name; /* parameters follow it */
	return sp_take_part(&type, ';', &name) && sp_eq_nocase(sp_trim(name), SP_LIT("application/json"));
}

static bool is_our_path(const struct settings *s, struct sp_bytes path)
{
	for (size_t i = 0; i < s->ingest_paths.n; i++)
		if (sp_eq(path, sp_str(s->ingest_paths.v[i])))
			return true;
	return false;
}

enum refusal request_check(struct request *r, const struct settings *s)
{
	struct sp_bytes coding = r->header[HEADER_CONTENT_ENCODING];
	r->gzip = sp_eq_nocase(coding, SP_LIT("gzip")) || sp_eq_nocase(coding, SP_LIT("x-gzip"));
	r->expects_continue = sp_eq_nocase(r->header[HEADER_EXPECT], SP_LIT("100-continue"));
	bool bad_id = r->has[HEADER_REQUEST_ID] && !is_usable_id(r->header[HEADER_REQUEST_ID]);
	if (bad_id)
		r->header[HEADER_REQUEST_ID] = (struct sp_bytes){0}; /* no answer echoes it */
	if (!is_our_path(s, r->path))
		return REFUSE_PATH;
	if (!r->is_post)
		return REFUSE_METHOD;
	if (r->has[HEADER_EXPECT] && !r->expects_continue)
		return REFUSE_EXPECT;
	if (r->has[HEADER_PROTOCOL_VERSION] && !sp_eq(r->header[HEADER_PROTOCOL_VERSION], SP_LIT("1.0")))
		return REFUSE_PROTOCOL;
	if (bad_id)
		return REFUSE_REQUEST_ID;
	if (r->has[HEADER_CONTENT_TYPE] && !is_json_type(r->header[HEADER_CONTENT_TYPE]))
		return REFUSE_TYPE;
	if (r->has[HEADER_CONTENT_ENCODING] && coding.n && !r->gzip && !sp_eq_nocase(coding, SP_LIT("identity")))
		return REFUSE_ENCODING;
	if (!r->chunked && !r->has_length)
		return REFUSE_LENGTH;
	if (r->has_length && r->length == 0)
		return REFUSE_EMPTY;
	if (r->has_length && r->length > (uint64_t)s->ingest_max_body)
		return REFUSE_SIZE;
	return REFUSE_NOTHING;
}

/* ---- a body in chunks ---- */

struct chunked {
	llhttp_t parser;
	chunked_fn fn;
	void *arg;
	size_t body, fed; /* bytes */
	bool refused;
};

static int on_chunk_data(llhttp_t *parser, const char *at, size_t n)
{
	struct chunked *c = parser->data;
	c->body += n;
	c->refused = !c->fn(c->arg, sp_bytes(at, n));
	return c->refused ? HPE_USER : 0;
}

static const llhttp_settings_t chunk_callbacks = {.on_body = on_chunk_data, .on_message_complete = on_head_done};

struct chunked *chunked_new(struct sp_bytes head, chunked_fn fn, void *arg)
{
	struct chunked *c = sp_new(struct chunked);
	c->fn = fn;
	c->arg = arg;
	llhttp_init(&c->parser, HTTP_REQUEST, &chunk_callbacks);
	c->parser.data = c;
	/* The head was accepted before: this only brings the parser to where the body begins. */
	SP_BUG_IF(llhttp_execute(&c->parser, (const char *)head.p, head.n) != HPE_OK);
	return c;
}

void chunked_free(struct chunked **c)
{
	sp_free(*c);
	*c = NULL;
}

enum chunked_state chunked_feed(struct chunked *c, struct sp_bytes data, size_t *used)
{
	enum llhttp_errno e = llhttp_execute(&c->parser, (const char *)data.p, data.n);
	*used = data.n;
	if (e == HPE_PAUSED) {
		*used = (size_t)((const uint8_t *)llhttp_get_error_pos(&c->parser) - data.p);
		return CHUNKED_DONE;
	}
	c->fed += data.n;
	/* One byte a chunk costs six; extensions and trailers come on top, within the limit of a head. */
	bool wasteful = c->fed - c->body > HEAD_MAX_BYTES + 8 * c->body;
	return e == HPE_OK && !wasteful ? CHUNKED_MORE : CHUNKED_BAD;
}
