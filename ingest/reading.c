#include "ingest/reading.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHUNK_STEP_BYTES (1024 * 1024)

enum refusal reading_reserve(struct reading *r, struct budget *budget, size_t max, size_t length)
{
	*r = (struct reading){.budget = budget, .max = max};
	if (length == 0)
		return REFUSE_NOTHING;
	if (!budget_take(budget, length))
		return REFUSE_MEMORY;
	r->reserved = length;
	r->bytes = sp_try_alloc(length);
	return r->bytes ? REFUSE_NOTHING : REFUSE_MEMORY;
}

static void hash_text(XXH3_state_t *h, struct sp_bytes s)
{
	XXH3_128bits_update(h, s.n ? s.p : (const uint8_t *)"", s.n);
	XXH3_128bits_update(h, "", 1);
}

static bool grow(struct reading *r, size_t n)
{
	if (n > r->max - r->n) {
		r->refusal = REFUSE_SIZE;
		return false;
	}
	if (r->n + n <= r->reserved)
		return true;
	size_t step = (n + CHUNK_STEP_BYTES - 1) / CHUNK_STEP_BYTES * CHUNK_STEP_BYTES;
	step = step > r->reserved ? step : r->reserved; /* doubling: not a copy for every step */
	step = step > r->max - r->reserved ? r->max - r->reserved : step;
	r->refusal = REFUSE_MEMORY;
	if (!budget_take(r->budget, step))
		return false;
	uint8_t *more = sp_try_realloc(r->bytes, r->reserved + step);
	if (!more) {
		budget_give(r->budget, step);
		return false;
	}
	r->bytes = more;
	r->reserved += step;
	return true;
}

static bool take_chunk(void *arg, struct sp_bytes data)
{
	struct reading *r = arg;
	if (!grow(r, data.n))
		return false;
	memcpy(r->bytes + r->n, data.p, data.n);
	reading_took(r, data.n);
	return true;
}

void reading_begin(struct reading *r, const struct request *q, struct sp_bytes head)
{
	r->hash = XXH3_createState();
	SP_BUG_IF(!r->hash);
	XXH3_128bits_reset(r->hash);
	hash_text(r->hash, q->header[HEADER_SOURCE_ARN]);
	hash_text(r->hash, q->header[HEADER_REQUEST_ID]);
	hash_text(r->hash, sp_bytes(NULL, 0)); /* tenant */
	if (q->chunked)
		r->chunked = chunked_new(head, take_chunk, r);
}

uint8_t *reading_room(const struct reading *r, size_t *room)
{
	*room = r->reserved - r->n;
	return r->bytes + r->n;
}

/* The bytes are hashed while they are still in the cache. */
void reading_took(struct reading *r, size_t n)
{
	XXH3_128bits_update(r->hash, r->bytes + r->n, n);
	r->n += n;
}

enum chunked_state reading_feed(struct reading *r, struct sp_bytes data, size_t *used)
{
	r->refusal = REFUSE_CHUNKS;
	enum chunked_state state = chunked_feed(r->chunked, data, used);
	if (state == CHUNKED_DONE && r->n == 0) {
		r->refusal = REFUSE_EMPTY;
		return CHUNKED_BAD;
	}
	return state;
}

bool reading_stalls(struct reading *r, int64_t least)
{
	bool stalls = (int64_t)(r->n - r->seen) < least;
	r->seen = r->n;
	return stalls;
}

static void give_back(void *arg, uint8_t *body, size_t n)
{
	sp_free(body);
	budget_give(arg, n);
}

void reading_hand_over(struct reading *r, struct delivery *d)
{
	XXH128_canonical_t key;
	if (r->n < r->reserved) { /* came in chunks: keep what it is, not what it could have been */
		uint8_t *less = sp_try_realloc(r->bytes, r->n);
		r->bytes = less ? less : r->bytes;
		budget_give(r->budget, r->reserved - r->n);
	}
	XXH128_canonicalFromHash(&key, XXH3_128bits_digest(r->hash));
	memcpy(d->key, &key, sizeof d->key);
	d->body = r->bytes;
	d->body_n = r->n;
	d->body_free = give_back;
	d->body_arg = r->budget;
	r->bytes = NULL;
	r->reserved = 0;
	reading_drop(r);
}

void reading_drop(struct reading *r)
{
	if (r->bytes)
		sp_free(r->bytes);
	if (r->reserved)
		budget_give(r->budget, r->reserved);
	chunked_free(&r->chunked);
	XXH3_freeState(r->hash);
	*r = (struct reading){0};
}
