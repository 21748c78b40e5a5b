/* The envelope against jansson: the same is accepted, the same is read. */
#include "tests/lib/agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t records = 0;
	(void)agree_envelope(sp_bytes(data, n), &records);
	return 0;
}
