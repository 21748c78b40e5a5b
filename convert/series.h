/* series - what a point becomes, as text for people: one line a sample, `name{label="value"} 42 1700000040000`. One thread.
 */
#ifndef CONVERT_SERIES_H
#define CONVERT_SERIES_H

#include "convert/point.h"
#include "proto/standpipe.pb-c.h"

struct series;

/* What a destination without settings of its own gets, under this naming preset. SP_CONFIG: there is none of this name. */
SP_CHECKED enum sp_status series_new(const char *naming, struct series **out, struct sp_why *why);
/* What a destination of a configuration gets of the deliveries of an access key. config NULL: the usual one. destination NULL:
 * the only one. key NULL: any without settings of its own. naming NULL: as configured. Files that the configuration names
 * are not read, so labels of accounts are missing; max_age is not looked at. */
SP_CHECKED enum sp_status series_of_config(const char *config, const char *destination, const char *key, const char *naming,
    struct series **out, struct sp_why *why);
void series_free(struct series **s);
/* Appends the lines of one point; a line that begins with "#" says what of it is dropped or becomes a dead letter, and
 * why, or whose lane it is. */
SP_CHECKED enum sp_status series_print(struct series *s, const struct cw_point *p, struct sp_buf *out);

#endif
