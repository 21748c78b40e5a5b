/* base64 - the standard alphabet with padding (RFC 4648, section 4), and nothing else: no blanks, no missing padding, no bits left over.
 *
 * A lenient decoder would turn a damaged record into shifted, plausible bytes. With AVX2 where the CPU has it (chosen at run time),
 * by table otherwise; equal results. Any thread.
 */
#ifndef CONVERT_BASE64_H
#define CONVERT_BASE64_H

#include "common/bytes.h"

/* Bytes to have for the output of n characters. */
static inline size_t base64_room(size_t n)
{
	return n / 4 * 3 + 32; /* the vector loop stores whole registers */
}
/* False when text is not base64; *bad_at is then where. out has base64_room(text.n) bytes. */
SP_CHECKED bool base64_decode(struct sp_bytes text, uint8_t *out, size_t *out_n, size_t *bad_at);
/* The twin by table: for tests. */
SP_CHECKED bool base64_decode_table(struct sp_bytes text, uint8_t *out, size_t *out_n, size_t *bad_at);

#endif
