/* envelope - the JSON object of a Firehose delivery: {"requestId":"...","timestamp":1650963501265,"records":[{"data":"..."}]}
 *
 * One pass, no tree: any layout of the same JSON gives the same result. Unknown keys are passed over, the last of equal keys counts.
 * Views look into the body, or into the arena where the JSON text had escapes.
 */
#ifndef CONVERT_ENVELOPE_H
#define CONVERT_ENVELOPE_H

#include "common/arena.h"

struct envelope_record {
	struct sp_bytes json; /* the array's item as it stands */
	struct sp_bytes data; /* base64 text, still to be decoded */
	bool has_data;        /* false: no data, or not a string */
};

struct envelope {
	struct sp_bytes request_id; /* p is NULL when absent or not a string */
	int64_t timestamp_ms;       /* 0 when absent or not a positive integer */
	const struct envelope_record *records;
	size_t n_records;
};

/* SP_BAD_DATA: refuse with *code ("E_BODY", "E_JSON", "E_RECORDS") and why's text ("... at byte 17"). SP_NO_MEM: the arena is spent. */
SP_CHECKED enum sp_status envelope_read(struct sp_bytes body, struct sp_arena *arena, struct envelope *out, const char **code,
    struct sp_why *why);

#endif
