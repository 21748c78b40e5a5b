#include "common/bytes.h"

#include "common/alloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool sp_eq_nocase(struct sp_bytes a, struct sp_bytes b)
{
	size_t i = 0;
	while (a.n == b.n && i < a.n && (a.p[i] == b.p[i] || tolower(a.p[i]) == tolower(b.p[i])))
		i++;
	return a.n == b.n && i == a.n;
}

bool sp_is_name(struct sp_bytes s, bool colon)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum(s.p[i]) && s.p[i] != '_' && !(colon && s.p[i] == ':'))
			return false;
	return s.n > 0 && !isdigit(s.p[0]);
}

size_t sp_utf8_len(struct sp_bytes s)
{
	uint8_t a = s.p[0], low = 0x80, high = 0xbf;
	size_t n = a < 0x80 ? 1 : a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
	if (n < 2)
		return n;
	if (a == 0xe0)
		low = 0xa0;
	else if (a == 0xed)
		high = 0x9f;
	else if (a == 0xf0)
		low = 0x90;
	else if (a == 0xf4)
		high = 0x8f;
	if (s.n < n || s.p[1] < low || s.p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool sp_take_part(struct sp_bytes *in, char separator, struct sp_bytes *out)
{
	struct sp_bytes all = *in;
	const uint8_t *end = all.n ? memchr(all.p, separator, all.n) : NULL;
	if (end)
		*in = sp_bytes(end + 1, all.n - (size_t)(end + 1 - all.p));
	else
		in->n = 0;
	*out = sp_bytes(all.p, end ? (size_t)(end - all.p) : all.n);
	return all.n > 0;
}

/* Only the last "*" is ever tried again: what an earlier one took cannot help, the last takes whatever is left over. */
bool sp_glob(struct sp_bytes pattern, struct sp_bytes s)
{
	size_t p = 0, i = 0, star = SIZE_MAX, taken = 0;
	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			taken = i;
		} else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == s.p[i])) {
			p++, i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++taken;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

uint8_t *sp_buf_room(struct sp_buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->cap - b->n >= n)
		return b->p + b->n;
	if ((b->max && n > b->max - b->n) || n > SIZE_MAX / 4) {
		b->failed = true;
		return NULL;
	}
	size_t cap = b->cap ? b->cap * 2 : 256;
	while (cap - b->n < n)
		cap *= 2;
	if (b->max && cap > b->max)
		cap = b->max;
	uint8_t *p = sp_try_realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return p + b->n;
}

void sp_buf_add(struct sp_buf *b, struct sp_bytes s)
{
	if (s.n == 0)
		return;
	uint8_t *to = sp_buf_room(b, s.n);
	if (to) {
		memcpy(to, s.p, s.n);
		b->n += s.n;
	}
}

void sp_buf_str(struct sp_buf *b, const char *s)
{
	sp_buf_add(b, sp_str(s));
}

void sp_buf_join(struct sp_buf *b, struct sp_buf *part)
{
	sp_buf_add(b, sp_buf_view(part));
	b->failed |= part->failed;
	sp_buf_free(part);
}

void sp_buf_u8(struct sp_buf *b, uint8_t v)
{
	sp_buf_add(b, sp_bytes(&v, 1));
}

void sp_buf_varint(struct sp_buf *b, uint64_t v)
{
	uint8_t *to = sp_buf_room(b, 10);
	if (!to)
		return;
	size_t i = 0;
	for (; v >= 0x80; v >>= 7)
		to[i++] = (uint8_t)(v | 0x80);
	to[i++] = (uint8_t)v;
	b->n += i;
}

void sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	uint8_t *to = n < 0 ? NULL : sp_buf_room(b, (size_t)n + 1);
	if (to) {
		vsnprintf((char *)to, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void sp_buf_json(struct sp_buf *b, struct sp_bytes s)
{
	sp_buf_u8(b, '"');
	while (s.n) {
		size_t n = sp_utf8_len(s);
		uint8_t c = s.p[0];
		if (n == 0)
			sp_buf_str(b, "\xef\xbf\xbd"), n = 1;
		else if (c == '"' || c == '\\')
			sp_buf_u8(b, '\\'), sp_buf_u8(b, c);
		else if (c == '\n')
			sp_buf_str(b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			sp_buf_printf(b, "\\u%04x", c);
		else
			sp_buf_add(b, sp_bytes(s.p, n));
		s.p += n, s.n -= n;
	}
	sp_buf_u8(b, '"');
}

void sp_buf_base64(struct sp_buf *b, struct sp_bytes s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *to = sp_buf_room(b, (s.n + 2) / 3 * 4);
	if (!to)
		return;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)s.p[i] << 16 | (left > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) | (left > 2 ? s.p[i + 2] : 0);
		*to++ = (uint8_t)digits[v >> 18];
		*to++ = (uint8_t)digits[v >> 12 & 63];
		*to++ = left > 1 ? (uint8_t)digits[v >> 6 & 63] : '=';
		*to++ = left > 2 ? (uint8_t)digits[v & 63] : '=';
	}
	b->n += (s.n + 2) / 3 * 4;
}

void sp_buf_double(struct sp_buf *b, double v)
{
	if (isnan(v)) {
		sp_buf_str(b, "NaN");
		return;
	}
	if (isinf(v)) {
		sp_buf_str(b, v > 0 ? "+Inf" : "-Inf");
		return;
	}
	if (v == (double)(int64_t)fmax(fmin(v, 1e15), -1e15) && !(v == 0 && signbit(v))) {
		sp_buf_printf(b, "%" PRId64, (int64_t)v);
		return;
	}
	char text[32];
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	sp_buf_str(b, text);
}

void sp_buf_clear(struct sp_buf *b)
{
	b->n = 0;
	b->failed = false;
}

void sp_buf_free(struct sp_buf *b)
{
	sp_free(b->p);
	*b = (struct sp_buf){.max = b->max};
}

void sp_buf_free_secret(struct sp_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->n);
	sp_buf_free(b);
}

uint8_t *sp_buf_steal(struct sp_buf *b, size_t *n)
{
	uint8_t *p = b->p;
	*n = b->n;
	*b = (struct sp_buf){.max = b->max};
	return p;
}
