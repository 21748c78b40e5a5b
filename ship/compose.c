#include "ship/compose.h"

#include "proto/remote_write.h"

struct composed compose_batches(struct entry *const *entries, size_t n, struct sp_buf *buf)
{
	struct sp_bytes blocks[WINDOW_JOIN_MAX];
	struct composed c = {.n = n};
	struct sp_why why;
	for (size_t i = 0; i < n; i++)
		blocks[i] = entry_block(entries[i]);
	sp_buf_clear(buf);
	if (n > 1 && rw_join(blocks, n, RW_RAW_MAX_BYTES, buf, &why) == SP_OK) {
		c.body = sp_buf_view(buf);
	} else {
		c.body = blocks[0];
		c.n = 1;
	}
	for (size_t i = 0; i < c.n; i++)
		c.samples += entries[i]->batch.samples;
	return c;
}
