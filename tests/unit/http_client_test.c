/* Requests and answers byte for byte, against a small server on the same loop. */
#include "ship/send/http_client.h"

#include "common/alloc.h"
#include "common/sock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct {
	struct sp_loop *loop;
	struct http_client *client;
	struct http_target *target;
	struct dest_settings settings;
	int listener, conn;
	struct sp_source *accepting, *reading;
	unsigned connections;
	struct sp_buf got;
	enum rw_version version;
	const char *reply; /* NULL: close without a word */
	struct sp_timer limit;

	unsigned answers;
	struct http_answer last;
	char words[HTTP_ANSWER_MAX_BYTES + 1];
} f;

static const char body[] = "not really snappy";

static void hang_up(void)
{
	sp_source_free(&f.reading);
	if (f.conn >= 0)
		close(f.conn);
	f.conn = -1;
}

static void on_readable(void *arg, uint32_t events)
{
	uint8_t *to = sp_buf_room(&f.got, 65536);
	ssize_t n = read(f.conn, to, 65536);
	(void)arg, (void)events;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			hang_up();
		return;
	}
	f.got.n += (size_t)n;
	if (f.got.n < strlen(body) || memcmp(f.got.p + f.got.n - strlen(body), body, strlen(body)) != 0)
		return;
	if (!f.reply)
		hang_up();
	else
		assert_true(send(f.conn, f.reply, strlen(f.reply), MSG_NOSIGNAL) == (ssize_t)strlen(f.reply));
}

static void on_connection(void *arg, uint32_t events)
{
	(void)arg, (void)events;
	hang_up();
	f.conn = accept4(f.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(f.conn >= 0);
	f.connections++;
	f.reading = sp_loop_fd(f.loop, f.conn, EPOLLIN, on_readable, NULL);
}

static void on_answer(void *arg, const struct http_answer *a)
{
	(void)arg;
	f.last = *a;
	assert_true(a->words.n < sizeof(f.words));
	memcpy(f.words, a->words.p, a->words.n);
	f.words[a->words.n] = 0;
	f.answers++;
	sp_loop_stop(f.loop);
}

static void too_late(void *arg)
{
	(void)arg;
	fail_msg("no answer");
}

static void post_once(const char *reply, const char *authorization, unsigned attempt)
{
	unsigned before = f.answers;
	f.reply = reply;
	sp_buf_clear(&f.got);
	http_post(f.target, (const char *[]){authorization, NULL}, sp_bytes(body, strlen(body)), f.version, attempt, on_answer, NULL);
	assert_int_equal(f.answers, before); /* never from inside */
	sp_timer_set(f.loop, &f.limit, 10000, too_late, NULL);
	sp_loop_run(f.loop);
	sp_timer_cancel(f.loop, &f.limit);
	assert_int_equal(f.answers, before + 1);
}

static void set_target(void)
{
	struct sp_why why;
	http_target_free(&f.target);
	if (http_target_new(f.client, &f.settings, &f.target, &why) != SP_OK)
		fail_msg("%s", why.text);
}

static int begin(void **state)
{
	struct sp_why why;
	(void)state;
	memset(&f, 0, sizeof(f));
	f.conn = -1;
	f.loop = sp_loop_new();
	f.client = http_client_new(f.loop);
	assert_int_equal(sp_tcp_listen("127.0.0.1:0", 16, &f.listener, &why), SP_OK);
	f.accepting = sp_loop_fd(f.loop, f.listener, EPOLLIN, on_connection, NULL);
	f.settings = (struct dest_settings){.name = sp_strdup("main"),
	    .url = sp_asprintf("http://127.0.0.1:%d/api/v1/push?x=y", sp_tcp_port(f.listener)),
	    .connect_timeout = 2000,
	    .remote_timeout = 500};
	set_target();
	return 0;
}

static int end(void **state)
{
	(void)state;
	http_client_free(&f.client);
	http_target_free(&f.target);
	hang_up();
	sp_source_free(&f.accepting);
	if (f.listener >= 0)
		close(f.listener);
	sp_loop_free(&f.loop);
	sp_free(f.settings.name);
	sp_free(f.settings.url);
	sp_buf_free(&f.got);
	return 0;
}

#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"

static bool sent(const char *text)
{
	return memmem(f.got.p, f.got.n, text, strlen(text)) != NULL;
}

static void the_request_is_what_the_protocol_says(void **state)
{
	char *names[] = {(char *)(uintptr_t) "X-Scope-OrgID", (char *)(uintptr_t) "X-Empty"};
	char *values[] = {(char *)(uintptr_t) "team-a", (char *)(uintptr_t) ""};
	(void)state;
	f.settings.headers = (struct sp_map){names, values, 2};
	set_target();
	post_once(NO_CONTENT, "Authorization: Bearer abc", 0);
	assert_int_equal(f.last.transport, SHIP_ANSWERED);
	assert_int_equal(f.last.status, 204);
	assert_true(sent("POST /api/v1/push?x=y HTTP/1.1\r\n"));
	assert_true(sent("\r\nContent-Encoding: snappy\r\n"));
	assert_true(sent("\r\nContent-Type: application/x-protobuf\r\n"));
	assert_true(sent("\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"));
	assert_true(sent("\r\nUser-Agent: standpipe/" STANDPIPE_VERSION "\r\n"));
	assert_true(sent("\r\nAuthorization: Bearer abc\r\n"));
	assert_true(sent("\r\nX-Scope-OrgID: team-a\r\n"));
	assert_true(sent("\r\nX-Empty:\r\n"));
	assert_true(sent("\r\nContent-Length: 17\r\n"));
	assert_false(sent("Expect"));
	assert_false(sent("Retry-Attempt"));

	f.version = RW_2;
	post_once(NO_CONTENT, NULL, 0);
	assert_true(sent("\r\nContent-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n"));
	assert_true(sent("\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n"));
	assert_false(sent("Version: 0.1.0"));
}

static void what_the_answer_repeats_of_a_secret_is_hidden(void **state)
{
	(void)state;
	post_once("HTTP/1.1 403 No\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 68\r\n\r\n"
		  "no: \"Bearer 0123456789abcdefghijklmnop\" and again 0123456789abcdefgh", "Authorization: Bearer 0123456789abcdefghijklmnop", 0);
	assert_string_equal(f.words, "no: \"Bearer **************************\" and again ******************");
	assert_int_equal(f.last.date_ms, 784111777000);
	static char header[] = "X-Scope-OrgID";
	f.settings.lanes_header = header; /* whose lane it is, is no secret */
	post_once("HTTP/1.1 400 No\r\nContent-Length: 44\r\n\r\nuser=team-with-a-long-name-0123: series limit", "X-Scope-OrgID: team-with-a-long-name-0123", 0);
	assert_string_equal(f.words, "user=team-with-a-long-name-0123: series limi");
}

static void connections_are_kept_and_attempts_counted(void **state)
{
	(void)state;
	post_once("HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad", NULL, 0);
	assert_int_equal(f.last.status, 500);
	assert_string_equal(f.words, "bad");
	post_once(NO_CONTENT, NULL, 3);
	assert_true(sent("\r\nRetry-Attempt: 3\r\n"));
	assert_false(sent("Authorization"));
	assert_int_equal(f.connections, 1);
}

static void headers_of_the_answer_are_read(void **state)
{
	(void)state;
	post_once("HTTP/1.1 429 Slow\r\nretry-after: 7\r\nX-Prometheus-Remote-Write-Samples-Written: "
		  "12\r\nContent-Length: 0\r\n\r\n",
	    NULL, 0);
	assert_int_equal(f.last.retry_after_ms, 7000);
	assert_int_equal(f.last.samples_written, 12);
	post_once("HTTP/1.1 204 No\r\nX-Prometheus-Remote-Write-Exemplars-Written: 3\r\n\r\n", NULL, 0);
	assert_int_equal(f.last.samples_written, 0);
	post_once(NO_CONTENT, NULL, 0);
	assert_int_equal(f.last.retry_after_ms, SHIP_NO_RETRY_AFTER);
	assert_int_equal(f.last.samples_written, -1);
}

static int64_t retry_after(const char *value)
{
	char *reply = sp_asprintf("HTTP/1.1 503 No\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", value);
	post_once(reply, NULL, 0);
	sp_free(reply);
	return f.last.retry_after_ms;
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	static const char *const none[] = {"", "0", "-5", "soon", "Tue, 15 Nov 1994 08:12:31 GMT"};
	char date[64];
	time_t at = time(NULL) + 100;
	struct tm tm;
	(void)state;
	assert_int_equal(retry_after(" 120 "), 120000);
	assert_true(retry_after("99999999999") > 600000);
	assert_true(retry_after("9223372036854775807") > 600000);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &tm));
	assert_in_range(retry_after(date), 90000, 100000);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(retry_after(none[i]), SHIP_NO_RETRY_AFTER);
}

static void redirects_are_not_followed(void **state)
{
	char reply[200];
	(void)state;
	snprintf(
	    reply, sizeof(reply), "HTTP/1.1 307 There\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", f.settings.url);
	post_once(reply, NULL, 0);
	assert_int_equal(f.last.status, 307);
	assert_int_equal(f.connections, 1);
}

static void long_answers_are_cut(void **state)
{
	struct sp_buf reply = {0};
	(void)state;
	sp_buf_str(&reply, "HTTP/1.1 400 Bad\r\nContent-Length: 5000\r\n\r\n");
	for (int i = 0; i < 5000; i++)
		sp_buf_u8(&reply, 'x');
	sp_buf_u8(&reply, 0);
	post_once((const char *)reply.p, NULL, 0);
	assert_int_equal(f.last.status, 400);
	assert_int_equal(strlen(f.words), HTTP_ANSWER_MAX_BYTES);
	post_once(NO_CONTENT, NULL, 0);
	assert_int_equal(f.connections, 1); /* the rest was read, the connection is good */
	sp_buf_free(&reply);
}

static void no_answer_means_it_may_have_arrived(void **state)
{
	(void)state;
	post_once(NULL, NULL, 0);
	assert_int_equal(f.last.transport, SHIP_UNANSWERED);
	assert_int_equal(f.last.status, 0);
	assert_true(strlen(f.words) > 0);
	post_once("", NULL, 0); /* silence, until remote_timeout */
	assert_int_equal(f.last.transport, SHIP_UNANSWERED);
	post_once("HTTP/1.1 204 No Content\r\n", NULL, 0); /* half an answer is none */
	assert_int_equal(f.last.transport, SHIP_UNANSWERED);
}

static void nobody_there_means_it_did_not(void **state)
{
	(void)state;
	sp_source_free(&f.accepting);
	close(f.listener);
	f.listener = -1;
	post_once(NO_CONTENT, NULL, 0);
	assert_int_equal(f.last.transport, SHIP_NOT_SENT);
}

static void requests_that_are_out_end_with_the_client(void **state)
{
	(void)state;
	http_post(f.target, (const char *[]){"Authorization: Bearer abc", NULL}, sp_bytes(body, strlen(body)), RW_1, 0, on_answer, NULL);
	http_client_free(&f.client);
	assert_int_equal(f.answers, 0);
}

static void what_the_protocol_reserves_is_refused(void **state)
{
	static const char *const reserved[] = {"Content-Type", "content-encoding", "USER-AGENT", "Authorization",
	    "Host", "X-Prometheus-Remote-Write-Version", "bad name", "bad\nname"};
	(void)state;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		char *name = (char *)(uintptr_t)reserved[i], *value = (char *)(uintptr_t) "x";
		struct http_target *t;
		struct sp_why why;
		f.settings.headers = (struct sp_map){&name, &value, 1};
		assert_int_equal(http_target_new(f.client, &f.settings, &t, &why), SP_CONFIG);
		assert_non_null(strstr(why.text, "destinations.main.headers."));
	}
	f.settings.headers = (struct sp_map){0};
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {TEST(the_request_is_what_the_protocol_says),
	    TEST(connections_are_kept_and_attempts_counted), TEST(headers_of_the_answer_are_read), TEST(retry_after_is_seconds_or_a_date),
	    TEST(redirects_are_not_followed), TEST(long_answers_are_cut),
	    TEST(what_the_answer_repeats_of_a_secret_is_hidden), TEST(no_answer_means_it_may_have_arrived),
	    TEST(nobody_there_means_it_did_not), TEST(requests_that_are_out_end_with_the_client),
	    TEST(what_the_protocol_reserves_is_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
