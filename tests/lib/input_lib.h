/* input_lib - what must hold for any input, checked by fuzz targets and unit tests alike: abort() when it does not. */
#ifndef TESTS_INPUT_LIB_H
#define TESTS_INPUT_LIB_H

#include "common/bytes.h"

/* Whatever the bytes, points are well-formed, pieces set aside lie within the record, and counts add up. Returns the number of points. */
size_t input_check_record(struct sp_bytes record);
size_t input_check_otlp(struct sp_bytes message);
size_t input_check_cwjson(struct sp_bytes record);
void input_check_base64(struct sp_bytes text);
void input_check_gunzip(struct sp_bytes data);
/* One random change of n bytes (cap: the room): flip, set, cut, insert, double. Returns the new n. */
size_t input_mutate(uint8_t *p, size_t n, size_t cap, uint64_t *seed);

#endif
