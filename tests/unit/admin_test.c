/* Requests as a scraper, the command line and a careless client send them, over a unix socket and over tcp. */
#include "common/admin.h"
#include "common/alloc.h"
#include "common/sock.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct sp_loop *loop;
static struct sp_admin *admin;
static struct sp_admin_token *waiting;
static struct sp_timer late;
static char dir[64], path[96];
static pthread_t thread;

static int on_echo(void *arg, struct sp_admin_request *req)
{
	char limit[8] = "none";
	(void)arg;
	sp_admin_param(req, "limit", limit, sizeof limit);
	req->content_type = "application/json";
	sp_buf_printf(&req->reply, "%.*s %.*s limit=%s body=%.*s", (int)req->method.n, (const char *)req->method.p,
	    (int)req->path.n, (const char *)req->path.p, limit, (int)req->body.n, (const char *)req->body.p);
	return 200;
}

static int on_big(void *arg, struct sp_admin_request *req)
{
	(void)arg;
	uint8_t *to = sp_buf_room(&req->reply, 3000000);
	memset(to, 'x', 3000000);
	req->reply.n = 3000000;
	return 200;
}

static void answer_late(void *arg)
{
	(void)arg;
	sp_admin_reply(&waiting, 200, NULL, SP_LIT("late"));
}

static int on_later(void *arg, struct sp_admin_request *req)
{
	(void)arg;
	waiting = req->token;
	sp_timer_set(loop, &late, 30, answer_late, NULL);
	return 0;
}

static int end[2]; /* a pipe: its closed end stops the loop */
static struct sp_source *end_source;

static void stop(void *arg, uint32_t events)
{
	(void)arg, (void)events;
	sp_loop_stop(loop);
}

static void *run(void *arg)
{
	(void)arg;
	sp_loop_run(loop);
	return NULL;
}

static int tcp_port;

static int setup(void **state)
{
	struct sp_why why;
	char address[32];
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/standpipe_admin_XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/s", dir);
	loop = sp_loop_new();
	admin = sp_admin_new(loop);
	sp_admin_route(admin, "/echo", false, on_echo, NULL);
	sp_admin_route(admin, "/public", true, on_echo, NULL);
	sp_admin_route(admin, "/below/", false, on_echo, NULL);
	sp_admin_route(admin, "/big", false, on_big, NULL);
	sp_admin_route(admin, "/later", false, on_later, NULL);
	int probe;
	if (sp_tcp_listen("127.0.0.1:0", 1, &probe, &why) != SP_OK)
		return -1;
	tcp_port = sp_tcp_port(probe);
	close(probe);
	snprintf(address, sizeof address, "127.0.0.1:%d", tcp_port);
	if (sp_admin_listen_unix(admin, path, &why) != SP_OK || sp_admin_listen_tcp(admin, address, &why) != SP_OK)
		return -1;
	if (pipe(end) != 0)
		return -1;
	end_source = sp_loop_fd(loop, end[0], EPOLLIN, stop, NULL);
	return pthread_create(&thread, NULL, run, NULL);
}

static int teardown(void **state)
{
	(void)state;
	char lock[112];
	close(end[1]);
	pthread_join(thread, NULL);
	sp_source_free(&end_source);
	close(end[0]);
	sp_admin_free(&admin);
	sp_loop_free(&loop);
	unlink(path);
	snprintf(lock, sizeof lock, "%s.lock", path);
	unlink(lock);
	return rmdir(dir);
}

static int dial(bool tcp)
{
	struct sockaddr_un u = {.sun_family = AF_UNIX};
	struct sockaddr_in t = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)tcp_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(u.sun_path, sizeof u.sun_path, "%s", path);
	assert_int_equal(
	    tcp ? connect(fd, (struct sockaddr *)&t, sizeof t) : connect(fd, (struct sockaddr *)&u, sizeof u), 0);
	return fd;
}

/* All that comes back; free with sp_buf_free. */
static struct sp_buf finish(int fd)
{
	struct sp_buf out = {0};
	ssize_t n;
	while ((n = recv(fd, sp_buf_room(&out, 65536), 65535, 0)) > 0)
		out.n += (size_t)n;
	sp_buf_u8(&out, 0);
	close(fd);
	return out;
}

static struct sp_buf ask(bool tcp, struct sp_bytes request)
{
	int fd = dial(tcp);
	assert_int_equal(send(fd, request.p, request.n, MSG_NOSIGNAL), request.n);
	return finish(fd);
}

static void requests_get_the_answer_they_deserve(void **state)
{
	(void)state;
	static const struct {
		bool tcp;
		const char *request, *head, *body;
	} cases[] = {
	    {false, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
		"GET /echo limit=none body="},
	    {false, "GET /echo?a=1&limit=5%2C+6 HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "limit=5, 6 "},
	    {false, "GET /echo?limit=0123456789 HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "limit=0123456 "},
	    {false, "POST /below/a/b HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "HTTP/1.1 200",
		"POST /below/a/b limit=none body=abc"},
	    {false, "GET /below HTTP/1.1\r\n\r\n", "HTTP/1.1 404", ""},
	    {false, "GET /echo/more HTTP/1.1\r\n\r\n", "HTTP/1.1 404", ""},
	    {false, "DELETE /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 405", ""}, {false, "hello\r\n\r\n", "HTTP/1.1 400", ""},
	    {false, "\r\n\r\n", "HTTP/1.1 400", ""},
	    {false, "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400", ""},
	    {false, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400", ""},
	    {false, "POST /echo HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", "HTTP/1.1 413", ""},
	    {false, "GET /later HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n", "late"},
	    {true, "GET /-/healthy HTTP/1.1\r\n\r\n", "HTTP/1.1 200", "ok\n"},
	    {true, "GET /public HTTP/1.1\r\n\r\n", "HTTP/1.1 200", "GET /public"},
	    {true, "GET /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 404", ""}, /* not for the network */
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_buf got = ask(cases[i].tcp, sp_str(cases[i].request));
		const char *body = strstr((char *)got.p, "\r\n\r\n");
		if (strncmp((char *)got.p, cases[i].head, strlen(cases[i].head)) != 0 || !body ||
		    !strstr(body, cases[i].body))
			fail_msg("case %zu: %s", i, (char *)got.p);
		sp_buf_free(&got);
	}
}

static void a_request_may_come_in_pieces_but_not_without_end(void **state)
{
	(void)state;
	static const char request[] = "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
	int fd = dial(false);
	for (size_t i = 0; i < sizeof request - 1; i++)
		assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
	struct sp_buf got = finish(fd);
	assert_non_null(strstr((char *)got.p, "body=ok"));
	sp_buf_free(&got);
	uint8_t *endless = sp_alloc(20000);
	memset(endless, 'a', 20000);
	got = ask(false, sp_bytes(endless, 20000));
	assert_int_equal(strncmp((char *)got.p, "HTTP/1.1 413", 12), 0);
	sp_buf_free(&got);
	sp_free(endless);
}

static void a_large_answer_arrives_whole(void **state)
{
	(void)state;
	struct sp_buf got = ask(false, SP_LIT("GET /big HTTP/1.1\r\n\r\n"));
	assert_true(got.n > 3000000 && memmem(got.p, got.n, "Content-Length: 3000000\r\n", 25));
	assert_int_equal(got.p[got.n - 2], 'x');
	sp_buf_free(&got);
}

static void a_client_that_leaves_before_a_late_answer_harms_nobody(void **state)
{
	(void)state;
	int fd = dial(false);
	struct sp_bytes request = SP_LIT("GET /later HTTP/1.1\r\n\r\n");
	assert_int_equal(send(fd, request.p, request.n, MSG_NOSIGNAL), request.n);
	close(fd);
	usleep(60000); /* past the late answer */
	struct sp_buf got = ask(false, SP_LIT("GET /echo HTTP/1.1\r\n\r\n"));
	assert_non_null(strstr((char *)got.p, "200 OK"));
	sp_buf_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(requests_get_the_answer_they_deserve, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_request_may_come_in_pieces_but_not_without_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_large_answer_arrives_whole, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_client_that_leaves_before_a_late_answer_harms_nobody, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
