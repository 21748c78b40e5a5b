/* evidence - what of a delivery could not be used, for the quarantine.
 *
 * Pieces are kept one by one up to EVIDENCE_PIECES and EVIDENCE_BYTES a delivery; beyond that the record a piece is in
 * is kept whole, once, with the number of pieces it stands for. Nothing is left out and nothing is counted twice. Views
 * of bytes are kept, not copies; words are copied into the arena. One thread.
 */
#ifndef CONVERT_EVIDENCE_H
#define CONVERT_EVIDENCE_H

#include "convert/delivery.h"

#define EVIDENCE_PIECES 100
#define EVIDENCE_BYTES ((size_t)4 << 20)

struct evidence {
	struct sp_arena *arena;
	struct convert_quarantine *v;
	size_t n, cap;
	size_t piece_bytes;
	uint64_t pieces;      /* all of them */
	struct sp_bytes record; /* the record at hand, as decoded as it could be */
	enum piece_form record_form;
	int record_index;
	bool is_whole; /* the last item is the record at hand */
	bool failed;   /* the arena is spent: the delivery cannot be accepted */
};

void evidence_begin(struct evidence *e, struct sp_arena *arena);
/* The pieces that follow are of this record. */
void evidence_record(struct evidence *e, int index, struct sp_bytes record, enum piece_form form);
void evidence_add(struct evidence *e, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text);
/* Pieces that cannot be cut out of their record: it is kept whole. */
void evidence_add_record(struct evidence *e, const char *reason, uint64_t pieces, const char *text);

#endif
