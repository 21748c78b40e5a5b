/* One owner per path, addresses as people write them. */
#include "common/sock.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/standpipe_sock_XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	static const char *const names[] = {"s", "s.lock", "a/b", "a", "file"};
	char path[96];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		if (unlink(path) != 0)
			rmdir(path);
	}
	return rmdir(dir);
}

static void a_second_binder_is_refused_by_the_lock(void **state)
{
	(void)state;
	struct sp_why why;
	void *zmq = zmq_ctx_new(), *first, *second, *dealer;
	char endpoint[96], got[8];
	const uint8_t identity[16] = "w23456789abcdef";
	snprintf(endpoint, sizeof endpoint, "ipc://%s/s", dir);
	assert_int_equal(sp_router_new(zmq, 1 << 20, 0, &first, &why), SP_OK);
	assert_int_equal(sp_router_bind(first, endpoint, &why), SP_OK);
	assert_int_equal(sp_router_new(zmq, 1 << 20, 0, &second, &why), SP_OK);
	assert_int_equal(sp_router_bind(second, endpoint, &why), SP_LOCKED);
	assert_non_null(strstr(why.text, "another process serves"));
	/* The first still works, and sees the identity that was given. */
	assert_int_equal(sp_dealer_new(zmq, identity, 1 << 20, 0, &dealer, &why), SP_OK);
	assert_int_equal(sp_dealer_connect(dealer, endpoint, &why), SP_OK);
	assert_int_equal(zmq_send(dealer, "hi", 2, 0), 2);
	char id[32];
	assert_int_equal(zmq_recv(first, id, sizeof id, 0), 16);
	assert_memory_equal(id, identity, 16);
	assert_int_equal(zmq_recv(first, got, sizeof got, 0), 2);
	zmq_close(dealer);
	zmq_close(second);
	zmq_close(first);
	zmq_ctx_term(zmq);
}

static void a_unix_listener_is_private_and_replaces_a_dead_one(void **state)
{
	(void)state;
	struct sp_why why;
	struct stat st;
	char path[96];
	int fd, second;
	snprintf(path, sizeof path, "%s/s", dir);
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	assert_int_equal(bind(dead, (struct sockaddr *)&a, sizeof a), 0);
	close(dead);
	assert_int_equal(sp_unix_listen(path, &fd, &why), SP_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(sp_unix_listen(path, &second, &why), SP_LOCKED);
	close(fd);
}

static void addresses_are_read_as_people_write_them(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		enum sp_status status;
	} cases[] = {{"127.0.0.1:0", SP_OK}, {":0", SP_OK}, {"0.0.0.0:0", SP_OK}, {"127.0.0.1", SP_CONFIG},
	    {"127.0.0.1:", SP_CONFIG}, {"127.0.0.1:65536", SP_CONFIG}, {"127.0.0.1:8x", SP_CONFIG},
	    {"::1:80", SP_CONFIG}, {"[::1:80", SP_CONFIG}, {"", SP_CONFIG}, {"[:80", SP_CONFIG}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_why why = {0};
		int fd = -1;
		enum sp_status status = sp_tcp_listen(cases[i].address, 4, &fd, &why);
		if (status != cases[i].status)
			fail_msg("%s: %d %s", cases[i].address, status, why.text);
		if (status == SP_OK) {
			assert_true(sp_tcp_port(fd) > 0);
			close(fd);
		}
	}
}

static void a_taken_port_is_a_plain_refusal(void **state)
{
	(void)state;
	struct sp_why why;
	int fd, second;
	char address[32];
	assert_int_equal(sp_tcp_listen("127.0.0.1:0", 4, &fd, &why), SP_OK);
	snprintf(address, sizeof address, "127.0.0.1:%d", sp_tcp_port(fd));
	assert_int_equal(sp_tcp_listen(address, 4, &second, &why), SP_IO);
	assert_non_null(strstr(why.text, "Address already in use"));
	close(fd);
}

static void directories_are_made_private(void **state)
{
	(void)state;
	struct sp_why why;
	struct stat st;
	char path[96];
	snprintf(path, sizeof path, "%s/a/b/", dir);
	assert_int_equal(sp_mkdirs(path, &why), SP_OK);
	assert_int_equal(sp_mkdirs(path, &why), SP_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(path, sizeof path, "%s/file", dir);
	fclose(fopen(path, "w"));
	snprintf(path, sizeof path, "%s/file/x", dir);
	assert_int_equal(sp_mkdirs(path, &why), SP_IO);
	assert_int_equal(sp_mkdirs("", &why), SP_CONFIG);
}

static void a_path_too_long_for_a_socket_is_a_configuration_error(void **state)
{
	(void)state;
	struct sp_why why;
	char path[128];
	int fd;
	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	assert_int_equal(sp_unix_listen(path, &fd, &why), SP_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_second_binder_is_refused_by_the_lock, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_unix_listener_is_private_and_replaces_a_dead_one, setup, teardown),
	    cmocka_unit_test(addresses_are_read_as_people_write_them),
	    cmocka_unit_test(a_taken_port_is_a_plain_refusal),
	    cmocka_unit_test_setup_teardown(directories_are_made_private, setup, teardown),
	    cmocka_unit_test(a_path_too_long_for_a_socket_is_a_configuration_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
