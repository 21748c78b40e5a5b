/* sketches - which series were made lately, as sketches from which their number can be estimated: one for each mapping group and
 * namespace. They are small, go to ship every few seconds and begin anew. One thread.
 */
#ifndef CONVERT_SKETCHES_H
#define CONVERT_SKETCHES_H

#include "common/hll.h"
#include "convert/intern.h"
#include "proto/standpipe.pb-c.h"

#define SKETCHES_MAX 1000 /* 8 MiB; what comes on top counts as left out */
#define SKETCH_NAMESPACE_BYTES 255 /* as long as one of CloudWatch can be; longer ones, and no UTF-8, count as "other" */

struct sketches;

struct sketches *sketches_new(void);
void sketches_free(struct sketches **a);
/* Valid until sketches_clear. NULL when there are too many. */
struct sp_hll *sketches_get(struct sketches *a, uint32_t group, struct sp_bytes ns);
/* All sketches into m, valid until sketches_clear. */
void sketches_fill(struct sketches *a, Standpipe__Ping *m);
void sketches_clear(struct sketches *a);

#endif
