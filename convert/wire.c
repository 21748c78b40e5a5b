#include "convert/wire.h"

#define TAG_MAX UINT32_MAX /* field numbers go to 2^29 - 1 */

static const char bad[] = "bad_message";

static bool take_tag(struct sp_bytes *in, uint32_t *out)
{
	uint64_t v;
	if (!sp_take_varint(in, &v) || v > TAG_MAX || v >> 3 == 0)
		return false;
	*out = (uint32_t)v;
	return true;
}

/* Reads what follows a tag that is not of a group. */
static bool take_value(struct sp_bytes *in, struct wire_field *f)
{
	uint64_t n;
	struct sp_bytes four;
	switch (f->key & 7) {
	case WIRE_VARINT:
		return sp_take_varint(in, &f->value);
	case WIRE_FIXED64:
		return sp_take_le64(in, &f->value);
	case WIRE_BYTES:
		return sp_take_varint(in, &n) && n <= in->n && sp_take_n(in, (size_t)n, &f->bytes);
	case WIRE_FIXED32:
		return sp_take_n(in, 4, &four);
	default:
		return false;
	}
}

/* Behind the tag of a group: up to the end that matches. */
static bool skip_group(struct sp_bytes *in, uint32_t key, struct wire_fault *fault)
{
	uint32_t open[WIRE_DEPTH];
	size_t depth = 1;
	open[0] = key >> 3;
	while (depth) {
		struct wire_field f;
		if (!take_tag(in, &f.key))
			return false;
		if ((f.key & 7) == WIRE_GROUP) {
			if (depth == WIRE_DEPTH) {
				wire_fail(fault, "too_deep", "groups are nested too deep");
				return false;
			}
			open[depth++] = f.key >> 3;
		} else if ((f.key & 7) == WIRE_GROUP_END) {
			if (open[--depth] != f.key >> 3)
				return false;
		} else if (!take_value(in, &f)) {
			return false;
		}
	}
	return true;
}

static bool next_odd(struct sp_bytes *in, struct wire_field *f, struct wire_fault *fault)
{
	while (in->n) {
		if (!take_tag(in, &f->key)) {
			wire_fail(fault, bad, "no field tag");
			return false;
		}
		if ((f->key & 7) != WIRE_GROUP) {
			if (take_value(in, f))
				return true;
			wire_fail(fault, bad, "a field is cut off or of no known type");
			return false;
		}
		if (!skip_group(in, f->key, fault)) {
			wire_fail(fault, bad, "a group without end");
			return false;
		}
	}
	return false;
}

struct wire_step wire_next_odd(struct sp_bytes in, struct wire_fault *fault)
{
	struct wire_step step = {.rest = in};
	step.found = next_odd(&step.rest, &step.field, fault);
	return step;
}

struct sp_bytes wire_part_join(const struct wire_part *part, struct sp_bytes message, uint32_t key, struct sp_arena *arena,
    struct wire_fault *fault)
{
	struct wire_field f;
	struct sp_bytes rest = message;
	size_t n = 0;
	if (part->n < 2)
		return part->bytes;
	while (wire_next(&rest, &f, fault))
		n += f.key == key ? f.bytes.n : 0;
	uint8_t *joined = sp_arena_alloc(arena, n), *to = joined;
	if (!joined) {
		wire_fail(fault, "no_mem", "out of memory");
		fault->no_mem = true;
		return (struct sp_bytes){0};
	}
	for (rest = message; wire_next(&rest, &f, fault);) {
		if (f.key == key && f.bytes.n) {
			memcpy(to, f.bytes.p, f.bytes.n);
			to += f.bytes.n;
		}
	}
	return sp_bytes(joined, n);
}
