/* remote_write - the Prometheus remote write 1.0 body: encode it, walk it, join it, take parts of it.
 *
 * A body is a protobuf WriteRequest ("raw") compressed as one snappy block ("block").
 *
 * What is written here keeps the specification's rules as far as they are about bytes: labels before samples, no
 * unknown fields, zero values written out (legal, and every sample of our century takes 18 bytes). Sorting
 * labels, leaving out empty ones and putting samples in time order is the caller's work.
 *
 * What is read may be anything: rw_next checks a whole series before it returns it, so that the iterators over its
 * labels and samples cannot fail and cannot overrun. Fields it does not know (metadata, exemplars) are stepped over, a
 * label after a sample is refused, because a series' labels must be one run of bytes that identifies it.
 *
 * No state, any thread. Views look into the caller's bytes.
 */
#ifndef PROTO_REMOTE_WRITE_H
#define PROTO_REMOTE_WRITE_H

#include "common/bytes.h"

/* Longest raw body that is handled: a series' position must fit 32 bits with room for joining. */
#define RW_RAW_MAX_BYTES ((size_t)1 << 31)
/* A sample field with tag and length, for times that take at most ten bytes as varint. */
#define RW_SAMPLE_MAX_BYTES 22

/* 2.0 bodies: proto/remote_write2.h. */
enum rw_version { RW_1 = 0, RW_2 };

struct rw_label {
	struct sp_bytes name, value;
};

struct rw_sample {
	int64_t ms;
	double value;
};

struct rw_totals {
	uint32_t series, samples;
	int64_t min_ms, max_ms; /* of the samples; 0 when there are none */
	uint32_t raw_len;
};

/* ---- encode ---- */

static inline size_t rw_varint_size(uint64_t v)
{
	return (size_t)(9 * (64 - __builtin_clzll(v | 1)) + 64) / 64;
}

static inline uint8_t *rw_put_varint(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

/* Bytes of a label field with tag and length. */
static inline size_t rw_label_size(size_t name_len, size_t value_len)
{
	size_t n = 1 + rw_varint_size(name_len) + name_len + 1 + rw_varint_size(value_len) + value_len;
	return 1 + rw_varint_size(n) + n;
}
uint8_t *rw_put_label(uint8_t *to, struct sp_bytes name, struct sp_bytes value);

static inline size_t rw_sample_size(int64_t ms)
{
	return 2 + 9 + 1 + rw_varint_size((uint64_t)ms);
}
static inline uint8_t *rw_put_sample(uint8_t *to, int64_t ms, double value)
{
	to[0] = 0x12; /* samples */
	to[1] = (uint8_t)(10 + rw_varint_size((uint64_t)ms));
	to[2] = 0x09; /* value, fixed 64 bit */
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	for (int i = 0; i < 8; i++)
		to[3 + i] = (uint8_t)(bits >> (8 * i));
	to[11] = 0x10; /* timestamp */
	return rw_put_varint(to + 12, (uint64_t)ms);
}

/* Opens a series whose labels and samples take n bytes: 1 + rw_varint_size(n) bytes. */
static inline uint8_t *rw_put_series_head(uint8_t *to, size_t n)
{
	*to++ = 0x0a; /* timeseries */
	return rw_put_varint(to, n);
}

/* A whole series: encoded label fields, then samples. Errors stick in the buffer. */
void rw_add_series(struct sp_buf *raw, struct sp_bytes labels, const struct rw_sample *samples, size_t n_samples);

/* ---- walk ---- */

struct rw_series {
	struct sp_bytes raw;     /* the whole field with tag and length: can be copied into another body as it is */
	struct sp_bytes labels;  /* the encoded label fields: equal bytes mean the same series */
	struct sp_bytes samples; /* what follows them */
	uint32_t n_labels, n_samples;
};

/* The next series of *in, which moves past it. SP_NOT_FOUND at the end, SP_BAD_DATA when it is no WriteRequest. */
SP_CHECKED enum sp_status rw_next(struct sp_bytes *in, struct rw_series *out, struct sp_why *why);
/* The same, faster when the series begins with these label fields, which were read before. NULL: no guess. */
struct rw_labels {
	struct sp_bytes fields;
	uint32_t n;
};
SP_CHECKED enum sp_status rw_next_guessed(
    struct sp_bytes *in, const struct rw_labels *guess, struct rw_series *out, struct sp_why *why);
/* Iterators over copies of series.labels and series.samples that rw_next returned; false at the end. */
bool rw_next_label(struct sp_bytes *labels, struct rw_label *out);
bool rw_next_sample(struct sp_bytes *samples, struct rw_sample *out);
/* The value of a label, {NULL, 0} when the series does not have it. */
struct sp_bytes rw_find_label(struct sp_bytes labels, struct sp_bytes name);
/* Walks to the end: SP_OK means that every later walk over the same bytes succeeds. */
SP_CHECKED enum sp_status rw_count(struct sp_bytes raw, struct rw_totals *out, struct sp_why *why);

/* For people: name{a="b", c="d"}, control characters and quotes escaped. */
void rw_print_labels(struct sp_buf *out, struct sp_bytes labels);

/* ---- snappy ---- */

/* Appends the block of raw. Memory is the only thing that can fail (buf.failed). */
void rw_compress(struct sp_bytes raw, struct sp_buf *out);
/* The length a block claims, checked against max: SP_TOO_BIG above it, SP_BAD_DATA when it cannot be. */
SP_CHECKED enum sp_status rw_raw_length(struct sp_bytes block, size_t max_raw, size_t *out, struct sp_why *why);
/* Appends what the block holds. SP_NO_MEM, SP_TOO_BIG or SP_BAD_DATA leave out as it was. */
SP_CHECKED enum sp_status rw_uncompress(struct sp_bytes block, size_t max_raw, struct sp_buf *out, struct sp_why *why);
/* Appends one block that holds what the blocks hold, one after the other, without decompressing: snappy's copies only
 * look back inside their own block, and protobuf messages behind each other are their merge. SP_TOO_BIG above max_raw.
 * The elements are not looked at: a damaged block makes a damaged block. */
SP_CHECKED enum sp_status rw_join(
    const struct sp_bytes *blocks, size_t n, size_t max_raw, struct sp_buf *out, struct sp_why *why);

/* ---- parts ---- */

/* Replaces *out by the block of one sample: the newest one of the series with this number, counted from 0. False when there is none,
 * or it cannot be read. */
bool rw_newest_sample(struct sp_bytes block, uint32_t number, size_t max_raw, struct sp_buf *out);
/* Shall sample `sample` (counted over the whole body from 0) of series `series` be in the part? */
typedef bool (*rw_keep_fn)(
    void *arg, uint32_t series, uint32_t sample, const struct rw_series *s, const struct rw_sample *v);
/* Appends the block of the samples that keep wants, in the same order; a series without any is left out. */
SP_CHECKED enum sp_status rw_part(struct sp_bytes raw, rw_keep_fn keep, void *arg, struct sp_buf *out_block,
    struct rw_totals *out, struct sp_why *why);

#endif
