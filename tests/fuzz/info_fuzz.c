/* Any bytes as what is kept of a payload's metrics, as they are and behind a right checksum: refused, or every entry is found by its name. */
#include "common/crc32c.h"
#include "proto/info.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static void try_read(struct sp_bytes packed)
{
	struct info *i;
	struct sp_why why = {.text = ""};
	Standpipe__Info *again = packed.n >= 4 ? standpipe__info__unpack(NULL, packed.n - 4, packed.p + 4) : NULL;
	if (info_read(packed, &i, &why) != SP_OK) {
		expect(why.text[0]);
	} else {
		(void)info_find(i, packed);
		for (size_t k = 0; again && k < again->n_entries; k++) {
			struct sp_bytes name = sp_str(again->entries[k]->name);
			const Standpipe__InfoEntry *e = info_find(i, name);
			expect(name.n == 0 || (e && sp_eq(sp_str(e->name), name)));
		}
		info_free(&i);
	}
	if (again)
		standpipe__info__free_unpacked(again, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_buf sealed = {0};
	uint32_t crc = sp_crc32c(0, data, n);
	try_read(sp_bytes(data, n));
	for (int i = 0; i < 4; i++)
		sp_buf_u8(&sealed, (uint8_t)(crc >> 8 * i));
	sp_buf_add(&sealed, sp_bytes(data, n));
	try_read(sp_buf_view(&sealed));
	sp_buf_free(&sealed);
	return 0;
}
