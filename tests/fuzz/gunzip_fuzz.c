/* Any bytes as gzip: output and memory stay within their bounds. */
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	input_check_gunzip(sp_bytes(data, n));
	return 0;
}
