/* Any bytes as a record: points are well-formed, counts add up, a small memory budget gives "not now". */
#include "tests/lib/input_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	(void)input_check_record(sp_bytes(data, n));
	return 0;
}
