/* The envelope against jansson: the same is accepted, the same is read. */
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	input_check_envelope(sp_bytes(data, n));
	return 0;
}
