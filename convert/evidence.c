#include "convert/evidence.h"

void evidence_begin(struct evidence *e, struct sp_arena *arena)
{
	*e = (struct evidence){.arena = arena, .record_index = -1};
}

void evidence_record(struct evidence *e, int index, struct sp_bytes record, enum piece_form form)
{
	e->record_form = form;
	e->record = record;
	e->record_index = index;
	e->is_whole = false;
}

/* A new last item; NULL when the arena is spent. */
static struct convert_quarantine *add_item(struct evidence *e, const char *reason, const char *text)
{
	struct sp_bytes words = sp_arena_copy(e->arena, sp_bytes(text, strlen(text) + 1));
	if (words.p && e->n == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 16;
		struct convert_quarantine *v = sp_arena_grow(e->arena, e->v, e->n * sizeof(*v), cap * sizeof(*v));
		e->v = v ? v : e->v;
		e->cap = v ? cap : e->cap;
	}
	if (!words.p || e->n == e->cap) {
		e->failed = true;
		return NULL;
	}
	struct convert_quarantine *item = &e->v[e->n++];
	*item = (struct convert_quarantine){.reason = reason, .record = e->record_index, .text = (const char *)words.p};
	return item;
}

void evidence_add_record(struct evidence *e, const char *reason, uint64_t pieces, const char *text)
{
	e->pieces += pieces;
	if (!e->is_whole) {
		struct convert_quarantine *item = add_item(e, reason, text);
		if (!item)
			return;
		item->bytes = e->record;
		item->form = e->record_form;
		e->is_whole = true;
	}
	e->v[e->n - 1].pieces += pieces;
}

void evidence_add(struct evidence *e, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	if (e->is_whole || e->n >= EVIDENCE_PIECES || bytes.n > EVIDENCE_BYTES - e->piece_bytes) {
		evidence_add_record(e, reason, 1, text);
		return;
	}
	struct convert_quarantine *item = add_item(e, reason, text);
	if (!item)
		return;
	item->bytes = bytes;
	item->form = form;
	item->offset = offset;
	item->pieces = 1;
	e->piece_bytes += bytes.n;
	e->pieces++;
}
