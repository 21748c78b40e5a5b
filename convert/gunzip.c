#include "convert/gunzip.h"

#include "common/alloc.h"

#include <libdeflate.h>

#define SMALLEST_MEMBER 18 /* 10 bytes of header, 8 of trailer */
#define DEFLATE_RATIO 1032 /* the most that one byte of deflate can stand for */

struct gunzip {
	struct libdeflate_decompressor *inflate;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = sp_new(struct gunzip);
	g->inflate = libdeflate_alloc_decompressor();
	SP_BUG_IF(!g->inflate);
	return g;
}

void gunzip_free(struct gunzip **g)
{
	if (!*g)
		return;
	libdeflate_free_decompressor((*g)->inflate);
	sp_free(*g);
	*g = NULL;
}

bool gunzip_is_gzip(struct sp_bytes in)
{
	return in.n >= 3 && in.p[0] == 0x1f && in.p[1] == 0x8b && in.p[2] == 8;
}

static bool is_zero(struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i])
			return false;
	return true;
}

/* What the last member says its size is: nearly always the size of the whole. Only a first guess. */
static size_t announced(struct sp_bytes in, size_t max)
{
	struct sp_bytes trailer = sp_bytes(in.p + in.n - 4, 4);
	uint32_t size = 0;
	(void)sp_take_le32(&trailer, &size);
	size_t possible = in.n < max / DEFLATE_RATIO ? in.n * DEFLATE_RATIO : max;
	return size < possible ? size : possible;
}

enum sp_status gunzip_run(struct gunzip *g, struct sp_bytes in, size_t max, struct sp_arena *arena, struct sp_bytes *out,
    struct sp_why *why)
{
	if (!gunzip_is_gzip(in))
		return sp_fail(why, SP_BAD_DATA, "not gzip");
	if (in.n < SMALLEST_MEMBER)
		return sp_fail(why, SP_BAD_DATA, "gzip data is cut off");
	struct sp_bytes rest = in;
	size_t cap = announced(in, max), used = 0;
	uint8_t *p = sp_arena_alloc(arena, cap);
	if (!p)
		return sp_fail(why, SP_NO_MEM, "no memory to inflate %zu bytes", cap);
	while (rest.n) {
		size_t took, made;
		enum libdeflate_result r = libdeflate_gzip_decompress_ex(g->inflate, rest.p, rest.n, p + used, cap - used, &took, &made);
		if (r == LIBDEFLATE_INSUFFICIENT_SPACE) {
			if (cap == max)
				return sp_fail(why, SP_TOO_BIG, "decompressed body over %zu bytes", max);
			size_t wider = cap < max / 2 ? 2 * cap + 4096 : max;
			wider = wider < max ? wider : max;
			p = sp_arena_grow(arena, p, cap, wider);
			if (!p)
				return sp_fail(why, SP_NO_MEM, "no memory to inflate %zu bytes", wider);
			cap = wider;
			continue;
		}
		size_t at = in.n - rest.n;
		if (r != LIBDEFLATE_SUCCESS)
			return sp_fail(why, SP_BAD_DATA, "the gzip member at byte %zu is damaged or cut off", at);
		used += made;
		rest = sp_bytes(rest.p + took, rest.n - took);
		if (is_zero(rest))
			break;
		if (!gunzip_is_gzip(rest))
			return sp_fail(why, SP_BAD_DATA, "data behind the end of gzip at byte %zu", in.n - rest.n);
	}
	*out = sp_bytes(p, used);
	return SP_OK;
}
