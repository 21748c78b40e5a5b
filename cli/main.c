/* standpipe - the command: starts the relay, and shows people what it does. */
#include "cli/verbs.h"
#include "common/alloc.h"
#include "common/conf.h"
#include "common/metrics.h"
#include "common/receivers.h"
#include "ingest/answer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int version_verb(int argc, char **argv);
static int help_verb(int argc, char **argv);

static const struct verb {
	const char *name, *usage, *what; /* usage: NULL when it explains itself with --help */
	int (*fn)(int argc, char **argv);
	const char *role; /* whose program does it, when fn is NULL */
} verbs[] = {
	{"run", "[--config FILE]", "start ingest, convert and ship on this machine, and watch them", run_main},
	{"check", "[--config FILE] [--connect [--write-probe] [--json]]", "say what is wrong with a configuration, with file, line and what would be right; --connect asks every destination what it takes", check_main},
	{"status", "[--json | --ready] [--config FILE]", "is it ready? what waits, for whom, and why", status_main},
	{"keys", "new | rotate | retire NAME [--dir DIR] [--config FILE]", "make an access key and print it once; its hash goes into ingest.keys_dir", keys_main},
	{"send", NULL, "deliver as Firehose does: captured bodies or generated metrics", send_main},
	{"decode", "FILE [--json] [--series] [--naming PRESET] [--config FILE] [--destination NAME] [--key NAME]", "show the points of a captured body, the series they become, and the rules that drop them", NULL, "convert"},
	{"names", "--from PRESET --to PRESET [--sed] [--record] [FILE]", "what a change of naming renames, of the metrics in a captured body or of well-known ones; with --sed a script for dashboards", NULL, "convert"},
	{"spool", NULL, "what waits to be sent", NULL, "ship"},
	{"quarantine", NULL, "pieces of deliveries that could not be decoded", NULL, "ship"},
	{"deadletter", NULL, "samples that a receiver refused", NULL, "ship"},
	{"ingest", "[--config FILE]", "one role alone (containers, units): takes deliveries", NULL, "ingest"},
	{"convert", "[--config FILE] [--worker N]", "one role alone: turns deliveries into batches", NULL, "convert"},
	{"ship", "[--drain [--timeout 1h]] [--config FILE]", "one role alone: spools and sends; with --drain it takes nothing in and ends when all of a spool is sent", NULL, "ship"},
	{"version", "", "print the version", version_verb},
	{"help", "[VERB | settings | receivers | metrics | errors | reference]", "this, or more of it", help_verb},
};
#define VERBS (sizeof verbs / sizeof verbs[0])

char *libexec_dir(void)
{
	char self[4096], probe[4200];
	const char *told = getenv("STANDPIPE_LIBEXEC");
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (told)
		return sp_strdup(told);
	self[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	snprintf(probe, sizeof probe, "%s/standpipe-ship", self);
	return access(probe, X_OK) == 0 ? sp_strdup(self) : sp_asprintf("%s/../libexec/standpipe", self);
}

int exec_role(int argc, char **argv, const char *role)
{
	char *dir = libexec_dir(), *path = sp_asprintf("%s/standpipe-%s", dir, role);
	char **args = sp_new_array(char *, (size_t)argc + 2);
	int n = 0;
	args[n++] = path;
	for (int i = strcmp(argv[0], role) == 0; i < argc; i++)
		args[n++] = argv[i];
	execv(path, args);
	fprintf(stderr, "standpipe: %s: %s\n", path, strerror(errno));
	return SP_EXIT_FAILED;
}

static int call(const struct verb *v, int argc, char **argv)
{
	return v->fn ? v->fn(argc, argv) : exec_role(argc, argv, v->role);
}

static int version_verb(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("standpipe " STANDPIPE_VERSION);
	return SP_EXIT_OK;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static void print_verbs(FILE *to)
{
	fputs("standpipe " STANDPIPE_VERSION " - CloudWatch metric streams from Firehose into Prometheus remote write\n\n", to);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].what);
	fputs("\n`standpipe help VERB` shows how to call one; `help settings`, `help receivers`, `help metrics`, `help errors` list those.\n", to);
}

static int help_verb(int argc, char **argv)
{
	static const struct {
		const char *topic, *head; /* head: in the reference */
		void (*describe)(struct sp_buf *out);
	} lists[] = {
		{"settings", "# Reference\n\nMade by `./dev docs` from the lists in the code.\n\n## Settings\n\n", settings_describe},
		{"receivers", "\n## Receivers\n\n", receivers_describe},
		{"metrics", "\n## Metrics\n\n", sp_metrics_describe},
		{"errors", "\n## Error codes\n\nThe answer's `errorMessage` begins with one of these.\n\n", answer_describe},
	};
	const char *topic = argc > 1 ? argv[1] : "";
	bool all = strcmp(topic, "reference") == 0;
	struct sp_buf out = {0};
	for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
		if (all)
			sp_buf_str(&out, lists[i].head);
		if (all || strcmp(topic, lists[i].topic) == 0)
			lists[i].describe(&out);
	}
	bool found = out.n > 0;
	if (found)
		fwrite(out.p, 1, out.n, stdout);
	sp_buf_free(&out);
	for (size_t i = 0; i < VERBS && !found; i++) {
		if (strcmp(topic, verbs[i].name) != 0)
			continue;
		if (!verbs[i].usage)
			return call(&verbs[i], 2, (char *[]){argv[1], (char *)(uintptr_t)"--help", NULL});
		printf("standpipe %s %s\n\n%s\n", verbs[i].name, verbs[i].usage, verbs[i].what);
		found = true;
	}
	if (!found)
		print_verbs(stdout);
	return SP_EXIT_OK;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	if (is_help(word))
		word = "help";
	else if (argc > 2 && is_help(argv[argc - 1]))
		return help_verb(2, argv);
	else if (strcmp(word, "--version") == 0)
		word = "version";
	for (size_t i = 0; i < VERBS; i++)
		if (strcmp(word, verbs[i].name) == 0)
			return call(&verbs[i], argc - 1, argv + 1);
	if (*word)
		fprintf(stderr, "standpipe: no command \"%s\"\n\n", word);
	print_verbs(stderr);
	return SP_EXIT_USAGE;
}
