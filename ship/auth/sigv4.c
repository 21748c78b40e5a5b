#include "ship/auth/sigv4.h"

#include "common/alloc.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

/* ---- the canonical request ---- */

static bool is_unreserved(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

void aws_encode(struct sp_buf *out, struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (is_unreserved(s.p[i]))
			sp_buf_u8(out, s.p[i]);
		else
			sp_buf_printf(out, "%%%02X", s.p[i]);
	}
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* What came percent-encoded from a URL, encoded as AWS does it. */
static void add_encoded_again(struct sp_buf *out, struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0) {
			c = (uint8_t)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
			i += 2;
		}
		aws_encode(out, sp_bytes(&c, 1));
	}
}

/* The path as it is sent, encoded once more (only S3 does without), no empty, "." and ".." segments. */
static void add_path(struct sp_buf *out, const char *path)
{
	size_t start = out->n, n = strlen(path);
	for (const char *at = path; *at; at += strcspn(at, "/"), at += *at == '/') {
		struct sp_bytes segment = sp_bytes(at, strcspn(at, "/"));
		if (segment.n == 0 || sp_eq(segment, SP_LIT(".")))
			continue;
		if (sp_eq(segment, SP_LIT(".."))) {
			while (out->n > start && out->p[--out->n] != '/')
				;
			continue;
		}
		sp_buf_u8(out, '/');
		aws_encode(out, segment);
	}
	if (out->n == start || path[n - 1] == '/')
		sp_buf_u8(out, '/');
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted by name, then by value: between the two stands a byte that is less than any other until they are sorted. */
static void add_query(struct sp_buf *out, const char *query)
{
	char **params = NULL;
	size_t n = 0;
	for (const char *at = query; at && *at; at += strcspn(at, "&"), at += *at == '&') {
		struct sp_buf one = {0};
		size_t len = strcspn(at, "&"), name = strcspn(at, "=&");
		add_encoded_again(&one, sp_bytes(at, name));
		sp_buf_u8(&one, '\1');
		if (name < len)
			add_encoded_again(&one, sp_bytes(at + name + 1, len - name - 1));
		params = sp_realloc(params, (n + 1) * sizeof *params);
		params[n++] = sp_strndup(one.p, one.n);
		sp_buf_free(&one);
	}
	if (n)
		qsort(params, n, sizeof *params, by_text);
	for (size_t i = 0; i < n; i++) {
		*strchr(params[i], '\1') = '=';
		sp_buf_printf(out, "%s%s", i ? "&" : "", params[i]);
		sp_free(params[i]);
	}
	sp_free(params);
}

/* Blanks around it do not count, and several between count as one. */
static void add_value(struct sp_buf *out, const char *value)
{
	struct sp_bytes v = sp_trim(sp_str(value));
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] != ' ' || v.p[i - 1] != ' ')
			sp_buf_u8(out, v.p[i]);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sigv4_header *)a)->name, ((const struct sigv4_header *)b)->name);
}

static void add_hash(struct sp_buf *out, const uint8_t digest[SHA256_DIGEST_LENGTH])
{
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++)
		sp_buf_printf(out, "%02x", digest[i]);
}

static void add_hash_of(struct sp_buf *out, struct sp_bytes what)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA256(what.n ? what.p : (const uint8_t *)"", what.n, digest);
	add_hash(out, digest);
}

/* Writes the names of the signed headers into `names`. */
static void add_request(
    struct sp_buf *out, const struct sigv4_request *r, const char *date, const char *token, struct sp_buf *names)
{
	struct sigv4_header headers[SIGV4_EXTRA_HEADERS_MAX + 3] = {{"host", r->host}, {"x-amz-date", date}};
	size_t n = 2;
	if (token)
		headers[n++] = (struct sigv4_header){"x-amz-security-token", token};
	SP_BUG_IF(r->n_headers > SIGV4_EXTRA_HEADERS_MAX);
	for (size_t i = 0; i < r->n_headers; i++)
		headers[n++] = r->headers[i];
	qsort(headers, n, sizeof *headers, by_name);

	sp_buf_printf(out, "%s\n", r->method);
	add_path(out, r->path);
	sp_buf_u8(out, '\n');
	add_query(out, r->query);
	sp_buf_u8(out, '\n');
	for (size_t i = 0; i < n; i++) {
		sp_buf_printf(out, "%s:", headers[i].name);
		add_value(out, headers[i].value);
		sp_buf_u8(out, '\n');
		sp_buf_printf(names, "%s%s", i ? ";" : "", headers[i].name);
	}
	sp_buf_u8(out, '\n');
	sp_buf_add(out, sp_buf_view(names));
	sp_buf_u8(out, '\n');
	add_hash_of(out, r->body);
}

/* ---- the signature ---- */

static void hmac(const uint8_t *key, size_t n, struct sp_bytes what, uint8_t out[SHA256_DIGEST_LENGTH])
{
	SP_BUG_IF(!HMAC(EVP_sha256(), key, (int)n, what.p, what.n, out, NULL));
}

/* A key for one day, region and service, made of the secret. */
static void derive_key(
    const char *secret, const char *day, const char *region, const char *service, uint8_t key[SHA256_DIGEST_LENGTH])
{
	struct sp_buf first = {0};
	sp_buf_printf(&first, "AWS4%s", secret);
	hmac(first.p, first.n, sp_str(day), key);
	hmac(key, SHA256_DIGEST_LENGTH, sp_str(region), key);
	hmac(key, SHA256_DIGEST_LENGTH, sp_str(service), key);
	hmac(key, SHA256_DIGEST_LENGTH, SP_LIT("aws4_request"), key);
	sp_buf_free_secret(&first);
}

void sigv4_sign(const struct sigv4_request *r, const struct aws_keys *keys, const char *region, const char *service,
    int64_t wall_ms, char *lines[SIGV4_LINES])
{
	struct sp_buf request = {0}, names = {0}, scope = {0}, text = {0}, line = {0};
	uint8_t key[SHA256_DIGEST_LENGTH], signature[SHA256_DIGEST_LENGTH];
	char date[20], day[10];
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &tm);
	strftime(day, sizeof day, "%Y%m%d", &tm);

	add_request(&request, r, date, keys->token, &names);
	sp_buf_printf(&scope, "%s/%s/%s/aws4_request", day, region, service);
	sp_buf_printf(&text, ALGORITHM "\n%s\n%.*s\n", date, (int)scope.n, (const char *)scope.p);
	add_hash_of(&text, sp_buf_view(&request));
	derive_key(keys->secret, day, region, service, key);
	hmac(key, sizeof key, sp_buf_view(&text), signature);
	explicit_bzero(key, sizeof key);

	sp_buf_printf(&line,
	    "Authorization: " ALGORITHM " Credential=%s/%.*s, SignedHeaders=%.*s, Signature=", keys->id, (int)scope.n,
	    (const char *)scope.p, (int)names.n, (const char *)names.p);
	add_hash(&line, signature);
	size_t n = 0;
	lines[n++] = sp_asprintf("X-Amz-Date: %s", date);
	if (keys->token)
		lines[n++] = sp_asprintf("X-Amz-Security-Token: %s", keys->token);
	lines[n++] = sp_strndup(line.p, line.n);
	lines[n] = NULL;
	sp_buf_free_secret(&request);
	sp_buf_free(&names);
	sp_buf_free(&scope);
	sp_buf_free(&text);
	sp_buf_free(&line);
}

void sigv4_lines_free(char *lines[SIGV4_LINES])
{
	for (size_t i = 0; i < SIGV4_LINES && lines[i]; i++)
		sp_free_secret(&lines[i]);
}
