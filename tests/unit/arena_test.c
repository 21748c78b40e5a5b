/* Memory of one batch: bounded, reused, and taken back to a mark. */
#include "common/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void the_budget_ends_in_null_not_in_death(void **state)
{
	(void)state;
	struct sp_arena *a = sp_arena_new(1000);
	assert_non_null(sp_arena_alloc(a, 900));
	assert_null(sp_arena_alloc(a, 200));
	assert_null(sp_arena_alloc(a, SIZE_MAX));
	assert_null(sp_arena_copy(a, sp_bytes(a, 200)).p);
	sp_arena_reset(a);
	assert_non_null(sp_arena_alloc(a, 900));
	sp_arena_free(&a);
	sp_arena_free(&a);
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
	(void)state;
	struct sp_arena *a = sp_arena_new(0);
	uint8_t *p[300];
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 300; i++) {
			p[i] = sp_arena_alloc(a, i * 11);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			memset(p[i], (int)i, i * 11);
		}
		for (size_t i = 1; i < 300; i++)
			assert_true(p[i][0] == (uint8_t)i && p[i][i * 11 - 1] == (uint8_t)i);
		sp_arena_reset(a);
		assert_int_equal(sp_arena_used(a), 0);
	}
	sp_arena_free(&a);
}

static void the_last_piece_grows_in_place(void **state)
{
	(void)state;
	struct sp_arena *a = sp_arena_new(0);
	char *p = sp_arena_alloc(a, 16);
	memcpy(p, "0123456789abcdef", 16);
	assert_ptr_equal(sp_arena_grow(a, p, 16, 64), p);
	assert_non_null(sp_arena_alloc(a, 16));
	char *q = sp_arena_grow(a, p, 64, 128);
	assert_ptr_not_equal(q, p);
	assert_memory_equal(q, "0123456789abcdef", 16);
	sp_arena_free(&a);
}

static void a_mark_takes_back_what_came_after_it(void **state)
{
	(void)state;
	struct sp_arena *a = sp_arena_new(0);
	struct sp_arena_mark empty = sp_arena_mark(a);
	char *kept = sp_arena_alloc(a, 32);
	memset(kept, 7, 32);
	struct sp_arena_mark mark = sp_arena_mark(a);
	for (int i = 0; i < 5; i++)
		assert_non_null(sp_arena_alloc(a, 50000));
	sp_arena_rewind(a, mark);
	assert_int_equal(sp_arena_used(a), 32);
	assert_ptr_equal(sp_arena_alloc(a, 16), kept + 32);
	assert_int_equal(kept[31], 7);
	sp_arena_rewind(a, empty);
	assert_int_equal(sp_arena_used(a), 0);
	assert_ptr_equal(sp_arena_alloc(a, 16), kept);
	sp_arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_budget_ends_in_null_not_in_death),
	    cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
	    cmocka_unit_test(the_last_piece_grows_in_place),
	    cmocka_unit_test(a_mark_takes_back_what_came_after_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
