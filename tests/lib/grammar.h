/* grammar - random inputs that are plausible: OTLP messages, records of JSON lines, Firehose bodies. The same for the same seed.
 *
 * Most are sound, in any order and layout that their formats allow; some hold what no sender should write. Appends to the buffer; the
 * seed (not 0) is the generator's state.
 */
#ifndef TESTS_GRAMMAR_H
#define TESTS_GRAMMAR_H

#include "common/bytes.h"

void grammar_otlp(struct sp_buf *out, uint64_t *seed);
void grammar_cwjson(struct sp_buf *out, uint64_t *seed);
void grammar_envelope(struct sp_buf *out, uint64_t *seed);
/* A JSON number in any spelling. */
void grammar_number(struct sp_buf *out, uint64_t *seed);

#endif
