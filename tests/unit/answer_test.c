/* Firehose treats any deviation as a failed delivery, so answers are compared byte for byte. */
#include "ingest/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD(status, type, n) "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nContent-Length: " n "\r\n"

static void check(int status, const char *id, const char *code, const char *text, bool close, const char *expected)
{
	struct sp_buf out = {0};
	answer_write(&out, status, sp_str(id), code, text, 1700000000123, close);
	sp_buf_u8(&out, '\0');
	assert_string_equal((const char *)out.p, expected);
	sp_buf_free(&out);
}

static void answers_are_exact(void **state)
{
	(void)state;
	check(200, "id", NULL, "", false, HEAD("200 OK", "application/json", "44") "\r\n{\"requestId\":\"id\",\"timestamp\":1700000000123}");
	check(200, "id", NULL, "", true,
		HEAD("200 OK", "application/json", "44") "Connection: close\r\n\r\n{\"requestId\":\"id\",\"timestamp\":1700000000123}");
	check(405, "", "E_METHOD", "use POST", false,
		HEAD("405 Method Not Allowed", "application/json", "78") "Allow: POST\r\n\r\n"
		"{\"requestId\":\"\",\"timestamp\":1700000000123,\"errorMessage\":\"E_METHOD: use POST\"}");
	/* What would break JSON is escaped in the id, which must come back as it was, and replaced in a text for people. */
	check(400, "a\"b\\c\n", "E_X", "d\"e\nf\xc3\xa4", false,
		HEAD("400 Bad Request", "application/json", "82") "\r\n"
		"{\"requestId\":\"a\\\"b\\\\c\\n\",\"timestamp\":1700000000123,\"errorMessage\":\"E_X: d\\\"e?f\?\?\"}");
}

static void long_texts_are_cut(void **state)
{
	struct sp_buf out = {0};
	char text[1000];
	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	answer_write(&out, 500, SP_LIT(""), "E_INTERNAL", text, 1, false);
	sp_buf_u8(&out, '\0');
	const char *message = strstr((const char *)out.p, "\"errorMessage\":\"");
	assert_non_null(message);
	message += strlen("\"errorMessage\":\"");
	assert_in_range(strcspn(message, "\""), 500, 512);
	assert_string_equal(message + strcspn(message, "\""), "\"}");
	sp_buf_free(&out);
}

static void health_is_plain_text(void **state)
{
	struct sp_buf out = {0};
	(void)state;
	answer_text(&out, 503, "starting\n", false, false);
	answer_text(&out, 200, "ok\n", true, true); /* HEAD: the length, but no body */
	sp_buf_u8(&out, '\0');
	assert_string_equal((const char *)out.p, HEAD("503 Service Unavailable", "text/plain; charset=utf-8", "9") "\r\nstarting\n"
		HEAD("200 OK", "text/plain; charset=utf-8", "3") "Connection: close\r\n\r\n");
	sp_buf_free(&out);
}

/* Each refusal has a text, a described code with that status, a status with a name, and never the one that makes Firehose drop data. */
static void every_refusal_is_described(void **state)
{
	struct sp_buf table = {0};
	(void)state;
	answer_describe(&table);
	sp_buf_u8(&table, '\0');
	for (int r = REFUSE_NOTHING + 1; r < REFUSALS; r++) {
		const struct refusal_text *t = refusal_text((enum refusal)r);
		struct sp_buf out = {0};
		char row[40], status[8];
		assert_non_null(t->code);
		assert_true(t->http_status >= 400 && t->http_status != 413);
		snprintf(row, sizeof row, "\n| `%s` |", t->code);
		const char *found = strstr((const char *)table.p, row);
		assert_non_null(found);
		snprintf(status, sizeof status, "%d", t->http_status);
		const char *listed = strstr(found, status);
		assert_true(listed && listed < found + strlen(row) + 12);
		answer_write(&out, t->http_status, SP_LIT(""), t->code, t->text, 1, true);
		sp_buf_u8(&out, '\0');
		assert_null(strstr((const char *)out.p, " Error\r\n"));
		sp_buf_free(&out);
	}
	sp_buf_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_exact),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(health_is_plain_text),
		cmocka_unit_test(every_refusal_is_described),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
