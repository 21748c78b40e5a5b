/* Any bytes as an OTLP message. */
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	(void)input_check_otlp(sp_bytes(data, n));
	return 0;
}
