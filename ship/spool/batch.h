/* batch - one slice of a delivery's samples for one shard of one destination: the unit that is sent and settled.
 *
 * Its bytes are a remote-write 1.0 body (snappy), at [off, off + len) of a payload row that other destinations may share.
 */
#ifndef SHIP_BATCH_H
#define SHIP_BATCH_H

#include "common/bytes.h"

enum batch_flags {
	BATCH_MAYBE_DELIVERED = 1, /* sent before, and nobody knows whether it arrived */
	BATCH_AS_IT_IS = 2,	   /* ship died again and again: send this as it lies here, without a look inside */
};

struct batch {
	uint64_t seq;     /* ascending within (dest, shard) */
	uint64_t payload; /* row id */
	uint32_t dest, shard;
	uint32_t off, len, raw_len, series, samples;
	uint32_t flags; /* enum batch_flags */
	int64_t min_ms, max_ms, accepted_ms;
};

/* Counted memory of one payload row, shared by the spool and the senders' cache. Any thread may drop its reference; the bytes never
 * change. */
struct payload {
	uint64_t id;
	_Atomic int refs;
	size_t n;
	uint8_t *bytes; /* n of the batches' slices, then n_info of what its metrics are (proto/info.h) */
	size_t n_info;
};

/* Takes bytes, n + n_info of them (memory of common/alloc.h); the caller holds the one reference. */
struct payload *payload_new(uint64_t id, uint8_t *bytes, size_t n, size_t n_info);
struct payload *payload_ref(struct payload *p);
void payload_unref(struct payload **p); /* NULL is fine */
/* Bytes of all payloads that anybody holds now. */
size_t payload_bytes_held(void);

/* Why samples ended as dead letters: stable words. */
struct dead_letter {
	uint32_t dest;
	const char *reason; /* rejected, out_of_order, too_large, maybe_duplicate, crc, crash, label_limit */
	int http_status;
	struct sp_bytes answer; /* the receiver's words, at most 1 KiB are kept */
	struct sp_bytes body;   /* remote-write 1.0, snappy: exactly the samples concerned */
	uint32_t series, samples;
	int64_t min_ms, max_ms;
	uint64_t seq; /* of the batch it came from */
	uint32_t shard;
};

#endif
