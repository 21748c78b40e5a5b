/* Estimates of how many distinct things there are. */
#include "common/hll.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t hash(uint64_t n)
{
	return XXH3_64bits(&n, sizeof n);
}

static void estimates_are_near_the_truth_at_every_size(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {1, 10, 100, 1000, 3000, 10000, 15000, 30000, 100000, 1000000};
	double squares = 0;
	size_t rounds = 0;
	for (uint64_t round = 0; round < 20; round++) {
		struct sp_hll h = {0};
		uint64_t seen = 0;
		assert_true(sp_hll_estimate(&h) == 0);
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !(round && sizes[i] > 100000); i++) {
			for (; seen < sizes[i]; seen++)
				sp_hll_add(&h, hash(round << 32 | seen));
			double error = sp_hll_estimate(&h) / (double)sizes[i] - 1;
			if (fabs(error) > 0.05)
				fail_msg("%g of %llu", sp_hll_estimate(&h), (unsigned long long)sizes[i]);
			squares += error * error;
			rounds++;
		}
	}
	assert_true(sqrt(squares / (double)rounds) < 0.015);
}

static void what_was_seen_before_changes_nothing(void **state)
{
	(void)state;
	struct sp_hll h = {0};
	for (uint64_t i = 0; i < 5000; i++)
		sp_hll_add(&h, hash(i));
	for (uint64_t i = 0; i < 5000; i++)
		assert_false(sp_hll_add(&h, hash(i)));
	assert_true(sp_hll_add(&h, 0)); /* as rare as can be */
	assert_int_equal(h.registers[0], 52);
}

static void sketches_of_several_are_one_of_all(void **state)
{
	(void)state;
	struct sp_hll a = {0}, b = {0}, all = {0};
	for (uint64_t i = 0; i < 20000; i++) {
		if (i < 12000)
			sp_hll_add(&a, hash(i));
		if (i >= 8000)
			sp_hll_add(&b, hash(i));
		sp_hll_add(&all, hash(i));
	}
	sp_hll_merge(&a, b.registers);
	assert_memory_equal(&a, &all, sizeof all);
	/* From a peer that sends nonsense. */
	memset(b.registers, 0xff, sizeof b.registers);
	sp_hll_merge(&a, b.registers);
	assert_int_equal(a.registers[7], 52);
	assert_true(sp_hll_estimate(&a) > 1e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(estimates_are_near_the_truth_at_every_size),
		cmocka_unit_test(what_was_seen_before_changes_nothing),
		cmocka_unit_test(sketches_of_several_are_one_of_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
