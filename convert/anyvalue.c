#include "convert/anyvalue.h"

#include <inttypes.h>

/* AnyValue: a oneof, so the last member set wins, and a list that is set twice in a row is merged. */
enum kind { NONE, STRING, BOOL, INT, DOUBLE, ARRAY, KVLIST, BYTES };

struct value {
	enum kind kind;
	uint64_t scalar;
	struct sp_bytes bytes;
};

static struct value read(struct sp_bytes in, struct sp_arena *arena, struct wire_fault *fault)
{
	static const uint32_t keys[] = {0, WIRE(1, WIRE_BYTES), WIRE(2, WIRE_VARINT), WIRE(3, WIRE_VARINT), WIRE(4, WIRE_FIXED64),
		WIRE(5, WIRE_BYTES), WIRE(6, WIRE_BYTES), WIRE(7, WIRE_BYTES)};
	struct value v = {0};
	struct wire_part part = {0};
	struct wire_field f;
	struct sp_bytes since = in; /* what the present member began with */
	for (struct sp_bytes before = in; wire_next(&in, &f, fault); before = in) {
		uint32_t number = f.key >> 3;
		if (number < STRING || number > BYTES || f.key != keys[number])
			continue;
		if (v.kind != number) {
			v.kind = (enum kind)number;
			part = (struct wire_part){0};
			since = before;
		}
		if ((f.key & 7) == WIRE_BYTES)
			wire_part_add(&part, f.bytes);
		else
			v.scalar = f.value;
	}
	v.bytes = v.kind == ARRAY || v.kind == KVLIST ? wire_part_join(&part, since, keys[v.kind], arena, fault) : part.bytes;
	return v;
}

void anyvalue_pair(struct sp_bytes pair, struct sp_arena *arena, struct wire_fault *fault, struct sp_bytes *key, struct sp_bytes *value)
{
	struct wire_part part = {0};
	struct wire_field f;
	struct sp_bytes rest = pair;
	*key = (struct sp_bytes){0};
	if (wire_next(&rest, &f, fault) && f.key == WIRE(1, WIRE_BYTES) && wire_is_only(rest, WIRE(2, WIRE_BYTES), value)) {
		*key = f.bytes;
		return;
	}
	for (struct sp_bytes in = pair; wire_next(&in, &f, fault);) {
		if (f.key == WIRE(1, WIRE_BYTES))
			*key = f.bytes;
		else if (f.key == WIRE(2, WIRE_BYTES))
			wire_part_add(&part, f.bytes);
	}
	*value = wire_part_join(&part, pair, WIRE(2, WIRE_BYTES), arena, fault);
}

static void write_value(struct sp_buf *b, struct sp_bytes in, unsigned depth, struct sp_arena *arena, struct wire_fault *fault);

/* The items of ArrayValue or of KeyValueList, which both are in field 1. */
static void write_list(struct sp_buf *b, struct sp_bytes in, bool pairs, unsigned depth, struct sp_arena *arena, struct wire_fault *fault)
{
	struct wire_field f;
	struct sp_bytes key, value;
	bool first = true;
	sp_buf_u8(b, pairs ? '{' : '[');
	while (wire_next(&in, &f, fault)) {
		if (f.key != WIRE(1, WIRE_BYTES))
			continue;
		if (!first)
			sp_buf_u8(b, ',');
		first = false;
		value = f.bytes;
		if (pairs) {
			anyvalue_pair(f.bytes, arena, fault, &key, &value);
			sp_buf_json(b, key);
			sp_buf_u8(b, ':');
		}
		write_value(b, value, depth + 1, arena, fault);
	}
	sp_buf_u8(b, pairs ? '}' : ']');
}

/* depth 0: the attribute's own value, where text stands without quotes. */
static void write_value(struct sp_buf *b, struct sp_bytes in, unsigned depth, struct sp_arena *arena, struct wire_fault *fault)
{
	if (depth > WIRE_DEPTH) {
		wire_fail(fault, "too_deep", "attribute values are nested too deep");
		return;
	}
	struct value v = read(in, arena, fault);
	double number;
	switch (v.kind) {
	case NONE:
		sp_buf_str(b, "null");
		break;
	case STRING:
		sp_buf_json(b, v.bytes);
		break;
	case BOOL:
		sp_buf_str(b, v.scalar ? "true" : "false");
		break;
	case INT:
		sp_buf_printf(b, "%" PRId64, (int64_t)v.scalar);
		break;
	case DOUBLE:
		memcpy(&number, &v.scalar, sizeof number);
		sp_buf_double(b, number);
		break;
	case BYTES:
		sp_buf_str(b, depth ? "\"" : "");
		sp_buf_base64(b, v.bytes);
		sp_buf_str(b, depth ? "\"" : "");
		break;
	case ARRAY:
	case KVLIST:
		write_list(b, v.bytes, v.kind == KVLIST, depth, arena, fault);
		break;
	}
}

struct sp_bytes anyvalue_text(struct sp_bytes value, struct sp_arena *arena, struct wire_fault *fault)
{
	struct sp_bytes short_cut;
	if (wire_is_only(value, WIRE(1, WIRE_BYTES), &short_cut))
		return short_cut;
	struct value v = read(value, arena, fault);
	if (v.kind == NONE || fault->reason)
		return (struct sp_bytes){0};
	if (v.kind == STRING)
		return v.bytes.p ? v.bytes : SP_LIT("");
	struct sp_buf b = {.max = 8 * value.n + 64};
	write_value(&b, value, 0, arena, fault);
	struct sp_bytes text = sp_arena_copy(arena, sp_buf_view(&b));
	if (!sp_buf_ok(&b) || !text.p) {
		wire_fail(fault, "no_mem", "out of memory");
		fault->no_mem = true;
	}
	sp_buf_free(&b);
	return text;
}

bool anyvalue_is_kvlist(struct sp_bytes value, struct sp_arena *arena, struct wire_fault *fault, struct sp_bytes *list)
{
	if (wire_is_only(value, WIRE(6, WIRE_BYTES), list))
		return true;
	struct value v = read(value, arena, fault);
	*list = v.bytes;
	return v.kind == KVLIST;
}
