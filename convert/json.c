#include "convert/json.h"

#include "convert/utf8.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EXACT_DIGITS 15 /* integers of so many digits are exact as double, */
#define EXACT_POWER 22  /* and so are the powers of ten up to this one */

bool json_fail(struct json *j, const char *error)
{
	if (!j->error)
		j->error = error;
	return false;
}

struct json json_begin(struct sp_bytes text, struct sp_arena *arena)
{
	if (text.n == 0)
		text = SP_LIT(""); /* not NULL, which nothing may be added to */
	return (struct json){.begin = text.p, .at = text.p, .end = text.p + text.n, .arena = arena};
}

/* The first byte at or after p that is no plain ASCII character of a string. */
static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), blank = _mm_set1_epi8(' ');
	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed, so that bytes from 0x80 on are below the blank, like control characters. */
		__m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)), _mm_cmplt_epi8(v, blank));
		int mask = _mm_movemask_epi8(odd);
		if (mask)
			return p + __builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && *p != '"' && *p != '\\' && *p >= ' ' && *p < 0x80)
		p++;
	return p;
}

static bool take_hex4(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
	if (end - *p < 4)
		return false;
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = *(*p)++, lower = c | 0x20;
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			v = v << 4 | (uint32_t)(lower - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (uint8_t)c;
	} else if (c < 0x800) {
		*to++ = (uint8_t)(0xc0 | c >> 6);
		*to++ = (uint8_t)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (uint8_t)(0xe0 | c >> 12);
		*to++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*to++ = (uint8_t)(0x80 | (c & 0x3f));
	} else {
		*to++ = (uint8_t)(0xf0 | c >> 18);
		*to++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
		*to++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		*to++ = (uint8_t)(0x80 | (c & 0x3f));
	}
	return to;
}

/* One escape, p behind its backslash. NULL: there is no such escape. */
static uint8_t *unescape_one(const uint8_t **p, const uint8_t *end, uint8_t *to)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	uint32_t c, low;
	if (*p == end)
		return NULL;
	uint8_t e = *(*p)++;
	if (e != 'u') {
		const char *at = e ? strchr(letters, e) : NULL;
		if (!at)
			return NULL;
		*to = (uint8_t)meant[at - letters];
		return to + 1;
	}
	if (!take_hex4(p, end, &c))
		return NULL;
	if (c >= 0xdc00 && c <= 0xdfff)
		return NULL; /* the second half of a pair, alone */
	if (c >= 0xd800 && c <= 0xdbff) {
		if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
			return NULL;
		*p += 2;
		if (!take_hex4(p, end, &low) || low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return put_utf8(to, c);
}

static bool out_of_memory(struct json *j)
{
	j->no_mem = true;
	return json_fail(j, "out of memory");
}

/* Finds the end of the string that j stands on. Escapes and UTF-8 are not checked yet. */
static bool string_span(struct json *j, struct sp_bytes *out, bool *escapes, bool *ascii)
{
	const uint8_t *start = j->at + 1, *p = start;
	*escapes = false;
	*ascii = true;
	while ((p = plain_end(p, j->end)) < j->end && *p != '"') {
		if (*p == '\\') {
			*escapes = true;
			p += j->end - p > 1 ? 2 : 1;
		} else if (*p >= 0x80) {
			*ascii = false;
			p++;
		} else {
			j->at = p;
			return json_fail(j, "control character in a string");
		}
	}
	j->at = p;
	if (p == j->end)
		return json_fail(j, "the string has no end");
	j->at++;
	*out = sp_bytes(start, (size_t)(p - start));
	return true;
}

static bool unescape(struct json *j, struct sp_bytes *s)
{
	uint8_t *copy = sp_arena_alloc(j->arena, s->n), *to = copy; /* no escape is shorter than what it stands for */
	if (!copy)
		return out_of_memory(j);
	const uint8_t *p = s->p, *end = s->p + s->n;
	while (p < end) {
		const uint8_t *backslash = memchr(p, '\\', (size_t)(end - p));
		size_t plain = (size_t)((backslash ? backslash : end) - p);
		memcpy(to, p, plain);
		to += plain, p += plain;
		if (p < end) {
			const uint8_t *escape = p++;
			to = unescape_one(&p, end, to);
			if (!to) {
				j->at = escape;
				return json_fail(j, "no such escape");
			}
		}
	}
	*s = sp_bytes(copy, (size_t)(to - copy));
	return true;
}

bool json_string(struct json *j, struct sp_bytes *out)
{
	bool escapes, ascii;
	if (json_peek(j) != JSON_STRING)
		return json_fail(j, "string expected");
	const uint8_t *start = j->at;
	if (!string_span(j, out, &escapes, &ascii) || (escapes && !unescape(j, out)))
		return false;
	if (ascii || utf8_ok(*out))
		return true;
	if (!j->mend_utf8) {
		j->at = start;
		return json_fail(j, "invalid UTF-8");
	}
	j->mended++;
	return utf8_clean(*out, j->arena, out) == SP_OK || out_of_memory(j);
}

static bool is_digit(const struct json *j)
{
	return j->at < j->end && *j->at >= '0' && *j->at <= '9';
}

static bool take(struct json *j, char c)
{
	if (j->at == j->end || *j->at != (uint8_t)c)
		return false;
	j->at++;
	return true;
}

static double scan_slowly(struct json *j, struct sp_bytes text)
{
	char *copy = sp_arena_alloc(j->arena, text.n + 1);
	if (!copy) {
		out_of_memory(j);
		return 0;
	}
	memcpy(copy, text.p, text.n);
	copy[text.n] = 0;
	return strtod(copy, NULL); /* the locale is "C": nobody sets another */
}

bool json_number(struct json *j, double *out, struct sp_bytes *text)
{
	static const double powers[EXACT_POWER + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
		1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	if (json_peek(j) != JSON_NUMBER)
		return json_fail(j, "number expected");
	const uint8_t *start = j->at;
	bool negative = take(j, '-'), ok = is_digit(j);
	uint64_t digits = 0;
	size_t n = 0; /* digits, without leading zeros */
	int power = 0;
	bool plain = true; /* no exponent */
	if (!take(j, '0')) {
		for (; is_digit(j); j->at++, n++)
			digits = n < EXACT_DIGITS ? digits * 10 + (*j->at - '0') : digits;
	}
	if (take(j, '.')) {
		ok = ok && is_digit(j);
		for (; is_digit(j); j->at++, power = power > -1000 ? power - 1 : power) {
			n += n > 0 || *j->at != '0';
			digits = n <= EXACT_DIGITS ? digits * 10 + (*j->at - '0') : digits;
		}
	}
	if (take(j, 'e') || take(j, 'E')) {
		plain = false;
		if (!take(j, '+'))
			(void)take(j, '-');
		ok = ok && is_digit(j);
		while (is_digit(j))
			j->at++;
	}
	if (!ok)
		return json_fail(j, "digit expected");
	struct sp_bytes all = sp_bytes(start, (size_t)(j->at - start));
	if (text)
		*text = all;
	if (plain && n <= EXACT_DIGITS && -power <= EXACT_POWER) {
		double v = (double)digits / powers[-power]; /* both exact, so the quotient is the nearest double */
		*out = negative ? -v : v;
	} else {
		*out = scan_slowly(j, all);
	}
	return !j->error;
}

bool json_word(struct json *j, struct sp_bytes *out)
{
	static const char *const words[] = {"true", "false", "null"};
	for (size_t i = 0; json_peek(j) == JSON_WORD && i < 3; i++) {
		struct sp_bytes word = sp_str(words[i]);
		if (sp_starts(sp_bytes(j->at, (size_t)(j->end - j->at)), word)) {
			*out = sp_bytes(j->at, word.n);
			j->at += word.n;
			return true;
		}
	}
	return json_fail(j, "no JSON value");
}

bool json_enter(struct json *j)
{
	if (j->depth == JSON_DEPTH)
		return json_fail(j, "too deep");
	j->depth++;
	j->at++;
	return true;
}

/* Behind the opening bracket or a value: true when another one follows, false at the closing bracket, which is passed. */
static bool next(struct json *j, char open, char close)
{
	if (j->error)
		return false;
	bool first = j->at[-1] == (uint8_t)open; /* no value ends with an opening bracket */
	(void)json_peek(j);
	if (take(j, close)) {
		j->depth--;
		return false;
	}
	return first || take(j, ',') || json_fail(j, j->at == j->end ? "the text is cut off" : "comma or closing bracket expected");
}

bool json_next_member(struct json *j, struct sp_bytes *key)
{
	if (!next(j, '{', '}') || !json_string(j, key))
		return false;
	(void)json_peek(j);
	return take(j, ':') || json_fail(j, "colon expected");
}

bool json_next_item(struct json *j)
{
	if (!next(j, '[', ']'))
		return false;
	return json_peek(j) != JSON_NONE || json_fail(j, "value expected");
}

bool json_skip(struct json *j)
{
	struct sp_bytes ignored;
	double number;
	switch (json_peek(j)) {
	case JSON_OBJECT:
		for (json_enter(j); json_next_member(j, &ignored);)
			json_skip(j);
		break;
	case JSON_ARRAY:
		for (json_enter(j); json_next_item(j);)
			json_skip(j);
		break;
	case JSON_STRING:
		return json_string(j, &ignored);
	case JSON_NUMBER:
		return json_number(j, &number, NULL);
	case JSON_WORD:
		return json_word(j, &ignored);
	case JSON_NONE:
		return json_fail(j, "value expected");
	}
	return !j->error;
}
