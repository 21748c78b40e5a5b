#include "ingest/poison.h"

#include "common/alloc.h"

#include <string.h>

#define BODIES_MAX 1000
#define STRIKES_MAX 3
#define HOUR_MS ((int64_t)3600 * 1000)

struct body {
	uint8_t key[16];
	unsigned strikes;
	uint64_t completed; /* by the workers when the first strike came */
};

struct poison {
	struct body bodies[BODIES_MAX];
	size_t n, oldest; /* once full, the oldest is replaced */
	uint64_t completed;
	int64_t per_hour;
	double allowance; /* refilled over time up to per_hour */
	int64_t allowance_ms;
};

struct poison *poison_new(int64_t per_hour)
{
	struct poison *p = sp_new(struct poison);
	p->per_hour = per_hour;
	p->allowance = (double)per_hour;
	return p;
}

void poison_free(struct poison **p)
{
	sp_free(*p);
	*p = NULL;
}

static struct body *find(const struct poison *p, const uint8_t key[16])
{
	for (size_t i = 0; i < p->n; i++)
		if (memcmp(p->bodies[i].key, key, 16) == 0)
			return (struct body *)&p->bodies[i];
	return NULL;
}

void poison_death(struct poison *p, const uint8_t key[16], bool alone)
{
	struct body *b = find(p, key);
	if (!b) {
		b = p->n < BODIES_MAX ? &p->bodies[p->n++] : &p->bodies[p->oldest++ % BODIES_MAX];
		*b = (struct body){.completed = p->completed};
		memcpy(b->key, key, 16);
	}
	if (!alone)
		return;
	if (b->strikes == 0)
		b->completed = p->completed;
	if (b->strikes < STRIKES_MAX)
		b->strikes++;
}

void poison_clear(struct poison *p, const uint8_t key[16])
{
	struct body *b = find(p, key);
	if (!b)
		return;
	p->n--;
	*b = p->bodies[p->n];
}

void poison_completed(struct poison *p, const uint8_t key[16])
{
	p->completed++;
	poison_clear(p, key);
}

static double allowance_now(const struct poison *p, int64_t now_ms)
{
	double more = (double)(now_ms - p->allowance_ms) * (double)p->per_hour / (double)HOUR_MS;
	double all = p->allowance + more;
	return all < (double)p->per_hour ? all : (double)p->per_hour;
}

enum poison_verdict poison_judge(const struct poison *p, const uint8_t key[16], int64_t now_ms)
{
	const struct body *b = p->n ? find(p, key) : NULL;
	if (!b)
		return POISON_NONE;
	if (b->strikes < STRIKES_MAX)
		return POISON_SUSPECT;
	return p->completed > b->completed && allowance_now(p, now_ms) >= 1 ? POISON_SET_ASIDE : POISON_WORKERS_ILL;
}

void poison_set_aside(struct poison *p, int64_t now_ms)
{
	p->allowance = allowance_now(p, now_ms) - 1;
	p->allowance_ms = now_ms;
}
