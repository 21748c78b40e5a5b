#include "ship/spool/ledger.h"

#include "common/alloc.h"
#include "common/status.h"
#include "ship/spool/table.h"

#include <pthread.h>
#include <string.h>

struct ledger {
	pthread_mutex_t lock;
	struct table keys;
};

/* A key that is all zeros has another one's place in the table: keys are hashes, it will not be missed. */
static const uint8_t *usable(const uint8_t key[LEDGER_KEY_BYTES])
{
	static const uint8_t zeros[LEDGER_KEY_BYTES], instead[LEDGER_KEY_BYTES] = {1};
	return memcmp(key, zeros, sizeof zeros) == 0 ? instead : key;
}

struct ledger *ledger_new(void)
{
	struct ledger *l = sp_new(struct ledger);
	SP_BUG_IF(pthread_mutex_init(&l->lock, NULL) != 0);
	l->keys = (struct table){.key_bytes = LEDGER_KEY_BYTES, .entry_bytes = LEDGER_KEY_BYTES};
	return l;
}

void ledger_free(struct ledger **lp)
{
	struct ledger *l = *lp;
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	table_free(&l->keys);
	sp_free(l);
	*lp = NULL;
}

void ledger_add(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	pthread_mutex_lock(&l->lock);
	table_put(&l->keys, usable(key));
	pthread_mutex_unlock(&l->lock);
}

void ledger_remove(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	pthread_mutex_lock(&l->lock);
	void *entry = table_find(&l->keys, usable(key));
	if (entry)
		table_remove(&l->keys, entry);
	pthread_mutex_unlock(&l->lock);
}

bool ledger_has(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES])
{
	pthread_mutex_lock(&l->lock);
	bool has = table_find(&l->keys, usable(key));
	pthread_mutex_unlock(&l->lock);
	return has;
}

size_t ledger_count(struct ledger *l)
{
	pthread_mutex_lock(&l->lock);
	size_t n = l->keys.used;
	pthread_mutex_unlock(&l->lock);
	return n;
}
