/* Any bytes as what is kept of a payload's metrics, as they are and packed as its entries: refused, or every entry is found by its name. */
#include "proto/info.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

/* entries: what is in it, when that is known. */
static void try_read(struct sp_bytes packed, const Standpipe__Info *entries)
{
	struct info *i;
	struct sp_why why = {.text = ""};
	if (info_read(packed, &i, &why) != SP_OK) {
		expect(why.text[0] && !entries);
		return;
	}
	(void)info_find(i, packed);
	for (size_t k = 0; entries && k < entries->n_entries; k++) {
		struct sp_bytes name = sp_str(entries->entries[k]->name);
		const Standpipe__InfoEntry *e = info_find(i, name);
		expect(name.n == 0 || (e && sp_eq(sp_str(e->name), name)));
	}
	info_free(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_buf entries = {0}, packed = {0};
	if (n > INFO_MAX_BYTES)
		return 0;
	Standpipe__Info *message = standpipe__info__unpack(NULL, n, data);
	try_read(sp_bytes(data, n), NULL);
	sp_buf_add(&entries, sp_bytes(data, n));
	info_pack(&entries, &packed);
	try_read(sp_buf_view(&packed), message);
	if (message)
		standpipe__info__free_unpacked(message, NULL);
	sp_buf_free(&entries);
	sp_buf_free(&packed);
	return 0;
}
