/* json - a strict reader of JSON text (RFC 8259) that goes forward once and builds no tree.
 *
 * The caller says what it expects; the first thing that is not so sets `error` (with the place in `at`), and from then on every call
 * returns false. So a caller reads on and looks at `error` once. Nesting is bounded by JSON_DEPTH.
 * Strings are views of the text, or of the arena where they had escapes.
 */
#ifndef CONVERT_JSON_H
#define CONVERT_JSON_H

#include "common/arena.h"

#define JSON_DEPTH 32

struct json {
	const uint8_t *begin, *at, *end;
	const char *error; /* NULL: fine so far */
	bool no_mem;       /* the error is ours: the arena is spent */
	bool mend_utf8;    /* set by the caller: a string that is not UTF-8 is no error, its bad bytes become U+FFFD */
	uint64_t mended;   /* such strings */
	unsigned depth;
	struct sp_arena *arena;
};

enum json_type { JSON_NONE /* end of text or no JSON */, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_WORD /* true false null */ };

struct json json_begin(struct sp_bytes text, struct sp_arena *arena);
/* Passes white space over. */
static inline enum json_type json_peek(struct json *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
		j->at++;
	if (j->error || j->at == j->end)
		return JSON_NONE;
	switch (*j->at) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
	case 'n':
		return JSON_WORD;
	default:
		return *j->at == '-' || (*j->at >= '0' && *j->at <= '9') ? JSON_NUMBER : JSON_NONE;
	}
}

/* All the following read the value json_peek announced, and fail on another. */
bool json_string(struct json *j, struct sp_bytes *out);
/* text, when not NULL, is the number as written. */
bool json_number(struct json *j, double *out, struct sp_bytes *text);
bool json_word(struct json *j, struct sp_bytes *out);
bool json_skip(struct json *j); /* any value */
/* for (json_enter(j); json_next_member(j, &key);) read or skip the value. */
bool json_enter(struct json *j); /* the object or array that json_peek announced */
bool json_next_member(struct json *j, struct sp_bytes *key);
bool json_next_item(struct json *j);
bool json_fail(struct json *j, const char *error); /* always false */
static inline size_t json_offset(const struct json *j)
{
	return (size_t)(j->at - j->begin);
}

#endif
