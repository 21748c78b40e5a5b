#include "ship/compose.h"

#include "common/alloc.h"
#include "proto/remote_write2.h"

struct composer {
	struct rw2_writer *writer2; /* made when it is needed first */
	struct sp_buf raw;
};

struct composer *composer_new(void)
{
	return sp_new(struct composer);
}

void composer_free(struct composer **composer)
{
	struct composer *c = *composer;
	*composer = NULL;
	if (!c)
		return;
	rw2_writer_free(&c->writer2);
	sp_buf_free(&c->raw);
	sp_free(c);
}

/* A series goes without its type, unit and help when those are damaged. */
static enum sp_status add2(struct composer *c, struct sp_bytes block, struct sp_bytes packed_info)
{
	struct info *info = NULL;
	struct sp_why why;
	if (packed_info.n && info_read(packed_info, &info, &why) != SP_OK)
		info = NULL;
	sp_buf_clear(&c->raw);
	enum sp_status status = rw_uncompress(block, RW_RAW_MAX_BYTES, &c->raw, &why);
	if (status == SP_OK)
		status = rw2_add(c->writer2, sp_buf_view(&c->raw), info, &why);
	info_free(&info);
	return status;
}

static void begin2(struct composer *c)
{
	if (!c->writer2)
		c->writer2 = rw2_writer_new();
	rw2_begin(c->writer2);
}

static bool finish2(struct composer *c, struct sp_buf *buf)
{
	struct sp_why why;
	sp_buf_clear(buf);
	return rw2_finish(c->writer2, buf, &why) == SP_OK;
}

static bool batches2(struct composer *c, struct entry *const *entries, size_t n, struct sp_buf *buf)
{
	begin2(c);
	for (size_t i = 0; i < n; i++)
		if (add2(c, entry_block(entries[i]), entry_info(entries[i])) != SP_OK)
			return false;
	return finish2(c, buf);
}

static bool joined1(struct entry *const *entries, size_t n, struct sp_buf *buf)
{
	struct sp_bytes blocks[WINDOW_JOIN_MAX];
	struct sp_why why;
	for (size_t i = 0; i < n; i++)
		blocks[i] = entry_block(entries[i]);
	sp_buf_clear(buf);
	return rw_join(blocks, n, RW_RAW_MAX_BYTES, buf, &why) == SP_OK;
}

struct composed compose_batches(
    struct composer *c, struct entry *const *entries, size_t n, enum rw_version version, struct sp_buf *buf)
{
	struct composed out = {.n = n};
	if (version == RW_2 && batches2(c, entries, n, buf))
		out.version = RW_2;
	else if (n == 1 || !joined1(entries, n, buf))
		out.n = 1;
	out.body = out.version == RW_1 && out.n == 1 ? entry_block(entries[0]) : sp_buf_view(buf);
	for (size_t i = 0; i < out.n; i++)
		out.samples += entries[i]->batch.samples;
	return out;
}

struct composed compose_part(struct composer *c, const struct entry *e, struct sp_bytes block, uint64_t samples,
    enum rw_version version, struct sp_buf *buf)
{
	struct composed out = {.body = block, .n = 1, .samples = samples};
	if (version != RW_2)
		return out;
	begin2(c);
	if (add2(c, block, e && e->payload ? entry_info(e) : sp_bytes(NULL, 0)) != SP_OK || !finish2(c, buf))
		return out;
	out.version = RW_2;
	out.body = sp_buf_view(buf);
	return out;
}
