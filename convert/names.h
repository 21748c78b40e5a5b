/* names - what a change of the naming preset renames, metric by metric: a table for people, and a sed script for dashboards.
 * One thread.
 */
#ifndef CONVERT_NAMES_H
#define CONVERT_NAMES_H

#include "convert/point.h"

struct names;

/* SP_CONFIG: there is no such preset. */
SP_CHECKED enum sp_status names_new(const char *from, const char *to, struct names **out, struct sp_why *why);
void names_free(struct names **n);
/* Notes the series that such points have. */
SP_CHECKED enum sp_status names_add(struct names *n, const struct cw_point *p);
/* The same for some metrics that are well known, with a percentile each. */
SP_CHECKED enum sp_status names_add_known(struct names *n);
/* Sorted, each once. A line of the table: old name and labels, tab, new ones. The script (GNU sed -E) renames metrics, and labels in
 * matchers; what it cannot do is said in comments. */
void names_print(struct names *n, bool sed, struct sp_buf *out);

#endif
