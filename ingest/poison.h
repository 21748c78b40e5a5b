/* poison - remembers which bodies were in workers that died, and decides when one of them is to blame.
 *
 * A body that was in a dying worker is suspect and runs alone from then on, so that the next death has one cause. Only
 * deaths while alone are strikes. After three the body is set aside, but not more than a limited number an hour, and
 * only when workers completed something else since the first strike: otherwise it is the workers that are broken, not
 * the bodies. Being slow is never a strike. Bodies are known by their delivery key, so a repeat of the delivery is
 * suspect too. The 1,000 newest are kept, in memory.
 */
#ifndef INGEST_POISON_H
#define INGEST_POISON_H

#include "common/status.h"

#include <stdint.h>

struct poison;

enum poison_verdict { POISON_NONE = 0, POISON_SUSPECT /* alone */, POISON_SET_ASIDE, POISON_WORKERS_ILL };

struct poison *poison_new(int64_t per_hour);
void poison_free(struct poison **p);
/* A worker died with this body in it. */
void poison_death(struct poison *p, const uint8_t key[16], bool alone);
/* A worker completed this body: it is cleared, and the workers have shown that they work. */
void poison_completed(struct poison *p, const uint8_t key[16]);
/* What to do with this body. */
enum poison_verdict poison_judge(const struct poison *p, const uint8_t key[16], int64_t now_ms);
/* It was set aside: nothing is held against a later delivery of this key. */
void poison_clear(struct poison *p, const uint8_t key[16]);
/* It is being set aside: counts toward the hour. */
void poison_set_aside(struct poison *p, int64_t now_ms);

#endif
