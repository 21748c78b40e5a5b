#include "ship/ledger.h"

#include "common/alloc.h"
#include "common/status.h"

#include <pthread.h>
#include <string.h>

#define SLOTS_AT_FIRST 1024

struct key {
	uint64_t lo, hi; /* both 0: a free slot */
};

struct ledger {
	pthread_mutex_t lock;
	struct key *slots;
	size_t mask, count;
};

/* Keys are hashes themselves, so their low bits choose the slot. */
static struct key key_of(const uint8_t bytes[LEDGER_KEY_BYTES])
{
	struct key k;
	memcpy(&k.lo, bytes, 8);
	memcpy(&k.hi, bytes + 8, 8);
	if (!k.lo && !k.hi)
		k.hi = 1;
	return k;
}

struct ledger *ledger_new(void)
{
	struct ledger *l = sp_new(struct ledger);
	SP_BUG_IF(pthread_mutex_init(&l->lock, NULL) != 0);
	l->slots = sp_new_array(struct key, SLOTS_AT_FIRST);
	l->mask = SLOTS_AT_FIRST - 1;
	return l;
}

void ledger_free(struct ledger **lp)
{
	struct ledger *l = *lp;
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	sp_free(l->slots);
	sp_free(l);
	*lp = NULL;
}

/* The slot that holds k, else the free one where it belongs. */
static size_t find(const struct ledger *l, struct key k)
{
	size_t at = k.lo & l->mask;
	while ((l->slots[at].lo || l->slots[at].hi) && (l->slots[at].lo != k.lo || l->slots[at].hi != k.hi))
		at = (at + 1) & l->mask;
	return at;
}

static bool is_free(const struct ledger *l, size_t at)
{
	return !l->slots[at].lo && !l->slots[at].hi;
}

static void grow(struct ledger *l)
{
	struct key *old = l->slots;
	size_t n = l->mask + 1;
	l->slots = sp_new_array(struct key, 2 * n);
	l->mask = 2 * n - 1;
	for (size_t i = 0; i < n; i++)
		if (old[i].lo || old[i].hi)
			l->slots[find(l, old[i])] = old[i];
	sp_free(old);
}

void ledger_add(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	struct key k = key_of(key);
	pthread_mutex_lock(&l->lock);
	if (4 * (l->count + 1) > 3 * (l->mask + 1))
		grow(l);
	size_t at = find(l, k);
	l->count += is_free(l, at);
	l->slots[at] = k;
	pthread_mutex_unlock(&l->lock);
}

void ledger_remove(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	pthread_mutex_lock(&l->lock);
	size_t hole = find(l, key_of(key));
	if (!is_free(l, hole)) {
		l->count--;
		/* Close the gap, so that no search ends early: a later key moves up unless its own slot lies behind the hole. */
		for (size_t at = (hole + 1) & l->mask; !is_free(l, at); at = (at + 1) & l->mask) {
			size_t home = l->slots[at].lo & l->mask;
			if (((at - home) & l->mask) >= ((at - hole) & l->mask)) {
				l->slots[hole] = l->slots[at];
				hole = at;
			}
		}
		l->slots[hole] = (struct key){0, 0};
	}
	pthread_mutex_unlock(&l->lock);
}

bool ledger_has(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	pthread_mutex_lock(&l->lock);
	bool has = !is_free(l, find(l, key_of(key)));
	pthread_mutex_unlock(&l->lock);
	return has;
}

size_t ledger_count(struct ledger *l)
{
	pthread_mutex_lock(&l->lock);
	size_t n = l->count;
	pthread_mutex_unlock(&l->lock);
	return n;
}
