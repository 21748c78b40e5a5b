#include "ship/tools/tools_impl.h"

#include "common/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <time.h>

enum command { LS, SHOW, EXPORT, REPLAY, PURGE, COMMANDS };
static const struct {
	const char *name;
	enum sp_status (*run)(struct tool *t, struct sp_why *why);
} commands[COMMANDS] = {
	[LS] = {"ls", tools_list},
	[SHOW] = {"show", tools_show},
	[EXPORT] = {"export", tools_export},
	[REPLAY] = {"replay", tools_replay},
	[PURGE] = {"purge", tools_purge},
};

static const char *const about[INSPECT_TABLES] = {
	[INSPECT_SPOOL] = "what waits to be sent, in batches of one destination (or of one lane of it, DESTINATION/LANE)",
	[INSPECT_QUARANTINE] = "pieces of deliveries that could not be decoded",
	[INSPECT_DEADLETTER] = "samples that a receiver refused, or that could not be sent",
};

enum { WORD = 1, OPTION_JSON, OPTION_RAW, OPTION_ALL, OPTION_YES, OPTION_CONFIG, OPTION_KEY, OPTION_REASON, OPTION_DESTINATION,
	OPTION_BEFORE };
static const struct option options[] = {{"json", no_argument, NULL, OPTION_JSON}, {"raw", no_argument, NULL, OPTION_RAW},
	{"all", no_argument, NULL, OPTION_ALL}, {"yes", no_argument, NULL, OPTION_YES}, {"config", required_argument, NULL, OPTION_CONFIG},
	{"key", required_argument, NULL, OPTION_KEY}, {"reason", required_argument, NULL, OPTION_REASON},
	{"destination", required_argument, NULL, OPTION_DESTINATION}, {"before", required_argument, NULL, OPTION_BEFORE}, {0}};

static bool has_command(enum inspect_table t, enum command c)
{
	return c != REPLAY || t != INSPECT_SPOOL;
}

static void print_usage(FILE *to, const char *noun, enum inspect_table t)
{
	bool reasons = t != INSPECT_SPOOL, destinations = t != INSPECT_QUARANTINE;
	fprintf(to, "%s: %s\n\n  standpipe %s ls [WHICH] [--json]\n  standpipe %s show ID [--json | --raw]\n", noun, about[t], noun, noun);
	fprintf(to, "  standpipe %s export [ID ... | WHICH]\n        to standard output: one JSON object a line, with the bytes in base64\n", noun);
	if (has_command(t, REPLAY))
		fprintf(to, "  standpipe %s replay ID ... | WHICH | --all [--json]\n        %s\n", noun,
			t == INSPECT_QUARANTINE ? "converted again, by the running relay" : "back into the spool, to be sent again");
	fprintf(to, "  standpipe %s purge ID ... | WHICH | --all [--yes] [--json]\n        for good; without --yes it only says how much that would be\n\n", noun);
	fprintf(to, "WHICH: all that is given must fit\n  --key NAME            of this access key\n");
	if (reasons)
		fputs("  --reason WORD         as in the column `reason`\n", to);
	if (destinations)
		fputs("  --destination NAME    for this destination and its lanes, also for one that is not configured any more\n", to);
	fputs("  --before TIME         older than this: 7d, or 2026-01-31T12:00:00Z\n\nAlso: --config FILE\n", to);
}

/* An age ("7d") or a time; false when it is neither. */
static bool before_parse(const char *text, int64_t *out_ms)
{
	struct tm tm = {0};
	int64_t age_ms;
	if (time_parse(text, &age_ms)) {
		*out_ms = sp_wall_ms() - age_ms;
		return true;
	}
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	*out_ms = (int64_t)timegm(&tm) * 1000;
	return end && !*end && *out_ms > 0;
}

/* Ids are digits and dots; anything else is a word in the wrong place. */
static bool is_id(const char *s)
{
	return *s && strlen(s) < 64 && s[strspn(s, "0123456789.")] == 0;
}

static bool text_option(char *out, size_t n, const char *value)
{
	snprintf(out, n, "%s", value);
	return *value && strlen(value) < n;
}

/* A word of the command line: an option and its value, or, for WORD, an id. False: it cannot be. */
static bool take_word(struct tool *t, int option, char *value, const char **config)
{
	switch (option) {
	case WORD:
		t->ids[t->n_ids++] = value;
		return is_id(value);
	case OPTION_JSON:
		return t->json = true;
	case OPTION_RAW:
		return t->raw = true;
	case OPTION_ALL:
		return t->all = true;
	case OPTION_YES:
		return t->yes = true;
	case OPTION_CONFIG:
		*config = value;
		return true;
	case OPTION_KEY:
		return text_option(t->pick.key, sizeof t->pick.key, value);
	case OPTION_REASON:
		return t->table != INSPECT_SPOOL && text_option(t->pick.reason, sizeof t->pick.reason, value);
	case OPTION_DESTINATION:
		return t->table != INSPECT_QUARANTINE && text_option(t->pick.destination, sizeof t->pick.destination, value);
	case OPTION_BEFORE:
		return before_parse(value, &t->pick.before_ms);
	default:
		return false;
	}
}

static bool has_filter(const struct tool *t)
{
	return t->pick.key[0] || t->pick.reason[0] || t->pick.destination[0] || t->pick.before_ms;
}

/* Does what was said select rows in a way that this command takes? */
static const char *what_is_wrong(const struct tool *t, enum command c)
{
	int selections = (t->n_ids > 0) + has_filter(t) + t->all;
	if (selections > 1)
		return "ids, filters and --all exclude each other";
	if (c == SHOW && t->n_ids != 1)
		return "show one ID";
	if (c == LS && t->n_ids)
		return "ls takes no ids; `show ID` shows one";
	if ((c == PURGE || c == REPLAY) && !selections)
		return "say which: ids, filters, or --all";
	if (t->raw && c != SHOW)
		return "--raw is for show";
	return NULL;
}

static int usage(const struct tool *t, const char *wrong)
{
	if (wrong)
		fprintf(stderr, "%s: %s; `standpipe %s` shows what there is\n", t->noun, wrong, t->noun);
	else
		print_usage(stderr, t->noun, t->table);
	return SP_EXIT_USAGE;
}

static int wrong_word(const struct tool *t, int option, const char *word, const char *value)
{
	char wrong[256];
	if (option == WORD)
		snprintf(wrong, sizeof wrong, "\"%.80s\" is no id: ids are digits and dots", word);
	else if (option == OPTION_BEFORE)
		snprintf(wrong, sizeof wrong, "--before \"%.80s\": right is an age such as 7d, or a time such as 2026-01-31T12:00:00Z", value);
	else
		snprintf(wrong, sizeof wrong, "%.80s is not known here, or has no value", word);
	return usage(t, wrong);
}

/* The words behind the noun; returns the exit code when they are no command, else 0. */
static int read_words(struct tool *t, int argc, char **argv, enum command *c, const char **config)
{
	for (*c = LS; *c < COMMANDS && strcmp(argc > 1 ? argv[1] : "", commands[*c].name) != 0;)
		++*c;
	if (argc < 2 || argv[1][0] == '-')
		return usage(t, NULL);
	if (*c == COMMANDS || !has_command(t->table, *c))
		return usage(t, "no such verb");
	t->ids = &argv[2]; /* moved up to each other */
	optind = 0;
	for (int at = 1, o; (o = getopt_long(argc - 1, argv + 1, "-:", options, NULL)) != -1; at = optind)
		if (!take_word(t, o, optarg, config))
			return wrong_word(t, o, argv[1 + at], optarg);
	const char *wrong = optind < argc - 1 ? "-- has no meaning here" : what_is_wrong(t, *c);
	return wrong ? usage(t, wrong) : 0;
}

int tools_main(int argc, char **argv)
{
	struct tool t = {.noun = argv[0], .table = INSPECT_TABLES};
	const char *config = NULL;
	enum command command;
	struct sp_why why = {.text = ""}, second;
	for (enum inspect_table i = INSPECT_SPOOL; i < INSPECT_TABLES; i++)
		if (strcmp(argv[0], inspect_name(i)) == 0)
			t.table = i;
	if (t.table == INSPECT_TABLES) {
		fprintf(stderr, "standpipe-ship: no command \"%s\"\n", argv[0]);
		return SP_EXIT_USAGE;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_usage(stdout, t.noun, t.table);
		return SP_EXIT_OK;
	}
	int wrong = read_words(&t, argc, argv, &command, &config);
	if (wrong)
		return wrong;
	t.settings = settings_for_role(SP_ROLE_SHIP, config, -1, false, NULL);
	t.curl = curl_easy_init();
	SP_BUG_IF(!t.curl);
	enum sp_status status = commands[command].run(&t, &why);
	fflush(stdout);
	if (status != SP_OK)
		fprintf(stderr, "%s: %s\n", argv[0], why.text);
	curl_easy_cleanup(t.curl);
	if (t.spool && spool_close(&t.spool, &second) != SP_OK)
		fprintf(stderr, "%s: %s\n", argv[0], second.text);
	settings_free(&t.settings);
	return status == SP_OK ? SP_EXIT_OK : status == SP_LOCKED ? SP_EXIT_LOCKED : SP_EXIT_FAILED;
}
