#include "convert/sketches.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "convert/utf8.h"

struct sketch {
	struct interned entry; /* key: group, namespace, NUL */
	Standpipe__Sketch message;
	struct sp_hll hll;
};

struct sketches {
	struct sp_arena *arena;
	struct intern by_key;
	Standpipe__Sketch *messages[SKETCHES_MAX];
};

struct sketches *sketches_new(void)
{
	struct sketches *a = sp_new(struct sketches);
	a->arena = sp_arena_new(0);
	return a;
}

void sketches_free(struct sketches **ap)
{
	struct sketches *a = *ap;
	*ap = NULL;
	if (!a)
		return;
	intern_free(&a->by_key);
	sp_arena_free(&a->arena);
	sp_free(a);
}

struct sp_hll *sketches_get(struct sketches *a, uint32_t group, struct sp_bytes ns)
{
	uint8_t key[sizeof group + SKETCH_NAMESPACE_BYTES + 1];
	if (ns.n > SKETCH_NAMESPACE_BYTES || !utf8_ok(ns) || (ns.n && memchr(ns.p, 0, ns.n)))
		ns = SP_LIT("other");
	memcpy(key, &group, sizeof group);
	if (ns.n)
		memcpy(key + sizeof group, ns.p, ns.n);
	key[sizeof group + ns.n] = 0;
	struct sp_bytes name = sp_bytes(key, sizeof group + ns.n + 1);
	uint64_t hash = intern_hash(name);
	struct sketch *s = (struct sketch *)intern_find(&a->by_key, name, hash);
	if (s)
		return &s->hll;
	if (a->by_key.n == SKETCHES_MAX) {
		sp_metric_add(M_METRICS_LEFT_OUT, NULL, 1);
		return NULL;
	}
	s = sp_arena_take(a->arena, sizeof *s);
	s->entry.hash = hash;
	s->entry.key = sp_arena_copy(a->arena, name);
	standpipe__sketch__init(&s->message);
	s->message.group = group;
	s->message.namespace_ = (char *)(uintptr_t)s->entry.key.p + sizeof group;
	s->message.registers = (ProtobufCBinaryData){SP_HLL_BYTES, s->hll.registers};
	a->messages[a->by_key.n] = &s->message;
	intern_add(&a->by_key, &s->entry);
	return &s->hll;
}

void sketches_fill(struct sketches *a, Standpipe__Ping *m)
{
	m->sketches = a->messages;
	m->n_sketches = a->by_key.n;
}

void sketches_clear(struct sketches *a)
{
	intern_clear(&a->by_key);
	sp_arena_reset(a->arena);
}
