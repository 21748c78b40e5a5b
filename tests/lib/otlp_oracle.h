/* otlp_oracle - the points of an OTLP message as protobuf-c reads it: slow, and independent of the product's walk over the wire. */
#ifndef TESTS_OTLP_ORACLE_H
#define TESTS_OTLP_ORACLE_H

#include "convert/point.h"

enum oracle_result {
	ORACLE_OK,
	ORACLE_REFUSES,
	ORACLE_UNSURE, /* it holds what the oracle does not know: other metrics than summaries, a oneof with several members, ... */
};

/* Points go to the arena; *set_aside: those without name or time. */
enum oracle_result oracle_decode(struct sp_bytes message, struct sp_arena *arena, struct cw_points *points, size_t *set_aside);

#endif
