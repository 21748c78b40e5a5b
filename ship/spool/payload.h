/* payload - counted memory of one payload row, shared by the spool and the senders' cache.
 *
 * Any thread may drop its reference; the bytes never change.
 */
#ifndef SHIP_PAYLOAD_H
#define SHIP_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

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

#endif
