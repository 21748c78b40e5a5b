/* utf8 - receivers refuse label values that are not UTF-8, CloudWatch lets them through. Any thread. */
#ifndef CONVERT_UTF8_H
#define CONVERT_UTF8_H

#include "common/arena.h"

bool utf8_ok(struct sp_bytes s);
/* s itself when it is UTF-8, else a copy in which each bad byte is U+FFFD. SP_NO_MEM when the arena is spent. */
SP_CHECKED enum sp_status utf8_clean(struct sp_bytes s, struct sp_arena *arena, struct sp_bytes *out);

#endif
