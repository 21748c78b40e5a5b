#include "ship/spool/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void key_make(uint8_t key[LEDGER_KEY_BYTES], uint64_t n)
{
	memset(key, 0, LEDGER_KEY_BYTES);
	memcpy(key, &(uint64_t){n % 97 * 1024}, 8); /* many share a slot */
	memcpy(key + 8, &n, 8);
}

static void a_key_is_known_from_add_to_remove(void **state)
{
	struct ledger *l = ledger_new();
	uint8_t key[LEDGER_KEY_BYTES];
	(void)state;
	for (uint64_t n = 0; n < 5000; n++) {
		key_make(key, n);
		assert_false(ledger_has(l, key));
		ledger_add(l, key);
		ledger_add(l, key);
		assert_true(ledger_has(l, key));
	}
	assert_int_equal(ledger_count(l), 5000);
	for (uint64_t n = 0; n < 5000; n += 3) {
		key_make(key, n);
		ledger_remove(l, key);
		ledger_remove(l, key);
	}
	for (uint64_t n = 0; n < 5000; n++) {
		key_make(key, n);
		assert_int_equal(ledger_has(l, key), n % 3 != 0);
	}
	ledger_free(&l);
}

static void a_key_of_zeros_is_a_key(void **state)
{
	struct ledger *l = ledger_new();
	uint8_t key[LEDGER_KEY_BYTES] = {0};
	(void)state;
	assert_false(ledger_has(l, key));
	ledger_add(l, key);
	assert_true(ledger_has(l, key));
	ledger_remove(l, key);
	assert_false(ledger_has(l, key));
	assert_int_equal(ledger_count(l), 0);
	ledger_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_known_from_add_to_remove),
		cmocka_unit_test(a_key_of_zeros_is_a_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
