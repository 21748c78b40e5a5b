/* json - what the programs that have jansson do with it: texts in and out, and members that may be missing. */
#ifndef SP_JSON_H
#define SP_JSON_H

#include "common/bytes.h"

#include <jansson.h>
#include <stdio.h>

/* NULL: it is no JSON. */
static inline json_t *sp_json_read(struct sp_bytes text)
{
	return json_loadb((const char *)text.p, text.n, 0, NULL);
}

static inline int sp_json_append(const char *text, size_t n, void *buf)
{
	sp_buf_add(buf, sp_bytes(text, n));
	return 0;
}

/* Appends v, which is taken, and a newline. */
static inline void sp_json_put(struct sp_buf *out, json_t *v, size_t flags)
{
	json_dump_callback(v, sp_json_append, out, flags);
	sp_buf_u8(out, '\n');
	json_decref(v);
}

/* The same to standard output. */
static inline void sp_json_print(json_t *v, size_t flags)
{
	json_dumpf(v, stdout, flags);
	putchar('\n');
	json_decref(v);
}

/* Members: "", 0, false when there is none of that kind. */
static inline const char *sp_json_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}
static inline int64_t sp_json_number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}
static inline bool sp_json_is(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}

#endif
