/* Lines of the log as another program reads them. */
#include "common/log.h"

#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char line[8192];

/* What the calls between begin and end wrote to stderr. */
static int pipe_fds[2], saved_stderr;

static void begin(void)
{
	assert_int_equal(pipe(pipe_fds), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
}

static size_t end(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	ssize_t n = read(pipe_fds[0], line, sizeof line - 1); /* one read: one write */
	line[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
	return n > 0 ? (size_t)n : 0;
}

static void json_escapes_what_it_must(void **state)
{
	(void)state;
	sp_log_init("ship", 3, SP_LOG_INFO, SP_LOG_JSON);
	begin();
	sp_log(SP_LOG_WARN, "spool.full", sp_f_str("msg", "a\"b\\c\n\x01\xff\xc3\xa4"),
	    sp_f_u64("bytes", 18446744073709551615u), sp_f_i64("d", -5), sp_f_double("s", 0.25),
	    sp_f_double("bad", 0.0 / 0.0), sp_f_str("left_out", NULL), SP_LOG_END);
	end();
	assert_int_equal(strncmp(line, "{\"ts\":\"20", 9), 0);
	assert_string_equal(strstr(line, ",\"level\""),
	    ",\"level\":\"warn\",\"event\":\"spool.full\",\"role\":\"ship\",\"worker\":3,"
	    "\"msg\":\"a\\\"b\\\\c\\n\\u0001\xef\xbf\xbd\xc3\xa4\",\"bytes\":18446744073709551615,\"d\":-5,\"s\":0.25,"
	    "\"bad\":\"NaN\"}\n");
}

static void text_quotes_only_what_needs_it(void **state)
{
	(void)state;
	sp_log_init("convert", -1, SP_LOG_INFO, SP_LOG_TEXT);
	begin();
	sp_log(SP_LOG_INFO, "started", sp_f_str("a", "plain:/x"), sp_f_str("b", "two words"), sp_f_str("c", ""),
	    sp_f_str("d", "x=\"y\""), SP_LOG_END);
	end();
	assert_string_equal(strstr(line, " level"),
	    " level=info event=started role=convert a=plain:/x b=\"two words\" c=\"\" d=\"x=\\\"y\\\"\"\n");
}

static void a_line_never_exceeds_4096_bytes(void **state)
{
	(void)state;
	static uint8_t big[3000];
	for (int json = 0; json < 2; json++)
		for (int fill = 0; fill < 2; fill++) {
			memset(big, fill ? 'x' : 1, sizeof big);
			struct sp_bytes b = sp_bytes(big, sizeof big);
			sp_log_init("ship", -1, SP_LOG_INFO, json ? SP_LOG_JSON : SP_LOG_TEXT);
			begin();
			sp_log(SP_LOG_ERROR, "e", sp_f_bytes("a", b), sp_f_bytes("b", b), sp_f_bytes("c", b),
			    sp_f_bytes("d", b), sp_f_i64("n", 7), SP_LOG_END);
			size_t n = end();
			assert_true(n > 0 && n <= 4096);
			const char *tail = json ? ",\"n\":7,\"cut\":true}\n" : " n=7 cut=true\n";
			assert_string_equal(line + n - strlen(tail), tail);
		}
}

static void less_severe_lines_are_not_written(void **state)
{
	(void)state;
	sp_log_init("ship", -1, SP_LOG_WARN, SP_LOG_TEXT);
	begin();
	sp_log(SP_LOG_INFO, "quiet", SP_LOG_END);
	assert_int_equal(end(), 0);
	struct sp_log_rate r = {0};
	assert_true(sp_log_due(&r, 60000));
	assert_false(sp_log_due(&r, 60000));
	assert_int_equal(r.held, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_escapes_what_it_must),
	    cmocka_unit_test(text_quotes_only_what_needs_it),
	    cmocka_unit_test(a_line_never_exceeds_4096_bytes),
	    cmocka_unit_test(less_severe_lines_are_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
