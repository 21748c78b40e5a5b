#include "common/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* bits reversed */

static uint32_t table[256];

/* Before main, so that no thread ever sees a half-filled table. */
__attribute__((constructor)) static void table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
		table[i] = c;
	}
}

uint32_t sp_crc32c_table(uint32_t seed, const void *p, size_t n)
{
	const uint8_t *s = p;
	uint32_t c = ~seed;
	for (size_t i = 0; i < n; i++)
		c = table[(c ^ s[i]) & 0xff] ^ c >> 8;
	return ~c;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t seed, const void *p, size_t n)
{
	const uint8_t *s = p;
	uint64_t c = (uint32_t)~seed;
	for (; n >= 8; s += 8, n -= 8) {
		uint64_t word;
		memcpy(&word, s, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	uint32_t r = (uint32_t)c;
	for (; n; s++, n--)
		r = __builtin_ia32_crc32qi(r, *s);
	return ~r;
}

uint32_t sp_crc32c(uint32_t seed, const void *p, size_t n)
{
	return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(seed, p, n) : sp_crc32c_table(seed, p, n);
}
#else
uint32_t sp_crc32c(uint32_t seed, const void *p, size_t n)
{
	return sp_crc32c_table(seed, p, n);
}
#endif
