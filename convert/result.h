/* result - what came of a delivery, packed as the STORE that ship gets and kept until ship has answered.
 *
 * Copies what it needs: the converter may go on with the next delivery while this one waits for its commit.
 */
#ifndef CONVERT_RESULT_H
#define CONVERT_RESULT_H

#include "common/arena.h"
#include "convert/delivery.h"
#include "proto/frame.h"

struct result {
	zmq_msg_t parts[1 + FRAME_BULK_MAX]; /* packed Store, payloads, bytes of the quarantine */
	size_t n_parts, bulk_bytes;
	uint64_t plan_epoch;
};

/* scratch is used during the call only. SP_TOO_BIG when a frame would be over its limit; *r is empty unless SP_OK. */
SP_CHECKED enum sp_status result_make(struct result *r, const Standpipe__Job *job, const struct convert_out *out,
    uint64_t plan_epoch, struct sp_arena *scratch, struct sp_why *why);
void result_clear(struct result *r);
/* The counts for DONE and STORE; account_text must outlive them. */
void result_counts(const struct convert_out *out, char *account_text, size_t account_max, Standpipe__Counts *counts);

#endif
