#include "ship/send/known.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 1024 /* 24 KiB */
#define SLOTS_MAX 65536
#define PROBES 8
#define KIND_LETTERS 64
/* Refusals of the same series alone, or of late samples, that prove it. */
#define SERIES_PROOFS 2
#define LATE_PROOFS 3
/* Samples that 429 or 5xx of one kind condemned with all due care, before less is enough. */
#define LOAD_PROOFS 3
/* Batches in which nothing is tried after a trial. */
#define CREDIT 4
#define CREDIT_MAX 32

struct known {
	int64_t now_ms, head_ms; /* the newest time delivered of any series */
	/* Late samples: count were refused alone, the youngest this old, and none so old was taken since. */
	struct {
		unsigned count;
		int64_t age_ms, at_ms;
	} late;
	struct {
		uint64_t kind;
		unsigned count;
		int64_t at_ms;
	} load;
	unsigned credit, turn;
	int64_t recovered_s; /* a series of which there was proof was taken: earlier proofs are none */
	struct slot {
		uint64_t series;
		int64_t newest_ms;
		uint32_t refused_s; /* when last, newer than newest_ms; 0: not since then */
		uint32_t refusals;  /* of those that the receiver did not say to be late */
	} * slots;
	size_t n_slots, used;
};

struct known *known_new(void)
{
	struct known *k = sp_new(struct known);
	k->head_ms = INT64_MIN;
	k->n_slots = SLOTS_MIN;
	k->slots = sp_new_array(struct slot, SLOTS_MIN);
	return k;
}

void known_free(struct known **k)
{
	if (*k)
		sp_free((*k)->slots);
	sp_free(*k);
	*k = NULL;
}

uint64_t known_series(struct sp_bytes labels)
{
	return XXH3_64bits(labels.p, labels.n);
}

void known_clock(struct known *k, int64_t now_ms)
{
	if (k)
		k->now_ms = now_ms;
}

/* Its slot, else a free one, else the one that must go for it. */
static struct slot *place(const struct known *k, uint64_t series)
{
	for (size_t i = 0; i < PROBES; i++) {
		struct slot *s = &k->slots[(series + i) % k->n_slots];
		if (s->series == series || s->series == 0)
			return s;
	}
	return &k->slots[series % k->n_slots];
}

static const struct slot *find(const struct known *k, uint64_t series)
{
	const struct slot *s = k ? place(k, series) : NULL;
	return s && s->series == series ? s : NULL;
}

static void grow(struct known *k)
{
	struct slot *old = k->slots;
	size_t n = k->n_slots;
	k->n_slots *= 4;
	k->slots = sp_new_array(struct slot, k->n_slots);
	for (size_t i = 0; i < n; i++)
		if (old[i].series != 0)
			*place(k, old[i].series) = old[i];
	sp_free(old);
}

static struct slot *take(struct known *k, uint64_t series)
{
	if (k->used > k->n_slots / 2 && k->n_slots < SLOTS_MAX)
		grow(k);
	struct slot *s = place(k, series);
	if (s->series != series) {
		k->used += s->series == 0;
		*s = (struct slot){.series = series, .newest_ms = INT64_MIN};
	}
	return s;
}

int64_t known_newest(const struct known *k, uint64_t series)
{
	const struct slot *s = find(k, series);
	return s ? s->newest_ms : INT64_MIN;
}

/* How late: against the newest of all series, because that is what a receiver's window is measured from. */
static int64_t age(const struct known *k, int64_t ms)
{
	return k->head_ms - ms;
}

static bool was_refused(const struct known *k, const struct slot *s, unsigned times)
{
	return s->refused_s > 0 && s->refusals >= times && k->now_ms / 1000 - s->refused_s <= KNOWN_FORGET_MS / 1000;
}

void known_delivered(struct known *k, uint64_t series, int64_t ms)
{
	if (!k)
		return;
	struct slot *s = take(k, series);
	if (ms < s->newest_ms && age(k, ms) >= k->late.age_ms)
		k->late.count = 0;
	if (ms > s->newest_ms)
		s->newest_ms = ms;
	if (ms > k->head_ms)
		k->head_ms = ms;
	if (was_refused(k, s, SERIES_PROOFS))
		k->recovered_s = k->now_ms / 1000;
	s->refusals = 0;
	s->refused_s = 0;
}

void known_refused(struct known *k, uint64_t series, int64_t ms, unsigned times, bool late)
{
	if (!k)
		return;
	struct slot *s = take(k, series);
	k->credit = k->credit + CREDIT < CREDIT_MAX ? k->credit + CREDIT : CREDIT_MAX;
	if (ms > s->newest_ms) {
		s->refusals += late ? 0 : times;
		s->refused_s = (uint32_t)(k->now_ms / 1000);
	} else if (ms < s->newest_ms && late) {
		bool first = k->late.count == 0 || k->now_ms - k->late.at_ms > KNOWN_FORGET_MS;
		k->late.count = first ? 1 : k->late.count + 1;
		k->late.age_ms = first || age(k, ms) < k->late.age_ms ? age(k, ms) : k->late.age_ms;
		k->late.at_ms = k->now_ms;
	}
}

bool known_expects_refusal(const struct known *k, uint64_t series, int64_t ms)
{
	const struct slot *s = find(k, series);
	return s && (ms <= s->newest_ms || was_refused(k, s, 0));
}

bool known_proves_late(const struct known *k, uint64_t series, int64_t ms)
{
	const struct slot *s = find(k, series);
	return s && ms < s->newest_ms && k->late.count >= LATE_PROOFS && k->now_ms - k->late.at_ms <= KNOWN_FORGET_MS &&
	       age(k, ms) >= k->late.age_ms;
}

bool known_proves_refusal(const struct known *k, uint64_t series, int64_t ms)
{
	const struct slot *s = find(k, series);
	return known_proves_late(k, series, ms) || (s && ms > s->newest_ms && was_refused(k, s, SERIES_PROOFS) && s->refused_s > k->recovered_s);
}

uint32_t known_turn(struct known *k)
{
	return k ? k->turn++ : 0;
}

bool known_may_skip(const struct known *k)
{
	return k && k->credit > 0;
}

void known_skipped(struct known *k)
{
	k->credit--;
}

uint64_t known_kind(int status, struct sp_bytes words)
{
	uint8_t letters[KIND_LETTERS];
	size_t n = 0;
	for (size_t i = 0; i < words.n && n < KIND_LETTERS && !strchr("\"'{[", words.p[i]); i++)
		if ((words.p[i] | 0x20) >= 'a' && (words.p[i] | 0x20) <= 'z')
			letters[n++] = words.p[i];
	return XXH3_64bits_withSeed(letters, n, (uint64_t)status);
}

void known_heard_load(struct known *k, uint64_t kind)
{
	if (!k)
		return;
	k->load.count = k->load.kind == kind ? k->load.count + 1 : 1;
	k->load.kind = kind;
	k->load.at_ms = k->now_ms;
}

void known_doubts_load(struct known *k)
{
	if (k)
		k->load.count = 0;
}

bool known_trusts_load(const struct known *k, uint64_t kind)
{
	return k && k->load.count >= LOAD_PROOFS && k->load.kind == kind && k->now_ms - k->load.at_ms <= KNOWN_FORGET_MS;
}
