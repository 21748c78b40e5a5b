/* anyvalue - the value of an OTLP attribute as text: strings as they are, numbers in decimal, bytes in base64, lists as compact JSON.
 *
 * Nesting is bounded by WIRE_DEPTH.
 */
#ifndef CONVERT_ANYVALUE_H
#define CONVERT_ANYVALUE_H

#include "convert/wire.h"

/* KeyValue {1 key, 2 AnyValue}: the key, and the value's encoding with its parts merged. */
void anyvalue_pair(struct sp_bytes pair, struct sp_arena *arena, struct wire_fault *fault, struct sp_bytes *key, struct sp_bytes *value);
/* p is NULL for a value that is not set. */
struct sp_bytes anyvalue_text(struct sp_bytes value, struct sp_arena *arena, struct wire_fault *fault);
/* True when value is a kvlist; *list is then a message with KeyValues in field 1. */
bool anyvalue_is_kvlist(struct sp_bytes value, struct sp_arena *arena, struct wire_fault *fault, struct sp_bytes *list);

#endif
