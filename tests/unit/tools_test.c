#include "ship/tools/tools.h"

#include "common/alloc.h"
#include "proto/remote_write.h"
#include "tests/lib/spool_lib.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *dir, *config;
static struct settings *settings;
static struct sp_why why;
static char output[1 << 20];

/* One delivery with a real body and a quarantined piece; its batch for destination b has become a dead letter. */
static void fill(void)
{
	struct spool *sp = NULL;
	struct sp_buf raw = {0}, block = {0};
	uint8_t labels[128], *end = labels;
	struct rw_sample sample = {1700000000000, 1.5};
	enum store_result result;
	end = rw_put_label(end, SP_LIT("__name__"), SP_LIT("aws_ec2_cpuutilization_sum"));
	end = rw_put_label(end, SP_LIT("region"), SP_LIT("eu-central-1"));
	rw_add_series(&raw, sp_bytes(labels, (size_t)(end - labels)), &sample, 1);
	rw_compress(sp_buf_view(&raw), &block);
	struct store_slice slice = {.shard = 2, .len = (uint32_t)block.n, .raw_len = (uint32_t)raw.n, .series = 1, .samples = 1,
		.min_ms = sample.ms, .max_ms = sample.ms};
	struct store_group group = {.bytes = block.p, .n = block.n, .slices = &slice, .n_slices = 1, .dests = (uint32_t[]){1, 2},
		.n_dests = 2};
	struct store_quarantine piece = {
		.reason = "bad_frame", .text = "cut off", .record = 3, .offset = 17, .pieces = 1, .bytes = SP_LIT("ab\x1b[2J\nc")};
	struct store_request r = {.key = {1}, .groups = &group, .n_groups = 1, .quarantine = &piece, .n_quarantine = 1,
		.key_name = "prod", .source_arn = "arn:aws:firehose:x", .request_id = "request-1", .received_ms = 1700000000000};
	assert_int_equal(spool_open(settings, &sp, &why), SP_OK);
	spool_begin(sp);
	spool_store(sp, &r, NULL, NULL, &result);
	struct batch b = {.dest = 2, .shard = 2, .seq = 2, .payload = 1, .samples = 1};
	struct dead_letter dead = {.dest = 2, .shard = 2, .seq = 2, .reason = "out_of_order", .http_status = 400,
		.answer = SP_LIT("too old"), .body = sp_buf_view(&block), .series = 1, .samples = 1};
	spool_settle(sp, &b, 1, 0, &dead, 1);
	assert_int_equal(spool_commit(sp, &why), SP_OK);
	for (int i = 0; i < 1200; i++) { /* more than a page */
		r.key[1] = (uint8_t)i, r.key[2] = (uint8_t)(i >> 8), r.key[3] = 1;
		r.n_groups = 0;
		spool_begin(sp);
		spool_store(sp, &r, NULL, NULL, &result);
		assert_int_equal(spool_commit(sp, &why), SP_OK);
	}
	assert_int_equal(spool_close(&sp, &why), SP_OK);
	sp_buf_free(&raw);
	sp_buf_free(&block);
}

static void write_config(const char *second_destination)
{
	FILE *f = fopen(config, "w");
	assert_non_null(f);
	fprintf(f, "spool: {dir: %s, allow_volatile: true}\nruntime: {dir: %s}\ndestinations:\n  a: {url: 'http://127.0.0.1:1/'}\n"
		"  %s\n", dir, dir, second_destination);
	fclose(f);
}

static int set_up(void **state)
{
	(void)state;
	dir = spool_dir_new();
	config = sp_asprintf("%s/config.yaml", dir);
	settings = spool_settings_new(dir);
	write_config("b: {url: 'http://127.0.0.1:1/'}");
	fill();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	spool_dir_remove(dir);
	sp_free(config);
	sp_free(settings);
	return 0;
}

/* Runs the tool with its standard output and errors into `output`. */
static int tool(const char *noun, ...)
{
	char *argv[16] = {(char *)noun}, path[] = "/tmp/tools-test-XXXXXX";
	int argc = 1, keep[2] = {dup(1), dup(2)}, fd = mkstemp(path);
	va_list words;
	va_start(words, noun);
	while ((argv[argc] = va_arg(words, char *)))
		argc++;
	va_end(words);
	if (argc > 1) {
		argv[argc++] = (char *)"--config";
		argv[argc++] = config;
	}
	unlink(path);
	fflush(stdout);
	dup2(fd, 1);
	dup2(fd, 2);
	int rc = tools_main(argc, argv);
	fflush(stdout);
	dup2(keep[0], 1);
	dup2(keep[1], 2);
	close(keep[0]);
	close(keep[1]);
	ssize_t n = pread(fd, output, sizeof output - 1, 0);
	output[n < 0 ? 0 : n] = 0;
	close(fd);
	return rc;
}

static void assert_shows(const char *text)
{
	if (!strstr(output, text))
		fail_msg("\"%s\" is not in:\n%.2000s", text, output);
}

static void all_tools_answer(void)
{
	assert_int_equal(tool("spool", "ls", NULL), 0);
	assert_shows("1.2.1 ");
	assert_shows("2023-11-14T22:13:20Z");
	assert_int_equal(tool("spool", "show", "1.2.1", NULL), 0);
	assert_shows("aws_ec2_cpuutilization_sum{region=\"eu-central-1\"} 1.5 1700000000000");
	assert_shows("intact           yes");
	assert_int_equal(tool("deadletter", "ls", "--json", NULL), 0);
	assert_shows("\"reason\":\"out_of_order\"");
	assert_shows("\"answer\":\"too old\"");
	assert_shows("\"destination\":\"b\"");
	assert_int_equal(tool("deadletter", "show", "1", NULL), 0);
	assert_shows("aws_ec2_cpuutilization_sum{region=\"eu-central-1\"} 1.5 1700000000000");
	assert_int_equal(tool("quarantine", "show", "1", NULL), 0);
	assert_shows("request-1");
	assert_shows("ab\\x1b[2J\nc"); /* no commands for the terminal */
	assert_int_equal(tool("quarantine", "show", "1", "--raw", NULL), 0);
	assert_string_equal(output, "ab\x1b[2J\nc");
	assert_int_equal(tool("quarantine", "ls", "--json", NULL), 0);
	size_t lines = 0;
	for (const char *p = output; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 1201);
	assert_int_equal(tool("quarantine", "show", "9999", NULL), SP_EXIT_FAILED);
	assert_int_equal(tool("quarantine", "show", "1.2", NULL), SP_EXIT_FAILED);
	assert_int_equal(tool("quarantine", "show", "1&x", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("quarantine", "lz", NULL), SP_EXIT_USAGE);
}

static void without_a_ship_the_files_are_read(void **state)
{
	(void)state;
	all_tools_answer();
}

static void serve(int ready)
{
	struct sp_loop *l = sp_loop_new();
	struct sp_admin *a = sp_admin_new(l);
	struct writer *w = NULL;
	char path[512];
	snprintf(path, sizeof path, "%s/%s", dir, TOOLS_SOCKET);
	if (writer_open(l, settings, &w, &why) != SP_OK || sp_admin_listen_unix(a, path, &why) != SP_OK)
		_exit(1);
	tools_routes(a, w);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	sp_loop_run(l);
}

static pid_t start_ship(void)
{
	int pipe_fds[2];
	char c;
	assert_int_equal(pipe(pipe_fds), 0);
	pid_t pid = fork();
	if (pid == 0)
		serve(pipe_fds[1]);
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	close(pipe_fds[0]);
	return pid;
}

static void stop_ship(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_running_ship_answers(void **state)
{
	(void)state;
	pid_t pid = start_ship();
	all_tools_answer();
	stop_ship(pid);
}

static struct writer_totals totals_of(const char *dest)
{
	struct spool *sp = NULL;
	uint32_t wrong = 1;
	assert_int_equal(spool_open(settings, &sp, &why), SP_OK);
	assert_int_equal(spool_check_books(sp, &wrong, &why), SP_OK);
	assert_int_equal(wrong, 0);
	struct writer_totals t = *spool_totals(sp, spool_dest_id(sp, dest));
	assert_int_equal(spool_close(&sp, &why), SP_OK);
	return t;
}

static void nothing_is_changed_by_half_a_command(void **state)
{
	(void)state;
	assert_int_equal(tool("deadletter", NULL), SP_EXIT_USAGE);
	assert_shows("replay ID ...");
	assert_int_equal(tool("deadletter", "purge", "--yes", NULL), SP_EXIT_USAGE);
	assert_shows("say which");
	assert_int_equal(tool("deadletter", "replay", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("deadletter", "replay", "1", "--all", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("deadletter", "purge", "--before", "tomorrow", NULL), SP_EXIT_USAGE);
	assert_shows("--before \"tomorrow\": right is an age such as 7d");
	assert_int_equal(tool("deadletter", "purge", "--key", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("spool", "replay", "--all", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("spool", "purge", "--reason", "crc", "--yes", NULL), SP_EXIT_USAGE);
	assert_int_equal(tool("deadletter", "purge", "--all", NULL), SP_EXIT_FAILED);
	assert_shows("would purge 1 dead letter");
	assert_int_equal(tool("deadletter", "purge", "--before", "1d", NULL), 0);
	assert_shows("nothing is purged");
	assert_int_equal(tool("deadletter", "purge", "--before", "1d", "--yes", NULL), 0);
	assert_shows("purged 0 dead letters");
	assert_int_equal(tool("deadletter", "purge", "77", "--yes", NULL), SP_EXIT_FAILED);
	assert_shows("there is no 77");
	assert_int_equal(totals_of("b").dead_lettered, 1);
}

static void an_export_is_for_people_and_programs(void **state)
{
	(void)state;
	assert_int_equal(tool("deadletter", "export", "--destination", "b", "--reason", "out_of_order", NULL), 0);
	assert_shows("\"contents\":[\"aws_ec2_cpuutilization_sum{region=\\\"eu-central-1\\\"} 1.5 1700000000000\"]");
	assert_shows("\"answer\":\"too old\"");
	assert_shows("exported 1 dead letter with 1 sample");
	assert_int_equal(tool("quarantine", "export", "1", NULL), 0);
	assert_shows("\"body\":\"YWIbWzJKCmM=\"");
	assert_int_equal(tool("deadletter", "export", "--destination", "a", NULL), 0);
	assert_shows("exported 0 dead letters");
}

static void dead_letters_are_sent_again_but_not_to_nobody(void **state)
{
	(void)state;
	write_config("c: {url: 'http://127.0.0.1:1/'}");
	assert_int_equal(tool("deadletter", "replay", "--all", NULL), SP_EXIT_FAILED);
	assert_shows("1 stay where they are; dead letter 1: its destination is not in the configuration any more");
	write_config("b: {url: 'http://127.0.0.1:1/'}");
	assert_int_equal(tool("deadletter", "replay", "--reason", "out_of_order", NULL), 0);
	assert_shows("replayed 1 dead letter with 1 sample;");
	assert_int_equal(tool("spool", "ls", "--destination", "b", "--key", "prod", NULL), 0);
	assert_shows("2.2.");
	assert_int_equal(tool("deadletter", "ls", "--json", NULL), 0);
	assert_string_equal(output, "");
	struct writer_totals t = totals_of("b");
	assert_int_equal(t.accepted, 1);
	assert_int_equal(t.spooled, 1);
	assert_int_equal(t.dead_lettered, 0);
}

static void what_is_purged_counts_as_dropped(void **state)
{
	(void)state;
	pid_t pid = start_ship();
	assert_int_equal(tool("spool", "purge", "--destination", "b", "--yes", "--json", NULL), 0);
	assert_shows("{\"purged\":1,\"samples\":1,");
	assert_int_equal(tool("quarantine", "purge", "1", "2", "--yes", NULL), 0);
	assert_shows("purged 2 pieces");
	assert_int_equal(tool("quarantine", "purge", "--key", "prod", "--yes", NULL), 0);
	assert_shows("purged 1199 pieces");
	stop_ship(pid);
	struct writer_totals t = totals_of("b");
	assert_int_equal(t.accepted, 1);
	assert_int_equal(t.dropped, 1);
	assert_int_equal(totals_of("a").spooled, 1);
	assert_int_equal(tool("quarantine", "ls", "--json", NULL), 0);
	assert_string_equal(output, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_ship_the_files_are_read),
		cmocka_unit_test(a_running_ship_answers),
		cmocka_unit_test(nothing_is_changed_by_half_a_command),
		cmocka_unit_test(an_export_is_for_people_and_programs),
		cmocka_unit_test(dead_letters_are_sent_again_but_not_to_nobody),
		cmocka_unit_test(what_is_purged_counts_as_dropped),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
