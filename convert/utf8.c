#include "convert/utf8.h"

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
		size_t n = sp_utf8_len(s);
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
		size_t n = sp_utf8_len(s);
		memcpy(to, n ? (const void *)s.p : "\xef\xbf\xbd", n ? n : 3);
		to += n ? n : 3;
		n += !n;
		s.p += n, s.n -= n;
	}
	*out = sp_bytes(copy, (size_t)(to - copy));
	return SP_OK;
}
