/* merge - raw remote-write bodies into one: each series once, its samples in order of time.
 *
 * Bodies are added oldest first. Of samples of one series and time the last one added stays. Series keep the order in which they were
 * first met, so that what was grouped stays grouped. What is not a series of samples (metadata, exemplars) is left out.
 * Copies what it needs of a body. One thread.
 */
#ifndef PROTO_MERGE_H
#define PROTO_MERGE_H

#include "proto/remote_write.h"

struct merge;

struct merge *merge_new(void);
void merge_free(struct merge **m);
void merge_clear(struct merge *m); /* keeps the memory */
/* SP_BAD_DATA, SP_TOO_BIG (more than RW_RAW_MAX_BYTES in all) or SP_NO_MEM: part of it may have been added, clear it. */
SP_CHECKED enum sp_status merge_add(struct merge *m, struct sp_bytes raw, struct sp_why *why);
/* Series with samples so far, in the order in which they were first met. */
size_t merge_series(const struct merge *m);
/* Bytes that all of them take at most: less where samples share their time. */
size_t merge_raw_len(const struct merge *m);
/* Has a series samples that came out of order, or several of one time? */
bool merge_is_unordered(const struct merge *m);
/* Appends the raw body of the series from, from + 1, ... to - 1. SP_NO_MEM. */
SP_CHECKED enum sp_status merge_write(
    struct merge *m, size_t from, size_t to, struct sp_buf *out, struct rw_totals *totals, struct sp_why *why);

#endif
