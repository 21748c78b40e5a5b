#include "proto/info.h"

#include "common/alloc.h"
#include "common/crc32c.h"
#include "proto/remote_write.h"

#include <stdlib.h>

#define CRC_BYTES 4
#define STATISTIC_SEGMENTS 16 /* a statistic's suffix hardly has more than three */

/* Field numbers with the wire type of a string, or of a number. */
enum { ENTRIES = 0x0a, NAME = 0x0a, TYPE = 0x10, UNIT = 0x1a, HELP = 0x22 };

struct info {
	Standpipe__Info *message;
};

static void put_text(struct sp_buf *out, uint8_t field, struct sp_bytes text)
{
	if (!text.n)
		return;
	sp_buf_u8(out, field);
	sp_buf_varint(out, text.n);
	sp_buf_add(out, text);
}

void info_describe(struct sp_buf *out, Standpipe__InfoEntry__Type type, struct sp_bytes unit, struct sp_bytes help)
{
	sp_buf_u8(out, TYPE);
	sp_buf_u8(out, (uint8_t)type);
	put_text(out, UNIT, unit);
	put_text(out, HELP, help);
}

bool info_add(struct sp_buf *entries, struct sp_bytes name, struct sp_bytes said)
{
	if (entries->n + name.n + said.n + 20 > INFO_MAX_BYTES)
		return false;
	size_t head = 2 + (name.n > 0x7f) + (name.n > 0x3fff);
	sp_buf_u8(entries, ENTRIES);
	sp_buf_varint(entries, head + name.n + said.n);
	sp_buf_u8(entries, NAME);
	sp_buf_varint(entries, name.n);
	sp_buf_add(entries, name);
	sp_buf_add(entries, said);
	return true;
}

void info_pack(const struct sp_buf *entries, struct sp_buf *out)
{
	sp_buf_clear(out);
	if (!entries->n || !sp_buf_ok(entries))
		return;
	sp_buf_add(out, sp_bytes((const uint8_t[CRC_BYTES]){0}, CRC_BYTES));
	rw_compress(sp_buf_view(entries), out);
	if (!sp_buf_ok(out)) {
		sp_buf_clear(out);
		return;
	}
	uint32_t crc = sp_crc32c(0, out->p + CRC_BYTES, out->n - CRC_BYTES);
	for (int i = 0; i < CRC_BYTES; i++)
		out->p[i] = (uint8_t)(crc >> 8 * i);
}

static int by_name(const void *a, const void *b)
{
	const Standpipe__InfoEntry *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

enum sp_status info_read(struct sp_bytes packed, struct info **out, struct sp_why *why)
{
	uint32_t crc;
	struct sp_bytes rest = packed;
	if (packed.n && (!sp_take_le32(&rest, &crc) || sp_crc32c(0, rest.p, rest.n) != crc))
		return sp_fail(why, SP_BAD_DATA, "what is known of a payload's metrics is damaged");
	struct sp_buf raw = {0};
	Standpipe__Info *message = NULL;
	if (!packed.n || rw_uncompress(rest, INFO_MAX_BYTES, &raw, why) == SP_OK)
		message = standpipe__info__unpack(NULL, raw.n, raw.p);
	sp_buf_free(&raw);
	if (!message)
		return sp_fail(why, SP_BAD_DATA, "what is known of a payload's metrics cannot be read");
	if (message->n_entries)
		qsort(message->entries, message->n_entries, sizeof(Standpipe__InfoEntry *), by_name);
	struct info *i = sp_new(struct info);
	i->message = message;
	*out = i;
	return SP_OK;
}

void info_free(struct info **ip)
{
	struct info *i = *ip;
	*ip = NULL;
	if (!i)
		return;
	standpipe__info__free_unpacked(i->message, NULL);
	sp_free(i);
}

static const Standpipe__InfoEntry *find(const Standpipe__Info *m, struct sp_bytes name)
{
	for (size_t from = 0, to = m->n_entries; from < to;) {
		size_t middle = (from + to) / 2;
		int c = sp_cmp(sp_str(m->entries[middle]->name), name);
		if (c == 0)
			return m->entries[middle];
		if (c < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

const Standpipe__InfoEntry *info_find(const struct info *i, struct sp_bytes name)
{
	const Standpipe__InfoEntry *e = NULL;
	for (int segments = 0; segments <= STATISTIC_SEGMENTS && name.n; segments++) {
		e = find(i->message, name);
		if (e)
			return e;
		while (name.n && name.p[--name.n] != '_')
			;
	}
	return NULL;
}
