/* wire - the fields of a protobuf message, one after the other, without knowing its definition.
 *
 * A loop over a message reads: while (wire_next(&message, &f, &fault)) switch (wire_key(&f)) { case WIRE(3, WIRE_FIXED64): ... }
 * so that a known number with another wire type is passed over like an unknown field, as protobuf wants it.
 * The first thing that is malformed is noted in the fault, after which no loop that shares it goes on: look at it once, at the end.
 */
#ifndef CONVERT_WIRE_H
#define CONVERT_WIRE_H

#include "common/arena.h"

enum wire_type { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_FIXED32 };

#define WIRE_DEPTH 32 /* nested groups, nested attribute values */
#define WIRE(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

struct wire_field {
	uint32_t key;          /* WIRE(number, type) */
	uint64_t value;        /* varint, fixed64 */
	struct sp_bytes bytes; /* length-delimited */
};

struct wire_fault {
	const char *reason, *text; /* reason NULL: none so far */
	bool no_mem;
};

static inline void wire_fail(struct wire_fault *fault, const char *reason, const char *text)
{
	if (!fault->reason)
		*fault = (struct wire_fault){reason, text, false};
}

/* The slow half of wire_next: tags of several bytes, groups, and whatever is malformed. By value, so that the fast half can keep its
 * views in registers (a quarter less time for a whole message). */
struct wire_step {
	bool found;
	struct wire_field field;
	struct sp_bytes rest;
};
struct wire_step wire_next_odd(struct sp_bytes in, struct wire_fault *fault);

/* False at the end of the message, or when it is malformed. Groups are passed over. */
static inline bool wire_next(struct sp_bytes *in, struct wire_field *f, struct wire_fault *fault)
{
	if (in->n == 0 || fault->reason)
		return false;
	const uint8_t *p = in->p;
	uint8_t tag = p[0];
	if (tag >= 8 && tag < 0x80) {
		if ((tag & 7) == WIRE_BYTES && in->n >= 2) {
			size_t head = 2, n = p[1];
			if (n >= 0x80 && in->n >= 3 && p[2] < 0x80)
				n = (n & 0x7f) | (size_t)p[2] << 7, head = 3;
			if ((n < 0x80 || head == 3) && n <= in->n - head) {
				*f = (struct wire_field){.key = tag, .bytes = {p + head, n}};
				*in = sp_bytes(p + head + n, in->n - head - n);
				return true;
			}
		} else if ((tag & 7) == WIRE_FIXED64 && in->n >= 9) {
			struct sp_bytes eight = sp_bytes(p + 1, 8);
			*f = (struct wire_field){.key = tag};
			*in = sp_bytes(p + 9, in->n - 9);
			return sp_take_le64(&eight, &f->value);
		}
	}
	struct wire_step step = wire_next_odd(*in, fault);
	*in = step.rest;
	*f = step.field;
	return step.found;
}

/* True when the message is this one length-delimited field and nothing else, as most small ones are: a short cut for loops. */
static inline bool wire_is_only(struct sp_bytes message, uint8_t key, struct sp_bytes *bytes)
{
	if (message.n < 2 || message.p[0] != key)
		return false;
	size_t head = 2, n = message.p[1];
	if (n >= 0x80) {
		if (message.n < 3 || message.p[2] >= 0x80)
			return false;
		n = (n & 0x7f) | (size_t)message.p[2] << 7, head = 3;
	}
	*bytes = sp_bytes(message.p + head, message.n - head);
	return n == message.n - head;
}

static inline double wire_double(const struct wire_field *f)
{
	double v;
	memcpy(&v, &f->value, sizeof v);
	return v;
}

/* A sub-message that may be split: protobuf says that the parts are merged, and joining their bytes does that. */
struct wire_part {
	struct sp_bytes bytes;
	unsigned n; /* parts so far; bytes is the last one */
};

static inline void wire_part_add(struct wire_part *part, struct sp_bytes bytes)
{
	part->bytes = bytes;
	part->n++;
}

/* The whole of it: all fields `key` of message when there are several. The message has been read to its end already. */
struct sp_bytes wire_part_join(const struct wire_part *part, struct sp_bytes message, uint32_t key, struct sp_arena *arena,
    struct wire_fault *fault);

#endif
