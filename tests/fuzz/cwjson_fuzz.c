/* Any bytes as JSON lines: what comes of them is well-formed, and what jansson reads. */
#include "tests/lib/agree.h"
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t points = 0;
	(void)input_check_cwjson(sp_bytes(data, n));
	(void)agree_cwjson(sp_bytes(data, n), &points);
	return 0;
}
