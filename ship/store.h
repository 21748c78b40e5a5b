/* store - a delivery as a worker hands it over: checked, and laid out for the writer without copying its bytes.
 *
 * The worker parsed hostile input, so nothing it says about lengths, groups and shards is believed. Lives until
 * store_free.
 */
#ifndef SHIP_STORE_H
#define SHIP_STORE_H

#include "proto/frame.h"
#include "proto/plan.h"
#include "ship/spool/writer.h"

struct store {
	struct store_request request; /* looks into frame */
	struct frame *frame;
	struct sp_arena *arena; /* NULL: nothing had to be made */
};

/* frame: a STORE, on the heap; taken on SP_OK. SP_BAD_DATA with the words to answer; SP_NO_MEM. */
SP_CHECKED enum sp_status store_new(
    struct frame *frame, const struct plan *plan, struct store **out, struct sp_why *why);
void store_free(struct store **s);

#endif
