#include "convert/base64.h"

/* Value + 1 of each character of the alphabet; 0: not in it. */
static const uint8_t codes[256] = {
	['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8,
	['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
	['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
	['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
	['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
	['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
	['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Whole quads without padding from text[at], up to text[end]. Returns where it stopped. */
static size_t quads_by_table(struct sp_bytes text, size_t at, size_t end, uint8_t *out)
{
	for (; at + 4 <= end; at += 4, out += 3) {
		uint32_t a = codes[text.p[at]], b = codes[text.p[at + 1]], c = codes[text.p[at + 2]], d = codes[text.p[at + 3]];
		if (!a || !b || !c || !d)
			break;
		uint32_t bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		out[0] = (uint8_t)(bits >> 16), out[1] = (uint8_t)(bits >> 8), out[2] = (uint8_t)bits;
	}
	return at;
}

#ifdef __x86_64__
#include <immintrin.h>

/* The same, 32 characters at a time (Mula and Lemire, "Faster Base64 Encoding and Decoding using AVX2 Instructions"): two table
 * look-ups by nibble find what is not in the alphabet, a third gives the distance from character to value. */
__attribute__((target("avx2"))) static size_t quads_by_avx2(struct sp_bytes text, size_t end, uint8_t *out)
{
	const __m256i lo_table = _mm256_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b,
		0x1a, 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
	const __m256i hi_table = _mm256_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
		0x10, 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
	const __m256i distances = _mm256_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 19, 4, -65, -65, -71, -71,
		0, 0, 0, 0, 0, 0, 0, 0);
	const __m256i pack = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12,
		-1, -1, -1, -1);
	const __m256i slash = _mm256_set1_epi8(0x2f);
	size_t at = 0;
	for (; at + 32 <= end; at += 32, out += 24) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(text.p + at));
		__m256i hi = _mm256_and_si256(_mm256_srli_epi32(v, 4), slash), lo = _mm256_and_si256(v, slash);
		if (!_mm256_testz_si256(_mm256_shuffle_epi8(lo_table, lo), _mm256_shuffle_epi8(hi_table, hi)))
			break;
		__m256i distance = _mm256_shuffle_epi8(distances, _mm256_add_epi8(_mm256_cmpeq_epi8(v, slash), hi));
		v = _mm256_maddubs_epi16(_mm256_add_epi8(v, distance), _mm256_set1_epi32(0x01400140));
		v = _mm256_shuffle_epi8(_mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000)), pack);
		v = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
		_mm256_storeu_si256((__m256i *)(void *)out, v);
	}
	return at;
}

static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
static size_t quads_by_avx2(struct sp_bytes text, size_t end, uint8_t *out)
{
	(void)text, (void)end, (void)out;
	return 0;
}

static bool have_avx2(void)
{
	return false;
}
#endif

static size_t first_bad(struct sp_bytes text, size_t at)
{
	while (at < text.n && codes[text.p[at]])
		at++;
	return at;
}

static bool decode(struct sp_bytes text, uint8_t *out, size_t *out_n, size_t *bad_at, bool vector)
{
	*out_n = 0;
	if (text.n == 0)
		return true;
	size_t tail = text.n & 3 ? text.n & ~(size_t)3 : text.n - 4; /* the last quad may be padded */
	size_t at = vector ? quads_by_avx2(text, tail, out) : 0;
	at = quads_by_table(text, at, tail, out + at / 4 * 3);
	if (at < tail || text.n & 3) {
		*bad_at = first_bad(text, at);
		return false;
	}
	const uint8_t *q = text.p + tail;
	uint8_t *to = out + tail / 4 * 3;
	size_t n = q[3] != '=' ? 4 : q[2] != '=' ? 3 : 2;
	uint32_t bits = 0;
	for (size_t i = 0; i < n; i++) {
		if (!codes[q[i]]) {
			*bad_at = tail + i;
			return false;
		}
		bits |= (uint32_t)(codes[q[i]] - 1) << (18 - 6 * i);
	}
	if (bits & ((1u << 8 * (4 - n)) - 1)) { /* bits that belong to no byte */
		*bad_at = tail + n - 1;
		return false;
	}
	for (size_t i = 0; i < n - 1; i++)
		to[i] = (uint8_t)(bits >> (16 - 8 * i));
	*out_n = tail / 4 * 3 + n - 1;
	return true;
}

bool base64_decode(struct sp_bytes text, uint8_t *out, size_t *out_n, size_t *bad_at)
{
	return decode(text, out, out_n, bad_at, have_avx2());
}

bool base64_decode_table(struct sp_bytes text, uint8_t *out, size_t *out_n, size_t *bad_at)
{
	return decode(text, out, out_n, bad_at, false);
}
