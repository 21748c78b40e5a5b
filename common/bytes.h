/* bytes - views of memory that belongs to somebody else, readers that cannot overrun, and a growing buffer.
 *
 * A view is passed by value and never stored longer than what it looks at lives. Nothing is NUL-terminated.
 * A reader (sp_take_*) moves the view forward and returns true, or returns false and leaves it where it was.
 */
#ifndef SP_BYTES_H
#define SP_BYTES_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sp_bytes {
	const uint8_t *p;
	size_t n;
};

#define SP_LIT(s) ((struct sp_bytes){(const uint8_t *)("" s), sizeof(s) - 1})

static inline struct sp_bytes sp_bytes(const void *p, size_t n)
{
	return (struct sp_bytes){p, n};
}

static inline struct sp_bytes sp_str(const char *s)
{
	return s ? (struct sp_bytes){(const uint8_t *)s, strlen(s)} : (struct sp_bytes){NULL, 0};
}

static inline bool sp_eq(struct sp_bytes a, struct sp_bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Byte order, as strcmp: negative, 0, positive. */
static inline int sp_cmp(struct sp_bytes a, struct sp_bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Without the spaces and tabs at both ends. */
static inline struct sp_bytes sp_trim(struct sp_bytes s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static inline bool sp_starts(struct sp_bytes s, struct sp_bytes head)
{
	return s.n >= head.n && sp_eq((struct sp_bytes){s.p, head.n}, head);
}

static inline bool sp_ends(struct sp_bytes s, struct sp_bytes tail)
{
	return s.n >= tail.n && sp_eq((struct sp_bytes){s.p + (s.n - tail.n), tail.n}, tail);
}

/* May a label or, with the colon, a metric have this name? Prometheus: [a-zA-Z_][a-zA-Z0-9_]* */
bool sp_is_name(struct sp_bytes s, bool colon);
/* Length of the UTF-8 sequence that s begins with; 0 when there is none (RFC 3629: no overlong forms, no surrogates). */
size_t sp_utf8_len(struct sp_bytes s);
/* The part up to the separator, which is skipped, or all that is left. False, and an empty part, when nothing is. out may be in,
 * which is cut then. */
bool sp_take_part(struct sp_bytes *in, char separator, struct sp_bytes *out);

bool sp_eq_nocase(struct sp_bytes a, struct sp_bytes b); /* ASCII letters only */
/* Does the whole of s fit the pattern? "*" stands for any bytes, "?" for one; nothing else is special. At most pattern.n * s.n
 * steps, whatever the two are. */
bool sp_glob(struct sp_bytes pattern, struct sp_bytes s);

static inline bool sp_take_u8(struct sp_bytes *in, uint8_t *out)
{
	if (in->n < 1)
		return false;
	*out = *in->p;
	in->p++, in->n--;
	return true;
}

static inline bool sp_take_n(struct sp_bytes *in, size_t n, struct sp_bytes *out)
{
	if (in->n < n)
		return false;
	*out = (struct sp_bytes){in->p, n};
	in->p += n, in->n -= n;
	return true;
}

static inline bool sp_take_le32(struct sp_bytes *in, uint32_t *out)
{
	if (in->n < 4)
		return false;
	*out = (uint32_t)in->p[0] | (uint32_t)in->p[1] << 8 | (uint32_t)in->p[2] << 16 | (uint32_t)in->p[3] << 24;
	in->p += 4, in->n -= 4;
	return true;
}

static inline bool sp_take_le64(struct sp_bytes *in, uint64_t *out)
{
	uint32_t lo, hi;
	if (in->n < 8 || !sp_take_le32(in, &lo) || !sp_take_le32(in, &hi))
		return false;
	*out = (uint64_t)hi << 32 | lo;
	return true;
}

/* Base-128 varint of up to 10 bytes; false when cut off or longer than 64 bits. */
static inline bool sp_take_varint(struct sp_bytes *in, uint64_t *out)
{
	uint64_t v = 0;
	size_t max = in->n < 10 ? in->n : 10;
	for (size_t i = 0; i < max; i++) {
		uint8_t b = in->p[i];
		if (i == 9 && b > 1)
			return false;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*out = v;
			in->p += i + 1, in->n -= i + 1;
			return true;
		}
	}
	return false;
}

/* A growing buffer. Errors stick: after a failed growth (memory, or max) appends do nothing and sp_buf_ok says false,
 * so that a writer appends everything and checks once. {0} is a valid empty buffer without a limit. */
struct sp_buf {
	uint8_t *p;
	size_t n, cap;
	size_t max; /* bytes; 0 = no limit */
	bool failed;
};

static inline bool sp_buf_ok(const struct sp_buf *b)
{
	return !b->failed;
}
static inline struct sp_bytes sp_buf_view(const struct sp_buf *b)
{
	return (struct sp_bytes){b->p, b->n};
}
/* Room for n more bytes: returns where to write them (then add to b->n), or NULL when failed. */
uint8_t *sp_buf_room(struct sp_buf *b, size_t n);
void sp_buf_add(struct sp_buf *b, struct sp_bytes s);
void sp_buf_str(struct sp_buf *b, const char *s);
void sp_buf_join(struct sp_buf *b, struct sp_buf *part); /* with its failure; part is freed */
void sp_buf_u8(struct sp_buf *b, uint8_t v);
void sp_buf_varint(struct sp_buf *b, uint64_t v);
void sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3);
/* s as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
void sp_buf_json(struct sp_buf *b, struct sp_bytes s);
/* The standard alphabet, with padding. */
void sp_buf_base64(struct sp_buf *b, struct sp_bytes s);
/* Shortest decimal that reads back as v (as %.17g would, but short); NaN, +Inf, -Inf in Prometheus' spelling. */
void sp_buf_double(struct sp_buf *b, double v);
void sp_buf_clear(struct sp_buf *b); /* keeps the memory */
void sp_buf_free(struct sp_buf *b);
void sp_buf_free_secret(struct sp_buf *b); /* wipes it first */
/* Moves the memory out (caller frees with sp_free) and leaves b empty. */
uint8_t *sp_buf_steal(struct sp_buf *b, size_t *n);

#endif
