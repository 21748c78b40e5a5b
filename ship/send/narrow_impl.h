/* narrow_impl - what narrow.c (which piece goes next, and what the answer means) and narrow_batch.c (the samples of the
 * batch, their order, and what became of them) share, and nobody else includes. */
#ifndef SHIP_NARROW_IMPL_H
#define SHIP_NARROW_IMPL_H

#include "ship/send/narrow.h"

/* Different answers that are kept in full; later ones are filed under the last. */
#define WORDS_MAX 64

#define NOBODY UINT32_MAX

/* A range of n->order. */
struct piece {
	uint32_t from, to;
	bool left;	 /* the next piece is its brother, and both together were refused */
	bool surely_bad; /* its brother was accepted */
	bool apart;	 /* probably all of it is bad: to be tried one by one */
	bool refused;	 /* it was, as load */
	unsigned strikes, hearings;
};

enum fate { FATE_OPEN = 0, FATE_DELIVERED, FATE_CONDEMNED, FATE_GIVEN_UP };

/* The order of sending: what is likely to be good first and in one piece, so that the usual case costs one request. All
 * samples of a series are together but for those that are expected to be refused. */
enum class { LIKELY_GOOD = 0, DOUBTFUL, EXPECTED, CLASSES };

struct sample {
	uint32_t series;
	int64_t ms;
	uint32_t place; /* in order */
	uint16_t refusal;
	uint8_t fate, class;
	bool heard;  /* and condemned for 429 or 5xx */
	bool proven; /* condemned unsent, as its like were */
};

struct refusal {
	int status;
	bool load;  /* 429 or 5xx */
	bool order; /* it says that something came late */
	uint64_t kind; /* known_kind */
	char *words;
	size_t n_words;
};

struct narrow {
	struct narrow_rules rules;
	struct known *known;
	struct sp_buf raw, block;
	struct rw_totals totals;
	size_t block_bytes;
	struct sample *samples;
	uint64_t *series; /* hashes */
	int64_t *newest;  /* time delivered of each series when narrowing began; INT64_MIN unknown */
	uint32_t *order;  /* sample numbers, the order of sending */
	uint32_t begins[CLASSES];
	struct piece *pieces; /* a ring: front is next */
	size_t cap, front, n;
	struct piece current, accused; /* accused: one sample that was answered 5xx, from == to when there is none */
	enum { IDLE, PIECE_OUT, PROBE_OUT, SINGLE_OUT, CONTROL_OUT } state;
	bool probing;	/* is it the batch or the receiver? */
	bool proven;	/* the receiver accepted something since we began */
	bool doubted;	/* what it refused as load it then accepted */
	unsigned trust; /* answers that speak of load and are taken at their word, after a doubt */
	uint32_t turn;	/* known_turn */
	bool trial;	/* some of what is proven bad is to be tried; so much was: */
	unsigned tried;
	bool skips;	/* what is proven bad is not tried in this batch */
	bool anew;	/* it did so after all that was sent of this batch had been refused */
	unsigned failed_probes;
	bool wants_other; /* the last probe failed: another batch shall go in between */
	uint32_t probe;	  /* series to probe next */
	uint32_t good;	  /* a sample that was accepted; NOBODY */
	unsigned requests;
	unsigned singles; /* sent while blind */
	unsigned blind; /* requests without a single 2xx */
	struct refusal refusals[WORDS_MAX];
	size_t n_refusals;
	struct sp_buf *bodies; /* of the dead letters */
	struct dead_letter *dead;
	size_t n_dead;
};

static inline struct sample *sample_at(struct narrow *n, uint32_t place)
{
	return &n->samples[n->order[place]];
}

/* narrow_batch.c */
/* Reads the samples of n->raw and puts them in order. */
SP_CHECKED enum sp_status batch_read(struct narrow *n, struct sp_why *why);
void batch_free(struct narrow *n);
/* The body that holds these places of the order, in n->block. SP_NO_MEM. */
SP_CHECKED enum sp_status batch_part(
    struct narrow *n, uint32_t from, uint32_t to, uint32_t *samples, struct sp_why *why);
/* The number of this answer among those that are kept. */
uint16_t batch_file_refusal(struct narrow *n, int status, bool load, struct sp_bytes words);

#endif
