#include "proto/remote_write2.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FIRST_SLOTS 1024
/* Labels whose symbols are remembered from series to series: neighbours share most of theirs. */
#define LABELS_KEPT 32
#define REF_MAX_BYTES 5
#define META_MAX_BYTES (2 + 2 + 2 * (1 + REF_MAX_BYTES))

/* Field numbers with the wire type. */
enum { SYMBOLS = 0x22, TIMESERIES = 0x2a };
enum { LABELS_REFS = 0x0a, METADATA = 0x2a };
enum { TYPE = 0x08, HELP_REF = 0x18, UNIT_REF = 0x20 };

struct slot {
	uint32_t hash, ref, at, n; /* ref 0: free; the text lies in symbols[at, at + n) */
};

struct kept_label {
	struct sp_bytes field, name;
	uint32_t name_ref, value_ref;
};

struct rw2_writer {
	struct sp_buf symbols, series; /* encoded fields */
	struct sp_buf refs;	       /* of one series */
	struct slot *slots;
	size_t n_slots; /* a power of two */
	uint32_t n_symbols;
	bool failed; /* no memory */
	struct kept_label kept[LABELS_KEPT];
	struct sp_bytes meta_name; /* whose metadata this is */
	uint8_t meta[META_MAX_BYTES];
	size_t n_meta;
};

struct rw2_writer *rw2_writer_new(void)
{
	struct rw2_writer *w = sp_new(struct rw2_writer);
	w->symbols.max = w->series.max = RW_RAW_MAX_BYTES;
	w->n_slots = FIRST_SLOTS;
	w->slots = sp_new_array(struct slot, w->n_slots);
	return w;
}

void rw2_writer_free(struct rw2_writer **writer)
{
	struct rw2_writer *w = *writer;
	*writer = NULL;
	if (!w)
		return;
	sp_buf_free(&w->symbols);
	sp_buf_free(&w->series);
	sp_buf_free(&w->refs);
	sp_free(w->slots);
	sp_free(w);
}

/* ---- symbols ---- */

static void put_symbol(struct rw2_writer *w, struct sp_bytes text)
{
	sp_buf_u8(&w->symbols, SYMBOLS);
	sp_buf_varint(&w->symbols, text.n);
	sp_buf_add(&w->symbols, text);
}

/* Its slot, or the free one where it belongs. */
static struct slot *find(const struct rw2_writer *w, uint32_t hash, struct sp_bytes text)
{
	size_t i = hash & (w->n_slots - 1);
	for (; w->slots[i].ref; i = (i + 1) & (w->n_slots - 1)) {
		const struct slot *s = &w->slots[i];
		if (s->hash == hash && sp_eq(sp_bytes(w->symbols.p + s->at, s->n), text))
			break;
	}
	return &w->slots[i];
}

static bool grow(struct rw2_writer *w)
{
	size_t n = w->n_slots * 2;
	struct slot *slots = sp_try_alloc(n * sizeof *slots);
	if (!slots)
		return false;
	memset(slots, 0, n * sizeof *slots);
	for (size_t i = 0; i < w->n_slots; i++) {
		size_t to = w->slots[i].hash & (n - 1);
		while (w->slots[i].ref && slots[to].ref)
			to = (to + 1) & (n - 1);
		if (w->slots[i].ref)
			slots[to] = w->slots[i];
	}
	sp_free(w->slots);
	w->slots = slots;
	w->n_slots = n;
	return true;
}

static uint32_t symbol(struct rw2_writer *w, struct sp_bytes text)
{
	if (text.n == 0)
		return 0;
	uint32_t hash = (uint32_t)XXH3_64bits(text.p, text.n);
	struct slot *s = find(w, hash, text);
	if (s->ref)
		return s->ref;
	if (w->n_symbols >= w->n_slots / 2) {
		if (!grow(w)) {
			w->failed = true;
			return 0;
		}
		s = find(w, hash, text);
	}
	put_symbol(w, text);
	if (!sp_buf_ok(&w->symbols))
		return 0;
	*s = (struct slot){hash, ++w->n_symbols, (uint32_t)(w->symbols.n - text.n), (uint32_t)text.n};
	return s->ref;
}

/* ---- series ---- */

/* The labels' references, into w->refs. Returns the value of __name__. */
static struct sp_bytes put_labels(struct rw2_writer *w, const struct rw_series *s)
{
	struct sp_bytes labels = s->labels, name = {NULL, 0};
	struct rw_label label;
	const uint8_t *start = labels.p;
	sp_buf_clear(&w->refs);
	uint8_t *to = sp_buf_room(&w->refs, (size_t)s->n_labels * 2 * REF_MAX_BYTES + 1);
	for (size_t i = 0; to && rw_next_label(&labels, &label); i++) {
		struct kept_label once = {0}, *k = i < LABELS_KEPT ? &w->kept[i] : &once;
		struct sp_bytes field = sp_bytes(start, (size_t)(labels.p - start));
		start = labels.p;
		if (!sp_eq(k->field, field)) {
			uint32_t name_ref = sp_eq(k->name, label.name) ? k->name_ref : symbol(w, label.name);
			*k = (struct kept_label){field, label.name, name_ref, symbol(w, label.value)};
		}
		to = rw_put_varint(rw_put_varint(to, k->name_ref), k->value_ref);
		if (sp_eq(label.name, SP_LIT("__name__")))
			name = label.value;
	}
	w->refs.n = to ? (size_t)(to - w->refs.p) : 0;
	return name;
}

/* The series of one metric are neighbours: its metadata are looked up once. */
static void find_metadata(struct rw2_writer *w, const struct info *info, struct sp_bytes name)
{
	if (sp_eq(w->meta_name, name))
		return;
	w->meta_name = name;
	w->n_meta = 0;
	const Standpipe__InfoEntry *e = info ? info_find(info, name) : NULL;
	if (!e)
		return;
	uint32_t help = symbol(w, sp_str(e->help)), unit = symbol(w, info_unit(e, name));
	uint8_t *to = w->meta + 2;
	if (e->type)
		*to++ = TYPE, to = rw_put_varint(to, (uint64_t)e->type);
	if (help)
		*to++ = HELP_REF, to = rw_put_varint(to, help);
	if (unit)
		*to++ = UNIT_REF, to = rw_put_varint(to, unit);
	w->n_meta = (size_t)(to - w->meta);
	w->meta[0] = METADATA;
	w->meta[1] = (uint8_t)(w->n_meta - 2);
	if (w->n_meta == 2)
		w->n_meta = 0;
}

static void put_series(struct rw2_writer *w, const struct rw_series *s, const struct info *info)
{
	struct sp_bytes samples = s->samples;
	struct rw_sample v;
	find_metadata(w, info, put_labels(w, s));
	size_t head = 1 + REF_MAX_BYTES;
	uint8_t *start = sp_buf_room(
	    &w->series, 2 * head + w->refs.n + (size_t)s->n_samples * RW_SAMPLE_MAX_BYTES + META_MAX_BYTES);
	if (!start)
		return;
	uint8_t *body = start + head, *to = body;
	if (w->refs.n) {
		*to++ = LABELS_REFS;
		to = rw_put_varint(to, w->refs.n);
		memcpy(to, w->refs.p, w->refs.n);
		to += w->refs.n;
	}
	while (rw_next_sample(&samples, &v))
		to = rw_put_sample(to, v.ms, v.value); /* the same in both versions */
	memcpy(to, w->meta, w->n_meta);
	size_t n = (size_t)(to - body) + w->n_meta;
	*start = TIMESERIES;
	start = rw_put_varint(start + 1, n);
	memmove(start, body, n);
	w->series.n = (size_t)(start + n - w->series.p);
}

/* ---- a body ---- */

void rw2_begin(struct rw2_writer *w)
{
	sp_buf_clear(&w->symbols);
	sp_buf_clear(&w->series);
	while (w->n_slots > FIRST_SLOTS && w->n_symbols < w->n_slots / 8)
		w->n_slots /= 2; /* a small body does not pay for the large ones before */
	memset(w->slots, 0, w->n_slots * sizeof *w->slots);
	w->n_symbols = 0;
	w->failed = false;
	put_symbol(w, sp_str(""));
}

enum sp_status rw2_add(struct rw2_writer *w, struct sp_bytes raw, const struct info *info, struct sp_why *why)
{
	struct rw_series s;
	enum sp_status status;
	memset(w->kept, 0, sizeof w->kept); /* they are views of the last body */
	w->meta_name = (struct sp_bytes){NULL, 0};
	w->n_meta = 0;
	while ((status = rw_next(&raw, &s, why)) == SP_OK)
		if (s.n_samples)
			put_series(w, &s, info);
	return status == SP_NOT_FOUND ? SP_OK : status;
}

enum sp_status rw2_finish(struct rw2_writer *w, struct sp_buf *out, struct sp_why *why)
{
	sp_buf_add(&w->symbols, sp_buf_view(&w->series));
	if (w->failed || !sp_buf_ok(&w->symbols) || !sp_buf_ok(&w->series) || !sp_buf_ok(&w->refs))
		return sp_fail(why, SP_NO_MEM, "no memory for a remote write 2.0 request of %zu bytes", w->series.n);
	rw_compress(sp_buf_view(&w->symbols), out);
	return sp_buf_ok(out) ? SP_OK : sp_fail(why, SP_NO_MEM, "no memory to compress a request");
}
