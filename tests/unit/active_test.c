/* How many series are active: what the workers saw, by destination and namespace. */
#include "ship/active.h"

#include "common/alloc.h"
#include "common/hll.h"
#include "common/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define EPOCH 7
#define HOUR ACTIVE_GENERATION_MS

static struct plan plan;
static struct active *active;

/* Group 0 goes to destination 1, group 1 to both. */
static int set_up(void **state)
{
	static uint32_t first[] = {1}, both[] = {1, 2};
	static struct plan_dests dests[] = {{first, 1}, {both, 2}};
	(void)state;
	plan = (struct plan){.message = STANDPIPE__PLAN__INIT, .dests = dests};
	plan.message.epoch = EPOCH;
	plan.message.n_groups = 2;
	active = active_new();
	active_add_dest(active, 1, "a");
	active_add_dest(active, 2, "b");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	active_free(&active);
	return 0;
}

/* A worker saw series from..to of a namespace. */
static void seen(uint32_t group, const char *ns, uint64_t from, uint64_t to, int64_t now_ms)
{
	struct sp_hll h = {0};
	for (uint64_t i = from; i < to; i++)
		sp_hll_add(&h, XXH3_64bits(&i, sizeof i));
	Standpipe__Sketch s = STANDPIPE__SKETCH__INIT, *sketches[] = {&s};
	Standpipe__Ping m = STANDPIPE__PING__INIT;
	s.group = group;
	s.namespace_ = (char *)(uintptr_t)ns;
	s.registers = (ProtobufCBinaryData){sizeof h.registers, h.registers};
	m.plan_epoch = EPOCH;
	m.sketches = sketches;
	m.n_sketches = 1;
	active_take(active, &plan, &m, now_ms);
}

static double shown(const char *dest, const char *ns, int64_t now_ms)
{
	active_metrics(active, now_ms);
	return sp_metric_value(M_DESTINATION_ACTIVE_SERIES, SP_L(dest, ns));
}

static void assert_near(double value, double truth)
{
	if (fabs(value - truth) > 0.05 * truth)
		fail_msg("%g, not %g", value, truth);
}

static void workers_are_put_together_by_destination_and_namespace(void **state)
{
	(void)state;
	seen(1, "AWS/EC2", 0, 20000, 0);
	seen(1, "AWS/EC2", 10000, 30000, 0); /* another worker, which saw some of the same */
	seen(0, "AWS/EC2", 30000, 40000, 0);
	seen(1, "AWS/RDS", 0, 500, 0);
	assert_near(shown("a", "AWS/EC2", 0), 40000);
	assert_near(shown("b", "AWS/EC2", 0), 30000);
	assert_near(shown("b", "AWS/RDS", 0), 500);
	assert_near((double)active_series(active, 1), 40500);
	assert_near((double)active_series(active, 2), 30500);
	assert_int_equal(active_series(active, 3), 0);
}

static void a_series_counts_for_one_to_two_hours(void **state)
{
	(void)state;
	seen(1, "AWS/EC2", 0, 1000, HOUR / 2);
	seen(1, "AWS/EC2", 500, 1500, HOUR + 1);
	assert_near(shown("b", "AWS/EC2", 2 * HOUR - 1), 1500);
	assert_near(shown("b", "AWS/EC2", 2 * HOUR), 1000);
	assert_true(shown("b", "AWS/EC2", 3 * HOUR) == 0);
	assert_int_equal(active_series(active, 2), 0);
	seen(1, "AWS/EC2", 0, 1000, 3 * HOUR);
	assert_true(shown("b", "AWS/EC2", 100 * HOUR) == 0); /* nobody looked for long */
}

static void namespaces_beyond_the_limit_are_others(void **state)
{
	(void)state;
	char ns[16];
	for (uint64_t i = 0; i < ACTIVE_NAMESPACES_MAX + 10; i++) {
		snprintf(ns, sizeof ns, "ns%u", (unsigned)i);
		seen(1, ns, i * 10, i * 10 + 10, 0);
	}
	assert_near(shown("b", "other", 0), 100);
	assert_near(shown("b", "ns7", 0), 10);
	assert_near((double)active_series(active, 2), (ACTIVE_NAMESPACES_MAX + 10) * 10);
}

static void what_cannot_be_is_left_out(void **state)
{
	(void)state;
	char long_name[300] = "";
	memset(long_name, 'x', sizeof long_name - 1);
	seen(2, "AWS/EC2", 0, 1000, 0); /* no such group */
	seen(1, long_name, 0, 1000, 0);
	plan.message.epoch = EPOCH + 1; /* the worker does not know the new plan yet */
	seen(1, "AWS/EC2", 0, 1000, 0);
	assert_int_equal(active_series(active, 1), 0);
	assert_int_equal(active_series(active, 2), 0);
}

int main(void)
{
#define ACTIVE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ACTIVE_TEST(workers_are_put_together_by_destination_and_namespace),
		ACTIVE_TEST(a_series_counts_for_one_to_two_hours),
		ACTIVE_TEST(namespaces_beyond_the_limit_are_others),
		ACTIVE_TEST(what_cannot_be_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
