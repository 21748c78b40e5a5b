/* tally - whose points arrive, and how old they are: metrics by namespace and by account.
 *
 * What has a place in the tables keeps it; points of further namespaces or accounts, and of names that are too long or not UTF-8,
 * count as "other". One thread, the loop's.
 */
#ifndef CONVERT_TALLY_H
#define CONVERT_TALLY_H

#include "convert/point.h"

#define TALLY_NAMESPACES_MAX 200
#define TALLY_ACCOUNTS_MAX 500
#define TALLY_NAME_BYTES 255 /* as long as a namespace of CloudWatch can be */

struct tally;

struct tally *tally_new(void);
void tally_free(struct tally **t);
/* The points of one delivery, at the time of their arrival. */
void tally_count(struct tally *t, const struct cw_point *points, size_t n, int64_t now_ms);

#endif
