/* status - one page for a person: is it ready, what waits, for whom, and why. */
#include "cli/verbs.h"
#include "common/alloc.h"
#include "common/json.h"

#include <curl/curl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 4000L /* `run` asks its roles in turn */

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	sp_buf_add(arg, sp_bytes(data, size * n));
	return size * n;
}

/* Asks a role over its socket in runtime.dir, or, without one, the admin address of `standpipe run`. 0: nobody is there. */
static int ask(const struct settings *s, const char *socket, const char *path, struct sp_buf *body)
{
	const char *address = socket ? "standpipe" : s->admin_listen ? s->admin_listen : ADMIN_LISTEN_DEFAULT;
	char *url = sp_asprintf("http://%s%s%s", address[0] == ':' ? "127.0.0.1" : "", address, path);
	char *unix_path = socket ? sp_asprintf("%s/%s", s->runtime_dir, socket) : NULL;
	CURL *curl = curl_easy_init();
	long status = 0;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, unix_path);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	sp_free(unix_path);
	sp_free(url);
	return (int)status;
}

/* NULL: nobody is there. */
static json_t *ask_status(const struct settings *s, const char *socket)
{
	struct sp_buf body = {0};
	json_t *root = ask(s, socket, "/status", &body) == 200 ? sp_json_read(sp_buf_view(&body)) : NULL;
	sp_buf_free(&body);
	return root;
}

/* The joined status of roles that run without a supervisor, in containers or units. */
static json_t *join_roles(const struct settings *s)
{
	json_t *root = json_object(), *ingest = ask_status(s, "ingest.sock"), *ship = ask_status(s, "ship-admin.sock");
	if (ingest) {
		json_object_set(root, "ready", json_object_get(ingest, "ready"));
		json_object_set_new(root, "ingest", ingest);
	}
	if (ship) {
		json_object_set(root, "destinations", json_object_get(ship, "destinations"));
		json_object_del(ship, "destinations");
		json_object_set_new(root, "ship", ship);
	}
	if (!ingest && !ship) {
		json_decref(root);
		return NULL;
	}
	return root;
}

static json_t *get_status(const struct settings *s)
{
	json_t *root = ask_status(s, NULL);
	/* A role alone may serve the same address with a status of its own. */
	if (root && json_object_get(root, "roles"))
		return root;
	json_decref(root);
	return join_roles(s);
}

static const char *duration(int64_t ms, char out[32])
{
	int64_t s = ms / 1000;
	if (ms <= 0)
		snprintf(out, 32, "-");
	else if (s < 120)
		snprintf(out, 32, "%" PRId64 "s", s);
	else if (s < 7200)
		snprintf(out, 32, "%" PRId64 "m", s / 60);
	else
		snprintf(out, 32, "%" PRId64 "h", s / 3600);
	return out;
}

/* Of many lanes those that somebody should know of: --json has them all. */
static bool is_quiet_lane(const json_t *o)
{
	const char *state = sp_json_text(o, "state");
	return *sp_json_text(o, "lane") && (strcmp(state, "healthy") == 0 || strcmp(state, "idle") == 0) &&
		!sp_json_is(o, "full") && !sp_json_is(o, "refusing") && sp_json_is(o, "balanced");
}

/* rows: of destinations and lanes; width: of the longest name. */
static void print_states(const json_t *rows, int width)
{
	char age[32], next[32];
	const json_t *o;
	size_t i;
	printf("%-*s %-12s %-20s %-5s %10s %12s %10s %8s %10s\n", width, "destination", "state", "reason", "write", "series", "queued", "MiB",
		"oldest", "next try");
	json_array_foreach(rows, i, o) {
		const char *reason = sp_json_text(o, "reason");
		printf("%-*s %-12s %-20s %-5s ", width, sp_json_text(o, "name"), sp_json_text(o, "state"),
			sp_json_is(o, "refusing") && !*reason ? "refusing" : reason, sp_json_text(o, "protocol"));
		printf("%10" PRId64 " %12" PRId64 " ", sp_json_number(o, "active_series"), sp_json_number(o, "queued_samples"));
		printf("%9.1f%s %8s %10s\n", (double)sp_json_number(o, "queued_bytes") / (1 << 20), sp_json_is(o, "full") ? "!" : " ",
			duration(sp_json_number(o, "oldest_age_ms"), age), duration(sp_json_number(o, "next_probe_in_ms"), next));
	}
}

static void print_books(const json_t *rows, int width)
{
	static const struct {
		const char *head, *name;
		int width;
	} terms[] = {{"delivered", "delivered", 14}, {"queued", "queued_samples", 12}, {"dead letters", "dead_lettered", 12},
		{"expired", "expired", 12}, {"dropped", "dropped", 12}, {"merged", "merged", 12}};
	const size_t n = sizeof terms / sizeof terms[0];
	const json_t *o;
	size_t i, k;
	printf("%-*s %14s", width, "samples", "accepted");
	for (k = 0; k < n; k++)
		printf(" %s %*s", k ? "+" : "=", terms[k].width, terms[k].head);
	json_array_foreach(rows, i, o) {
		printf("\n%-*s %14" PRId64, width, sp_json_text(o, "name"), sp_json_number(o, "accepted"));
		for (k = 0; k < n; k++)
			printf(" %s %*" PRId64, k ? "+" : sp_json_is(o, "balanced") ? "=" : "IS NOT", terms[k].width,
				sp_json_number(o, terms[k].name));
	}
	putchar('\n');
}

/* What the receiver said, or what went wrong, of each that is in trouble. */
static void print_answers(const json_t *rows)
{
	const json_t *o;
	size_t i;
	json_array_foreach(rows, i, o) {
		const char *answer = sp_json_text(o, "answer");
		int64_t status = sp_json_number(o, "http_status");
		if (sp_json_is(o, "full"))
			printf("%s: its queue is full: as on_full says, deliveries get 503 or its newest data is dropped\n",
				sp_json_text(o, "name"));
		if (status)
			printf("%s: HTTP %" PRId64 " %s\n", sp_json_text(o, "name"), status, answer);
		else if (*answer)
			printf("%s: %s\n", sp_json_text(o, "name"), answer);
	}
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(sp_json_text(*(json_t *const *)a, "name"), sp_json_text(*(json_t *const *)b, "name"));
}

/* The row of a destination with lanes stands for all of them, but for removed ones. */
static void add_lane(json_t *of, const json_t *lane)
{
	static const char *const summed[] = {"queued_samples", "queued_bytes", "active_series", "accepted", "delivered", "dead_lettered",
		"expired", "dropped", "merged"};
	char what[64];
	int64_t lanes = sp_json_number(of, "lanes") + 1, trouble = sp_json_number(of, "trouble") + !is_quiet_lane(lane);
	for (size_t i = 0; i < sizeof summed / sizeof summed[0]; i++)
		json_object_set_new(of, summed[i], json_integer(sp_json_number(of, summed[i]) + sp_json_number(lane, summed[i])));
	if (sp_json_number(lane, "oldest_age_ms") > sp_json_number(of, "oldest_age_ms"))
		json_object_set(of, "oldest_age_ms", json_object_get(lane, "oldest_age_ms"));
	json_object_set_new(of, "lanes", json_integer(lanes));
	json_object_set_new(of, "trouble", json_integer(trouble));
	snprintf(what, sizeof what, "%" PRId64 " of %" PRId64 " in trouble", trouble, lanes);
	if (strcmp(sp_json_text(of, "state"), "healthy") != 0 && strcmp(sp_json_text(of, "state"), "lanes") != 0)
		return;
	json_object_set_new(of, "state", json_string("lanes"));
	json_object_set_new(of, "reason", json_string(trouble ? what : ""));
}

static void print_destinations(const json_t *rows)
{
	size_t n = json_array_size(rows), quiet = 0, width = 16;
	json_t **sorted = sp_new_array(json_t *, n + 1), *of = NULL, *shown = json_array();
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(rows, i);
	qsort(sorted, n, sizeof *sorted, by_name);
	for (size_t i = 0; i < n; i++) {
		json_t *row = sorted[i];
		const char *name = sp_json_text(row, "name"), *slash = strchr(name, '/'), *whole = sp_json_text(of, "name");
		if (!slash)
			of = row;
		else if (strcmp(sp_json_text(row, "state"), "removed") != 0 && strlen(whole) == (size_t)(slash - name) &&
			strncmp(whole, name, strlen(whole)) == 0)
			add_lane(of, row);
		if (is_quiet_lane(row)) {
			quiet++;
			continue;
		}
		width = strlen(name) > width ? strlen(name) : width;
		json_array_append(shown, row);
	}
	if (n) {
		print_states(shown, (int)width);
		print_books(shown, (int)width);
	}
	if (quiet)
		printf("and %zu lane%s without trouble\n", quiet, quiet == 1 ? "" : "s");
	print_answers(shown);
	json_decref(shown);
	sp_free(sorted);
}

static void print_status(const json_t *root)
{
	const json_t *ingest = json_object_get(root, "ingest"), *ship = json_object_get(root, "ship"), *o;
	char age[32];
	size_t i;
	bool ready = sp_json_is(root, "ready");
	if (ready)
		puts("ready");
	else
		printf("NOT READY: %s\n", ingest ? sp_json_text(ingest, "reason") : "ingest does not answer");
	json_array_foreach(json_object_get(root, "roles"), i, o)
		printf("  %-10s %s pid %-7" PRId64 " up %-6s restarts %" PRId64 "\n", sp_json_text(o, "name"),
			sp_json_number(o, "pid") ? "up  " : "DOWN", sp_json_number(o, "pid"),
			duration(sp_json_number(o, "up_seconds") * 1000, age), sp_json_number(o, "restarts"));
	if (ship)
		printf("spool: %.1f MiB, accepting: %s\n", (double)sp_json_number(ship, "spool_bytes") / (1 << 20),
			sp_json_text(ship, "accepting"));
	print_destinations(json_object_get(root, "destinations"));
	if (ship && sp_json_number(ship, "unbalanced_checks") > 0)
		printf("BOOKS: %" PRId64 " checks failed since ship started; its log has them as books.unbalanced\n",
			sp_json_number(ship, "unbalanced_checks"));
}

/* For health checks: is a delivery accepted now? Says nothing when it is. */
static int ready_main(const struct settings *s)
{
	struct sp_buf body = {0};
	int status = ask(s, "ingest.sock", "/-/ready", &body);
	if (status != 200)
		fprintf(stderr, "not ready: %.*s\n", status ? (int)body.n : 22, status ? (char *)body.p : "ingest does not answer");
	sp_buf_free(&body);
	return status == 200 ? SP_EXIT_OK : SP_EXIT_FAILED;
}

int status_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {"ready", no_argument, NULL, 'r'}, {0}};
	const char *path = NULL;
	bool as_json = false, only_ready = false, wrong = false;
	struct conf *conf = NULL;
	struct settings *s = NULL;
	struct sp_why why;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		path = o == 'c' ? optarg : path;
		as_json |= o == 'j';
		only_ready |= o == 'r';
		wrong |= o == '?';
	}
	if (wrong || optind != argc) {
		fputs("usage: standpipe status [--json | --ready] [--config FILE]\n", stderr);
		return SP_EXIT_USAGE;
	}
	if (config_read(path, &conf, &s, &why) != SP_OK) {
		fprintf(stderr, "standpipe: %s\n", why.text);
		return SP_EXIT_CONFIG;
	}
	int result = SP_EXIT_OK;
	json_t *root = only_ready ? NULL : get_status(s);
	if (only_ready)
		result = ready_main(s);
	else if (!root)
		result = SP_EXIT_FAILED, fprintf(stderr, "standpipe: nothing answers at %s or in %s: is it running?\n",
						 s->admin_listen ? s->admin_listen : ADMIN_LISTEN_DEFAULT, s->runtime_dir);
	else if (as_json)
		sp_json_print(json_incref(root), JSON_INDENT(1));
	else
		print_status(root);
	json_decref(root);
	conf_free(&conf);
	settings_free(&s);
	return result;
}
