#include "ship/send/recent.h"

#include "common/alloc.h"
#include "proto/remote_write.h"

#define RECENT_MAX 4096
#define RECENT_MS 600000
/* The shards' batches of one delivery arrive within so many. */
#define RECENT_TOGETHER 16

struct recent_batch {
	struct payload *payload;
	uint32_t dest, off, len;
	bool told;
	size_t bytes; /* of the payload, 0 when another batch has counted them */
	int64_t at_ms;
};

static void drop_oldest(struct recent *r)
{
	struct recent_batch *b = &r->ring[r->front];
	r->bytes -= b->bytes;
	payload_unref(&b->payload);
	r->front = (r->front + 1) % RECENT_MAX;
	if (--r->n == 0)
		recent_free(r);
}

void recent_forget(struct recent *r, int64_t now_ms)
{
	while (r->n > 0 && now_ms - r->ring[r->front].at_ms > RECENT_MS)
		drop_oldest(r);
}

void recent_add(struct recent *r, const struct batch *b, struct payload *p, int64_t now_ms, size_t max_bytes)
{
	size_t bytes = p->n + p->n_info;
	for (size_t i = r->n > RECENT_TOGETHER ? r->n - RECENT_TOGETHER : 0; i < r->n; i++)
		if (r->ring[(r->front + i) % RECENT_MAX].payload == p)
			bytes = 0;
	recent_forget(r, now_ms);
	while (r->n > 0 && (r->n == RECENT_MAX || r->bytes + bytes > max_bytes))
		drop_oldest(r);
	if (bytes > max_bytes)
		return;
	if (!r->ring)
		r->ring = sp_new_array(struct recent_batch, RECENT_MAX);
	r->ring[(r->front + r->n++) % RECENT_MAX] = (struct recent_batch){payload_ref(p), b->dest, b->off, b->len, false, bytes, now_ms};
	r->bytes += bytes;
}

static void tell(const struct recent_batch *b, struct known *k)
{
	struct sp_buf raw = {0};
	struct rw_series s;
	struct rw_sample v;
	struct sp_why why;
	if (rw_uncompress(sp_bytes(b->payload->bytes + b->off, b->len), RW_RAW_MAX_BYTES, &raw, &why) == SP_OK)
		for (struct sp_bytes in = sp_buf_view(&raw); rw_next(&in, &s, &why) == SP_OK;)
			while (rw_next_sample(&s.samples, &v))
				known_delivered(k, known_series(s.labels), v.ms);
	sp_buf_free(&raw);
}

void recent_tell(struct recent *r, uint32_t dest, struct known *k)
{
	for (size_t i = 0; i < r->n; i++) {
		struct recent_batch *b = &r->ring[(r->front + i) % RECENT_MAX];
		if (b->dest != dest || b->told)
			continue;
		tell(b, k);
		b->told = true;
	}
}

bool recent_repeat(const struct recent *r, uint32_t dest, struct sp_buf *out)
{
	const struct recent_batch *b = NULL;
	for (size_t i = r->n; i-- > 0 && !b;)
		if (r->ring[(r->front + i) % RECENT_MAX].dest == dest)
			b = &r->ring[(r->front + i) % RECENT_MAX];
	return b && rw_newest_sample(sp_bytes(b->payload->bytes + b->off, b->len), 0, RW_RAW_MAX_BYTES, out);
}

void recent_free(struct recent *r)
{
	while (r->n > 0) {
		payload_unref(&r->ring[r->front].payload);
		r->front = (r->front + 1) % RECENT_MAX;
		r->n--;
	}
	sp_free(r->ring);
	*r = (struct recent){0};
}
