/* Any bytes as a 1.0 body, behind the info of its metrics: a 2.0 body is made of it twice over, and a generated decoder finds in that what
 * was in the 1.0 body.
 */
#include "proto/remote_write2.h"
#include "tests/lib/rw2_oracle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct rw2_writer *w;
	struct sp_bytes in = sp_bytes(data, n), entries;
	struct sp_buf packed = {0}, block = {0};
	struct info *info = NULL;
	struct rw_totals t;
	uint8_t n_info;
	w = w ? w : rw2_writer_new();
	if (!sp_take_u8(&in, &n_info) || !sp_take_n(&in, n_info, &entries))
		return 0;
	struct sp_buf said = {0};
	sp_buf_add(&said, entries);
	info_pack(&said, &packed);
	if (info_read(sp_buf_view(&packed), &info, NULL) != SP_OK)
		info = NULL;
	const struct rw2_part parts[] = {{in, info}, {in, NULL}};
	rw2_begin(w);
	bool ok = rw2_add(w, in, info, NULL) == SP_OK;
	expect(ok == (rw_count(in, &t, NULL) == SP_OK));
	if (ok) {
		expect(rw2_add(w, in, NULL, NULL) == SP_OK && rw2_finish(w, &block, NULL) == SP_OK);
		expect(!rw2_differs(sp_buf_view(&block), parts, 2));
	}
	info_free(&info);
	sp_buf_free(&said);
	sp_buf_free(&packed);
	sp_buf_free(&block);
	return 0;
}
