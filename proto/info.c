#include "proto/info.h"

#include "common/alloc.h"
#include "common/crc32c.h"
#include "proto/remote_write.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CRC_BYTES 4
#define STATISTIC_SEGMENTS 16 /* a statistic's suffix hardly has more than three */

/* Field numbers with the wire type of a string, or of a number. */
enum { ENTRIES = 0x0a, NAME = 0x0a, TYPE = 0x10, UNIT = 0x1a, HELP = 0x22 };

struct slot {
	uint64_t hash;
	const Standpipe__InfoEntry *entry; /* NULL: free */
	uint32_t round; /* of info_part, in which it was taken last */
};

struct info {
	Standpipe__Info *message;
	struct slot *slots;
	size_t n_slots; /* a power of two */
	uint32_t round;
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

static uint64_t hash_of(struct sp_bytes name)
{
	return XXH3_64bits(name.p, name.n);
}

/* Its slot, or the free one where it belongs. */
static struct slot *find(const struct info *i, uint64_t hash, struct sp_bytes name)
{
	size_t at = hash & (i->n_slots - 1);
	while (i->slots[at].entry && (i->slots[at].hash != hash || !sp_eq(sp_str(i->slots[at].entry->name), name)))
		at = (at + 1) & (i->n_slots - 1);
	return &i->slots[at];
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
	struct info *i = sp_new(struct info);
	i->message = message;
	for (i->n_slots = 16; i->n_slots < 2 * message->n_entries; i->n_slots *= 2)
		;
	i->slots = sp_new_array(struct slot, i->n_slots);
	for (size_t k = 0; k < message->n_entries; k++) {
		const Standpipe__InfoEntry *e = message->entries[k];
		uint64_t hash = hash_of(sp_str(e->name));
		*find(i, hash, sp_str(e->name)) = (struct slot){.hash = hash, .entry = e};
	}
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
	sp_free(i->slots);
	sp_free(i);
}

static struct slot *find_of_series(const struct info *i, struct sp_bytes name)
{
	for (int segments = 0; segments <= STATISTIC_SEGMENTS && name.n; segments++) {
		struct slot *s = find(i, hash_of(name), name);
		if (s->entry)
			return s;
		while (name.n && name.p[--name.n] != '_')
			;
	}
	return NULL;
}

const Standpipe__InfoEntry *info_find(const struct info *i, struct sp_bytes name)
{
	const struct slot *s = find_of_series(i, name);
	return s ? s->entry : NULL;
}

/* Entries of this round's part that are not there yet. */
static void pick(struct info *i, struct sp_bytes body, struct sp_buf *raw, struct sp_buf *entries)
{
	struct sp_buf said = {0};
	struct sp_bytes in, last = {0};
	struct rw_series series;
	struct sp_why why;
	if (rw_uncompress(body, INFO_BODY_MAX_BYTES, raw, &why) != SP_OK)
		return;
	for (in = sp_buf_view(raw); in.n && rw_next(&in, &series, &why) == SP_OK;) {
		struct sp_bytes name = rw_find_label(series.labels, SP_LIT("__name__"));
		struct slot *s = sp_eq(name, last) ? NULL : find_of_series(i, name);
		last = name;
		if (!s || s->round == i->round)
			continue;
		s->round = i->round;
		sp_buf_clear(&said);
		info_describe(&said, s->entry->type, sp_str(s->entry->unit), sp_str(s->entry->help));
		info_add(entries, sp_str(s->entry->name), sp_buf_view(&said));
	}
	sp_buf_free(&said);
}

void info_part(struct info *i, const struct sp_bytes *bodies, size_t n, struct sp_buf *out)
{
	struct sp_buf raw = {0}, entries = {0};
	i->round++;
	for (size_t k = 0; k < n; k++)
		pick(i, bodies[k], &raw, &entries);
	info_pack(&entries, out);
	sp_buf_free(&raw);
	sp_buf_free(&entries);
}

struct sp_bytes info_unit(const Standpipe__InfoEntry *e, struct sp_bytes name)
{
	bool is_count = name.n > strlen(e->name) && sp_ends(name, SP_LIT("_count"));
	return is_count && e->type == STANDPIPE__INFO_ENTRY__TYPE__GAUGE ? sp_str("") : sp_str(e->unit);
}
