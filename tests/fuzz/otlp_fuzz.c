/* Any bytes as an OTLP message: what comes of it is well-formed, and what protobuf-c reads. */
#include "tests/lib/agree.h"
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t points = 0;
	(void)input_check_otlp(sp_bytes(data, n));
	(void)agree_otlp(sp_bytes(data, n), &points);
	return 0;
}
