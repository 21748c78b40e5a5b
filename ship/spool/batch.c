#include "ship/spool/batch.h"

#include "common/alloc.h"

#include <stdatomic.h>

static _Atomic size_t held;

struct payload *payload_new(uint64_t id, uint8_t *bytes, size_t n, size_t n_info)
{
	struct payload *p = sp_new(struct payload);
	p->id = id;
	atomic_init(&p->refs, 1);
	p->n = n;
	p->bytes = bytes;
	p->n_info = n_info;
	atomic_fetch_add(&held, n + n_info);
	return p;
}

struct payload *payload_ref(struct payload *p)
{
	atomic_fetch_add(&p->refs, 1);
	return p;
}

void payload_unref(struct payload **pp)
{
	struct payload *p = *pp;
	*pp = NULL;
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	atomic_fetch_sub(&held, p->n + p->n_info);
	sp_free(p->bytes);
	sp_free(p);
}

size_t payload_bytes_held(void)
{
	return atomic_load(&held);
}
