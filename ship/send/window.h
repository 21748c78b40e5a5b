/* window - the oldest unsent batches of one shard: descriptors in memory, payloads as far as they are needed.
 *
 * Batches come from commits (window_add) or, when there are more than WINDOW_MAX, from the spool; the window asks the
 * writer itself and calls `ready` when something can be done that could not be done before. An entry stays until
 * window_remove. Pointers to entries last until the next call that adds or removes. One thread, the loop's.
 */
#ifndef SHIP_WINDOW_H
#define SHIP_WINDOW_H

#include "proto/remote_write.h"
#include "ship/spool/writer.h"

#define WINDOW_MAX 4096
#define WINDOW_JOIN_MAX 1024 /* batches of one request */

enum entry_state {
	ENTRY_QUEUED = 0,
	ENTRY_SENT,    /* in the request that is out */
	ENTRY_REFUSED, /* to be narrowed down; the others go on */
	ENTRY_GONE,
};

struct entry {
	struct batch batch;
	struct payload *payload; /* NULL: on disk */
	enum entry_state state;
	bool reading;
	bool purged;	       /* has left the spool while its request was out: not sent again */
	bool too_big, suspect; /* why it was refused */
	bool stored_rest;      /* what was good of it is stored all the same */
	unsigned attempts;
	unsigned strikes; /* suspicious answers in a row to this batch alone */
};

struct window_limits {
	size_t batches, samples, bytes, raw_bytes; /* the first batch is taken whatever its size */
	int64_t until_ms;			   /* no batch whose newest sample is newer, nor any behind it */
};

struct window;

/* behind: the spool holds batches that were not handed over; window_start asks for them. */
struct window *window_new(
    struct writer *w, uint32_t dest, uint32_t shard, bool behind, void (*ready)(void *arg), void *arg);
/* Reads that are out must have been answered, or the writer be closed. */
void window_free(struct window **w);
/* It holds nothing, the spool has nothing for it, and no answer of the writer is due. */
bool window_is_idle(const struct window *w);
/* Asks for what is on disk; until it is here, window_add only remembers that there is more. */
void window_start(struct window *w);
void window_add(struct window *w, const struct batch *b, struct payload *p);
/* The oldest queued batches that fit one request, with payload; 0 while any of them is still being read. */
size_t window_collect(struct window *w, const struct window_limits *l, struct entry **out);
/* The newest sample of the oldest batch; INT64_MIN while that is on its way from disk. False: nothing waits. */
bool window_front_ms(const struct window *w, int64_t *ms);
struct entry *window_first(struct window *w, enum entry_state state);
/* The newest queued one among the first ones whose samples are not newer than until_ms. */
struct entry *window_newest(struct window *w, int64_t until_ms);
/* The first queued one with a larger seq. */
struct entry *window_after(struct window *w, uint64_t seq);
struct entry *window_find(struct window *w, uint64_t seq);
/* True when the entry has its payload; else it is asked for. */
bool window_load(struct window *w, struct entry *e);
/* Queued entries give their payloads back: they are on disk. */
void window_unload(struct window *w);
struct sp_bytes entry_block(const struct entry *e);
struct sp_bytes entry_info(const struct entry *e); /* of its payload: what the metrics are (proto/info.h) */
void window_remove(struct window *w, struct entry *e);

#endif
