#include "convert/utf8.h"

/* Length of the well-formed sequence that s begins with; 0 when there is none (RFC 3629: no overlong forms, no
 * surrogates). */
static size_t sequence(struct sp_bytes s)
{
	uint8_t a = s.p[0], low = 0x80, high = 0xbf;
	size_t n = a < 0x80 ? 1 : a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
	if (n < 2)
		return n;
	if (s.n < n)
		return 0;
	if (a == 0xe0)
		low = 0xa0;
	else if (a == 0xed)
		high = 0x9f;
	else if (a == 0xf0)
		low = 0x90;
	else if (a == 0xf4)
		high = 0x8f;
	if (s.p[1] < low || s.p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

static uint64_t load(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static bool is_ascii(struct sp_bytes s)
{
	uint64_t seen = 0;
	if (s.n >= 8) {
		for (size_t i = 0; i + 8 < s.n; i += 8)
			seen |= load(s.p + i);
		seen |= load(s.p + s.n - 8);
	} else {
		for (size_t i = 0; i < s.n; i++)
			seen |= s.p[i];
	}
	return (seen & 0x8080808080808080) == 0;
}

bool utf8_ok(struct sp_bytes s)
{
	if (is_ascii(s))
		return true;
	while (s.n) {
		size_t n = sequence(s);
		if (n == 0)
			return false;
		s.p += n, s.n -= n;
	}
	return true;
}

enum sp_status utf8_clean(struct sp_bytes s, struct sp_arena *arena, struct sp_bytes *out)
{
	if (utf8_ok(s)) {
		*out = s;
		return SP_OK;
	}
	uint8_t *copy = s.n <= SIZE_MAX / 8 ? sp_arena_alloc(arena, 3 * s.n) : NULL;
	if (!copy)
		return SP_NO_MEM;
	uint8_t *to = copy;
	while (s.n) {
		size_t n = sequence(s);
		memcpy(to, n ? (const void *)s.p : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
		n += !n;
		s.p += n, s.n -= n;
	}
	*out = sp_bytes(copy, (size_t)(to - copy));
	return SP_OK;
}
