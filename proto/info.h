/* info - type, unit and help of the metrics of a payload, kept beside it in the spool (column payload.info).
 *
 * 4 bytes CRC32C (little endian) of what follows: a snappy block of a packed Info with one entry for each metric, by the name that its
 * series begin with. A series finds its entry by its __name__, or by what is left of it without its last `_` segments (the statistic), the longest first.
 * One thread. Entries are borrowed from the Info that was read.
 */
#ifndef PROTO_INFO_H
#define PROTO_INFO_H

#include "common/bytes.h"
#include "proto/standpipe.pb-c.h"

#define INFO_MAX_BYTES ((size_t)256 << 10) /* of the entries of one payload; series of further metrics have no entry */

/* What is said of a metric, without its name: can be kept and added to many payloads. Strings are UTF-8. */
void info_describe(struct sp_buf *out, Standpipe__InfoEntry__Type type, struct sp_bytes unit, struct sp_bytes help);

/* Adds an entry to those of a payload. False: the limit is reached, it was left out. */
bool info_add(struct sp_buf *entries, struct sp_bytes name, struct sp_bytes said);
/* *out becomes the info, empty when there are no entries, or no memory. */
void info_pack(const struct sp_buf *entries, struct sp_buf *out);

struct info;

/* SP_BAD_DATA when it is damaged. Nothing at all is an info without entries. */
SP_CHECKED enum sp_status info_read(struct sp_bytes packed, struct info **out, struct sp_why *why);
void info_free(struct info **i);
/* NULL when nothing is known of that series. */
const Standpipe__InfoEntry *info_find(const struct info *i, struct sp_bytes series_name);
/* The info of a part of the payload: *out becomes the entries that the series of these bodies (snappy) find, packed. A body that cannot be
 * read, or is larger than INFO_BODY_MAX_BYTES, finds none. */
#define INFO_BODY_MAX_BYTES ((size_t)8 << 20)
void info_part(struct info *i, const struct sp_bytes *bodies, size_t n, struct sp_buf *out);
/* The unit of a series with that entry: how many values a metric had is a number without unit. A summary has one for all its series. */
struct sp_bytes info_unit(const Standpipe__InfoEntry *e, struct sp_bytes series_name);

#endif
