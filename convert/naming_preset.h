/* naming_preset - what the files of the presets share. Only naming*.c include it. */
#ifndef CONVERT_NAMING_PRESET_H
#define CONVERT_NAMING_PRESET_H

#include "convert/naming.h"

#include <ctype.h> /* the locale is "C": nobody sets another */

#define TEXT(s) {(const uint8_t *)(s), sizeof(s) - 1}

extern const struct naming_preset naming_cloudwatch, naming_yace, naming_logzio, naming_otel;

/* Bytes of a multi-byte character after its first. */
static inline bool is_continuation(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* Appends and frees name. One that starts with a digit, or is empty, gets a "_" in front. */
void naming_add_legal(struct sp_buf *out, struct sp_buf *name);
/* The runs of [a-zA-Z0-9:] (and "_" where asked) in s, one "_" between them. */
void naming_add_runs(struct sp_buf *out, struct sp_bytes s, bool with_underscores);
/* OpenTelemetry's rules; those for labels are the predecessor's too. */
void naming_otel_metric(struct sp_buf *out, struct sp_bytes name, struct sp_bytes unit);
void naming_otel_label(struct sp_buf *out, struct sp_bytes dim);

#endif
