/* Turns of the loop: timers in order, ZeroMQ's edge, sources that go in the middle of a turn. */
#include "common/loop.h"
#include "common/sock.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct sp_loop *loop;
static char seen[64];

static void note(const char *what)
{
	snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s", what);
}

static void note_timer(void *arg)
{
	note(arg);
	if (strcmp(arg, "!") == 0)
		sp_loop_stop(loop);
}

static void too_late(void *arg)
{
	(void)arg;
	note("LATE");
	sp_loop_stop(loop);
}

static int setup(void **state)
{
	(void)state;
	loop = sp_loop_new();
	seen[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sp_loop_free(&loop);
	return 0;
}

static char *name(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void timers_run_in_order_of_time(void **state)
{
	(void)state;
	struct sp_timer t[5] = {0}, many[100] = {0};
	sp_timer_set(loop, &t[0], 30, note_timer, name("!"));
	sp_timer_set(loop, &t[1], 10, note_timer, name("b"));
	sp_timer_set(loop, &t[2], 0, note_timer, name("a"));
	sp_timer_set(loop, &t[3], 5, note_timer, name("x"));
	sp_timer_set(loop, &t[4], 1, note_timer, name("c"));
	sp_timer_set(loop, &t[4], 20, note_timer, name("c")); /* moves it */
	for (int i = 0; i < 100; i++)
		sp_timer_set(loop, &many[i], (i * 37) % 25, note_timer, name("x"));
	for (int i = 0; i < 100; i++)
		sp_timer_cancel(loop, &many[i]);
	sp_timer_cancel(loop, &t[3]);
	sp_timer_cancel(loop, &t[3]);
	sp_loop_run(loop);
	assert_string_equal(seen, "abc!");
}

static void again_at_once(void *arg)
{
	struct sp_timer *t = arg;
	note(".");
	sp_timer_set(loop, t, 0, again_at_once, t);
}

static void stop_when_readable(void *arg, uint32_t events)
{
	(void)arg, (void)events;
	note("r");
	sp_loop_stop(loop);
}

static void a_timer_of_0_ms_does_not_starve_descriptors(void **state)
{
	(void)state;
	int fds[2];
	struct sp_timer t = {0};
	assert_int_equal(pipe(fds), 0);
	struct sp_source *s = sp_loop_fd(loop, fds[0], EPOLLIN, stop_when_readable, NULL);
	assert_int_equal(write(fds[1], "x", 1), 1);
	sp_timer_set(loop, &t, 0, again_at_once, &t);
	sp_loop_run(loop);
	assert_non_null(strchr(seen, 'r'));
	sp_source_free(&s);
	close(fds[0]), close(fds[1]);
}

static struct sp_source *pair_sources[2];

static void free_both(void *arg, uint32_t events)
{
	(void)events;
	note(arg);
	sp_source_free(&pair_sources[0]);
	sp_source_free(&pair_sources[1]);
}

static void a_source_freed_in_its_turn_is_not_called(void **state)
{
	(void)state;
	int fds[2];
	struct sp_timer end = {0};
	assert_int_equal(pipe(fds), 0);
	int twin = dup(fds[0]);
	pair_sources[0] = sp_loop_fd(loop, fds[0], EPOLLIN, free_both, name("f"));
	pair_sources[1] = sp_loop_fd(loop, twin, EPOLLIN, free_both, name("f"));
	assert_int_equal(write(fds[1], "x", 1), 1);
	sp_timer_set(loop, &end, 5, note_timer, name("!"));
	sp_loop_run(loop);
	assert_string_equal(seen, "f!");
	close(fds[0]), close(fds[1]), close(twin);
}

/* Two sockets; messages come one per callback, and each answer is sent from inside the loop: that eats edges. */
#define ROUNDS 200
static void *left, *right;
static int got_left, got_right;

static void read_one(void *sock, int *count)
{
	char c[8];
	if (zmq_recv(sock, c, sizeof c, ZMQ_DONTWAIT) >= 0)
		++*count;
}

static void on_left(void *arg)
{
	(void)arg;
	read_one(left, &got_left);
	if (got_left == 2 * ROUNDS)
		sp_loop_stop(loop);
}

static void on_right(void *arg)
{
	(void)arg;
	read_one(right, &got_right);
	zmq_send(right, "a", 1, ZMQ_DONTWAIT);
	zmq_send(right, "b", 1, ZMQ_DONTWAIT);
}

static int to_send;
static struct sp_timer sender;

static void send_some(void *arg)
{
	(void)arg;
	for (int i = 0; i < 5 && to_send; i++, to_send--)
		zmq_send(left, "q", 1, ZMQ_DONTWAIT);
	if (to_send)
		sp_timer_set(loop, &sender, 1, send_some, NULL);
}

static void no_message_waits_for_an_edge_that_a_send_took(void **state)
{
	(void)state;
	void *zmq = zmq_ctx_new();
	struct sp_timer limit = {0};
	left = zmq_socket(zmq, ZMQ_PAIR);
	right = zmq_socket(zmq, ZMQ_PAIR);
	assert_int_equal(zmq_bind(left, "inproc://pair"), 0);
	assert_int_equal(zmq_connect(right, "inproc://pair"), 0);
	struct sp_source *a = sp_loop_zmq(loop, left, on_left, NULL), *b = sp_loop_zmq(loop, right, on_right, NULL);
	to_send = ROUNDS;
	sp_timer_set(loop, &sender, 0, send_some, NULL);
	sp_timer_set(loop, &limit, 10000, too_late, NULL);
	sp_loop_run(loop);
	assert_string_equal(seen, "");
	assert_int_equal(got_right, ROUNDS);
	sp_source_free(&a);
	sp_source_free(&b);
	zmq_close(left);
	zmq_close(right);
	zmq_ctx_term(zmq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(timers_run_in_order_of_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_timer_of_0_ms_does_not_starve_descriptors, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_source_freed_in_its_turn_is_not_called, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_message_waits_for_an_edge_that_a_send_took, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
