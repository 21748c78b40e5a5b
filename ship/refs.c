#include "ship/refs.h"

#include "common/alloc.h"
#include "common/status.h"

#include <stddef.h>

#define SLOTS_AT_FIRST 1024

struct ref {
	uint64_t id; /* 0: a free slot */
	uint32_t count;
};

struct refs {
	struct ref *slots;
	size_t mask, used;
};

struct refs *refs_new(void)
{
	struct refs *r = sp_new(struct refs);
	r->slots = sp_new_array(struct ref, SLOTS_AT_FIRST);
	r->mask = SLOTS_AT_FIRST - 1;
	return r;
}

void refs_free(struct refs **rp)
{
	if (!*rp)
		return;
	sp_free((*rp)->slots);
	sp_free(*rp);
	*rp = NULL;
}

static size_t home(const struct refs *r, uint64_t id)
{
	return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & r->mask;
}

static size_t find(const struct refs *r, uint64_t id)
{
	size_t at = home(r, id);
	while (r->slots[at].id && r->slots[at].id != id)
		at = (at + 1) & r->mask;
	return at;
}

static void grow(struct refs *r)
{
	struct ref *old = r->slots;
	size_t n = r->mask + 1;
	r->slots = sp_new_array(struct ref, 2 * n);
	r->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++)
		if (old[i].id)
			r->slots[find(r, old[i].id)] = old[i];
	sp_free(old);
}

static void take_out(struct refs *r, size_t hole)
{
	for (size_t at = (hole + 1) & r->mask; r->slots[at].id; at = (at + 1) & r->mask) {
		if (((at - home(r, r->slots[at].id)) & r->mask) >= ((at - hole) & r->mask)) {
			r->slots[hole] = r->slots[at];
			hole = at;
		}
	}
	r->slots[hole].id = 0;
	r->used--;
}

uint32_t refs_add(struct refs *r, uint64_t id, int32_t by)
{
	if (4 * (r->used + 1) > 3 * (r->mask + 1))
		grow(r);
	size_t at = find(r, id);
	if (!r->slots[at].id) {
		r->slots[at] = (struct ref){.id = id};
		r->used++;
	}
	SP_BUG_IF(by < 0 && r->slots[at].count < (uint32_t)-by);
	uint32_t count = r->slots[at].count += (uint32_t)by;
	if (!count)
		take_out(r, at);
	return count;
}
