/* Vector and table decoders agree. */
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	input_check_base64(sp_bytes(data, n));
	return 0;
}
