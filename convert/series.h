/* series - what a point becomes, as text for people: one line a sample, `name{label="value"} 42 1700000040000`.
 *
 * With the preset `cloudwatch` and all statistics: what a destination without settings of its own gets. One thread.
 */
#ifndef CONVERT_SERIES_H
#define CONVERT_SERIES_H

#include "convert/point.h"

struct series;

struct series *series_new(void);
void series_free(struct series **s);
/* Appends the lines of one point, or a line that says why there are none. */
SP_CHECKED enum sp_status series_print(struct series *s, const struct cw_point *p, struct sp_buf *out);

#endif
