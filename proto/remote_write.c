#include "proto/remote_write.h"

#include <inttypes.h>
#include <snappy-c.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
	uint64_t number;
	enum wire wire;
	uint64_t value;        /* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
	struct sp_bytes bytes; /* WIRE_BYTES */
};

static bool take_any_field(struct sp_bytes *in, struct field *out)
{
	struct sp_bytes at = *in;
	struct field f = {0};
	uint64_t tag, n;
	uint32_t low;
	if (!sp_take_varint(&at, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
		return false;
	f.number = tag >> 3;
	f.wire = (enum wire)(tag & 7);
	bool ok = false;
	switch (f.wire) {
	case WIRE_VARINT:
		ok = sp_take_varint(&at, &f.value);
		break;
	case WIRE_FIXED64:
		ok = sp_take_le64(&at, &f.value);
		break;
	case WIRE_FIXED32:
		ok = sp_take_le32(&at, &low);
		f.value = ok ? low : 0;
		break;
	case WIRE_BYTES:
		ok = sp_take_varint(&at, &n) && n <= SIZE_MAX && sp_take_n(&at, (size_t)n, &f.bytes);
		break;
	}
	if (!ok)
		return false;
	*in = at;
	*out = f;
	return true;
}

/* Bytes of less than 128 under a known number: nearly every field that we write ourselves. */
static inline bool take_short(struct sp_bytes *in, uint64_t number, struct sp_bytes *out)
{
	if (in->n < 2 || in->p[0] != (number << 3 | WIRE_BYTES) || in->p[1] >= 0x80 || in->p[1] > in->n - 2)
		return false;
	*out = sp_bytes(in->p + 2, in->p[1]);
	in->p += 2 + out->n, in->n -= 2 + out->n;
	return true;
}

static inline bool take_field(struct sp_bytes *in, struct field *out)
{
	for (uint64_t number = 1; number <= 2; number++)
		if (take_short(in, number, &out->bytes))
			return out->number = number, out->wire = WIRE_BYTES, true;
	return take_any_field(in, out);
}

static bool is_known(const struct field *f, uint64_t number, enum wire wire)
{
	return f->number == number && f->wire == wire;
}

/* A known number with another wire type means that this is not the message we think it is. */
static bool is_misused(const struct field *f, uint64_t number, enum wire wire)
{
	return f->number == number && f->wire != wire;
}

static bool parse_label(struct sp_bytes message, struct rw_label *out)
{
	struct rw_label label = {0};
	struct field f;
	struct sp_bytes rest = message;
	if (take_short(&rest, 1, &out->name) && take_short(&rest, 2, &out->value) && rest.n == 0)
		return true;
	while (message.n) {
		if (!take_field(&message, &f) || is_misused(&f, 1, WIRE_BYTES) || is_misused(&f, 2, WIRE_BYTES))
			return false;
		if (f.number == 1)
			label.name = f.bytes;
		else if (f.number == 2)
			label.value = f.bytes;
	}
	*out = label;
	return true;
}

static bool parse_sample(struct sp_bytes message, struct rw_sample *out)
{
	struct rw_sample sample = {0};
	struct field f;
	struct sp_bytes rest = message;
	uint8_t value_tag, ms_tag;
	uint64_t bits, ms;
	if (sp_take_u8(&rest, &value_tag) && value_tag == (1 << 3 | WIRE_FIXED64) && sp_take_le64(&rest, &bits) &&
	    sp_take_u8(&rest, &ms_tag) && ms_tag == (2 << 3 | WIRE_VARINT) && sp_take_varint(&rest, &ms) && rest.n == 0) {
		memcpy(&out->value, &bits, sizeof(out->value));
		out->ms = (int64_t)ms;
		return true;
	}
	while (message.n) {
		if (!take_field(&message, &f) || is_misused(&f, 1, WIRE_FIXED64) || is_misused(&f, 2, WIRE_VARINT))
			return false;
		if (f.number == 1)
			memcpy(&sample.value, &f.value, sizeof(sample.value));
		else if (f.number == 2)
			sample.ms = (int64_t)f.value;
	}
	*out = sample;
	return true;
}

uint8_t *rw_put_label(uint8_t *to, struct sp_bytes name, struct sp_bytes value)
{
	*to++ = 0x0a; /* labels */
	to = rw_put_varint(to, 1 + rw_varint_size(name.n) + name.n + 1 + rw_varint_size(value.n) + value.n);
	*to++ = 0x0a; /* name */
	to = rw_put_varint(to, name.n);
	if (name.n)
		memcpy(to, name.p, name.n);
	to += name.n;
	*to++ = 0x12; /* value */
	to = rw_put_varint(to, value.n);
	if (value.n)
		memcpy(to, value.p, value.n);
	return to + value.n;
}

void rw_add_series(struct sp_buf *raw, struct sp_bytes labels, const struct rw_sample *samples, size_t n_samples)
{
	size_t n = labels.n;
	for (size_t i = 0; i < n_samples; i++)
		n += rw_sample_size(samples[i].ms);
	uint8_t *to = sp_buf_room(raw, 1 + rw_varint_size(n) + n);
	if (!to)
		return;
	to = rw_put_series_head(to, n);
	if (labels.n)
		memcpy(to, labels.p, labels.n);
	to += labels.n;
	for (size_t i = 0; i < n_samples; i++)
		to = rw_put_sample(to, samples[i].ms, samples[i].value);
	raw->n = (size_t)(to - raw->p);
}

/* Checks everything in a TimeSeries message, so that iterating later needs no errors. NULL, or what is wrong. */
static const char *check_series(struct sp_bytes message, const struct rw_labels *guess, struct rw_series *s)
{
	struct field f;
	struct rw_label label;
	struct rw_sample sample;
	bool past_labels = false;
	s->labels = sp_bytes(message.p, 0);
	if (guess && guess->fields.n && message.n >= guess->fields.n &&
	    memcmp(message.p, guess->fields.p, guess->fields.n) == 0) {
		s->labels.n = guess->fields.n;
		s->n_labels = guess->n;
		(void)sp_take_n(&message, guess->fields.n, &f.bytes);
	}
	while (message.n) {
		if (!take_field(&message, &f) || is_misused(&f, 1, WIRE_BYTES) || is_misused(&f, 2, WIRE_BYTES))
			return "a field of a series is cut off or of the wrong type";
		if (f.number == 1) {
			if (past_labels)
				return "a label comes after a sample";
			if (!parse_label(f.bytes, &label))
				return "a label cannot be read";
			s->n_labels++;
			s->labels.n = (size_t)(message.p - s->labels.p);
			continue;
		}
		past_labels = true;
		if (f.number == 2) {
			if (!parse_sample(f.bytes, &sample))
				return "a sample cannot be read";
			s->n_samples++;
		}
	}
	const uint8_t *labels_end = s->labels.p ? s->labels.p + s->labels.n : NULL;
	s->samples = sp_bytes(labels_end, (size_t)(message.p - labels_end));
	return NULL;
}

enum sp_status rw_next(struct sp_bytes *in, struct rw_series *out, struct sp_why *why)
{
	return rw_next_guessed(in, NULL, out, why);
}

enum sp_status rw_next_guessed(
    struct sp_bytes *in, const struct rw_labels *guess, struct rw_series *out, struct sp_why *why)
{
	struct sp_bytes at = *in;
	while (at.n) {
		const uint8_t *start = at.p;
		struct field f;
		if (!take_field(&at, &f) || is_misused(&f, 1, WIRE_BYTES))
			return sp_fail(why, SP_BAD_DATA, "not a write request: %zu bytes before its end a field cannot be read", at.n);
		if (!is_known(&f, 1, WIRE_BYTES))
			continue;
		struct rw_series s = {.raw = sp_bytes(start, (size_t)(at.p - start))};
		const char *bad = check_series(f.bytes, guess, &s);
		if (bad)
			return sp_fail(why, SP_BAD_DATA, "not a write request: %s", bad);
		*in = at;
		*out = s;
		return SP_OK;
	}
	*in = at;
	return SP_NOT_FOUND;
}

bool rw_next_label(struct sp_bytes *labels, struct rw_label *out)
{
	struct field f;
	return labels->n && take_field(labels, &f) && parse_label(f.bytes, out);
}

bool rw_next_sample(struct sp_bytes *samples, struct rw_sample *out)
{
	struct field f;
	while (samples->n && take_field(samples, &f)) {
		if (f.number == 2)
			return parse_sample(f.bytes, out);
	}
	return false;
}

struct sp_bytes rw_find_label(struct sp_bytes labels, struct sp_bytes name)
{
	struct rw_label label;
	while (rw_next_label(&labels, &label)) {
		if (sp_eq(label.name, name))
			return label.value;
	}
	return (struct sp_bytes){0};
}

static void total_add(struct rw_totals *t, int64_t ms)
{
	if (t->samples == 0 || ms < t->min_ms)
		t->min_ms = ms;
	if (t->samples == 0 || ms > t->max_ms)
		t->max_ms = ms;
	t->samples++;
}

enum sp_status rw_count(struct sp_bytes raw, struct rw_totals *out, struct sp_why *why)
{
	if (raw.n > RW_RAW_MAX_BYTES)
		return sp_fail(why, SP_TOO_BIG, "a write request of %zu bytes is over the limit of %zu", raw.n, RW_RAW_MAX_BYTES);
	struct rw_totals t = {.raw_len = (uint32_t)raw.n};
	struct rw_series s;
	struct rw_sample v;
	enum sp_status status;
	while ((status = rw_next(&raw, &s, why)) == SP_OK) {
		t.series++;
		while (rw_next_sample(&s.samples, &v))
			total_add(&t, v.ms);
	}
	if (status != SP_NOT_FOUND)
		return status;
	*out = t;
	return SP_OK;
}

static void print_escaped(struct sp_buf *out, struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '"' || c == '\\')
			sp_buf_u8(out, '\\'), sp_buf_u8(out, c);
		else if (c == '\n')
			sp_buf_str(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			sp_buf_printf(out, "\\x%02x", c);
		else
			sp_buf_u8(out, c);
	}
}

void rw_print_labels(struct sp_buf *out, struct sp_bytes labels)
{
	struct rw_label label;
	print_escaped(out, rw_find_label(labels, SP_LIT("__name__")));
	const char *before = "{";
	while (rw_next_label(&labels, &label)) {
		if (sp_eq(label.name, SP_LIT("__name__")))
			continue;
		sp_buf_str(out, before);
		print_escaped(out, label.name);
		sp_buf_str(out, "=\"");
		print_escaped(out, label.value);
		sp_buf_str(out, "\"");
		before = ", ";
	}
	sp_buf_str(out, *before == '{' ? "{}" : "}");
}

void rw_compress(struct sp_bytes raw, struct sp_buf *out)
{
	size_t n = snappy_max_compressed_length(raw.n);
	uint8_t *to = sp_buf_room(out, n);
	if (!to)
		return;
	snappy_status status = snappy_compress(raw.n ? (const char *)raw.p : "", raw.n, (char *)to, &n);
	SP_BUG_IF(status != SNAPPY_OK); /* the room is what snappy asked for */
	out->n += n;
}

/* Reads the preamble of a block: the length of what it holds. */
static enum sp_status take_raw_length(struct sp_bytes *block, size_t max_raw, size_t *out, struct sp_why *why)
{
	uint64_t n;
	struct sp_bytes at = *block;
	/* No element makes more than 64 bytes out of two: a claim beyond that is a lie that would cost memory. */
	if (!sp_take_varint(&at, &n) || n > UINT32_MAX || n / 64 > at.n)
		return sp_fail(why, SP_BAD_DATA, "not a snappy block: %zu bytes cannot hold the length they claim", block->n);
	if (n > max_raw)
		return sp_fail(why, SP_TOO_BIG, "a snappy block holds %" PRIu64 " bytes, over the limit of %zu", n, max_raw);
	*block = at;
	*out = (size_t)n;
	return SP_OK;
}

enum sp_status rw_raw_length(struct sp_bytes block, size_t max_raw, size_t *out, struct sp_why *why)
{
	return take_raw_length(&block, max_raw, out, why);
}

enum sp_status rw_uncompress(struct sp_bytes block, size_t max_raw, struct sp_buf *out, struct sp_why *why)
{
	size_t n;
	enum sp_status status = rw_raw_length(block, max_raw, &n, why);
	if (status != SP_OK)
		return status;
	uint8_t *to = sp_buf_room(out, n + 1); /* never NULL for an empty block */
	if (!to)
		return sp_fail(why, SP_NO_MEM, "no memory for the %zu bytes of a snappy block", n);
	if (snappy_uncompress((const char *)block.p, block.n, (char *)to, &n) != SNAPPY_OK)
		return sp_fail(why, SP_BAD_DATA, "a snappy block of %zu bytes is damaged", block.n);
	out->n += n;
	return SP_OK;
}

enum sp_status rw_join(const struct sp_bytes *blocks, size_t n, size_t max_raw, struct sp_buf *out, struct sp_why *why)
{
	size_t raw = 0, bytes = 0, one = 0;
	for (size_t i = 0; i < n; i++) {
		struct sp_bytes block = blocks[i];
		enum sp_status status = take_raw_length(&block, max_raw - raw, &one, why);
		if (status != SP_OK)
			return status;
		raw += one;
		bytes += block.n;
	}
	if (raw > UINT32_MAX)
		return sp_fail(why, SP_TOO_BIG, "joined blocks would hold %zu bytes", raw);
	uint8_t *to = sp_buf_room(out, 10 + bytes);
	if (!to)
		return sp_fail(why, SP_NO_MEM, "no memory to join %zu blocks of %zu bytes", n, bytes);
	uint8_t *at = rw_put_varint(to, raw);
	for (size_t i = 0; i < n; i++) {
		struct sp_bytes block = blocks[i];
		uint64_t skipped;
		(void)sp_take_varint(&block, &skipped); /* succeeded above */
		if (block.n)
			memcpy(at, block.p, block.n);
		at += block.n;
	}
	out->n += (size_t)(at - to);
	return SP_OK;
}

/* Writes what keep wants of one series to raw; the samples it took are counted in *t. */
static void part_of_series(const struct rw_series *s, uint32_t index, uint32_t first, rw_keep_fn keep, void *arg,
    struct sp_buf *raw, struct sp_buf *samples, struct rw_totals *t)
{
	struct sp_bytes rest = s->samples;
	struct rw_sample v;
	sp_buf_clear(samples);
	for (uint32_t i = 0; rw_next_sample(&rest, &v); i++) {
		if (!keep(arg, index, first + i, s, &v))
			continue;
		uint8_t *to = sp_buf_room(samples, RW_SAMPLE_MAX_BYTES);
		if (!to)
			break;
		samples->n += (size_t)(rw_put_sample(to, v.ms, v.value) - to);
		total_add(t, v.ms);
	}
	if (samples->n == 0)
		return;
	t->series++;
	sp_buf_u8(raw, 0x0a);
	sp_buf_varint(raw, s->labels.n + samples->n);
	sp_buf_add(raw, s->labels);
	sp_buf_add(raw, sp_buf_view(samples));
}

bool rw_newest_sample(struct sp_bytes block, uint32_t number, size_t max_raw, struct sp_buf *out)
{
	struct sp_buf raw = {0}, one = {0};
	struct sp_why why;
	struct rw_series series;
	struct rw_sample v, newest = {INT64_MIN, 0};
	bool found = rw_uncompress(block, max_raw, &raw, &why) == SP_OK;
	struct sp_bytes in = sp_buf_view(&raw);
	for (uint32_t i = 0; found && i <= number; i++)
		found = rw_next(&in, &series, &why) == SP_OK;
	found = found && series.n_samples > 0;
	if (found) {
		while (rw_next_sample(&series.samples, &v))
			newest = v.ms >= newest.ms ? v : newest;
		rw_add_series(&one, series.labels, &newest, 1);
		sp_buf_clear(out);
		rw_compress(sp_buf_view(&one), out);
		found = sp_buf_ok(&one) && sp_buf_ok(out);
	}
	sp_buf_free(&one);
	sp_buf_free(&raw);
	return found;
}

enum sp_status rw_part(struct sp_bytes raw, rw_keep_fn keep, void *arg, struct sp_buf *out_block, struct rw_totals *out,
	struct sp_why *why)
{
	struct sp_buf part = {.max = RW_RAW_MAX_BYTES}, samples = {0};
	struct rw_totals t = {0};
	struct rw_series s;
	uint32_t index = 0, first = 0;
	enum sp_status status;
	while ((status = rw_next(&raw, &s, why)) == SP_OK) {
		part_of_series(&s, index++, first, keep, arg, &part, &samples, &t);
		first += s.n_samples;
	}
	if (status == SP_NOT_FOUND) {
		status = SP_NO_MEM;
		if (sp_buf_ok(&part) && sp_buf_ok(&samples)) {
			rw_compress(sp_buf_view(&part), out_block);
			status = sp_buf_ok(out_block) ? SP_OK : SP_NO_MEM;
		}
		if (status == SP_NO_MEM)
			sp_fail(why, SP_NO_MEM, "no memory for a part of a write request");
	}
	if (status == SP_OK) {
		t.raw_len = (uint32_t)part.n;
		*out = t;
	}
	sp_buf_free(&part);
	sp_buf_free(&samples);
	return status;
}
