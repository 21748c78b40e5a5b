/* Any header value: terminates, stays in bounds, and keeps AWS' limits. */
#include "convert/attributes.h"
#include "convert/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_arena *arena = sp_arena_new((size_t)4 << 20);
	struct attributes a;
	if (attributes_read(sp_bytes(data, n), arena, &a) == SP_OK) {
		if (a.n > ATTRIBUTES_MAX)
			abort();
		for (size_t i = 0; i < a.n; i++)
			if (!utf8_ok(a.v[i].name) || !utf8_ok(a.v[i].value) || a.v[i].name.n > 4 * ATTRIBUTE_NAME_CHARS)
				abort();
	}
	sp_arena_free(&arena);
	return 0;
}
