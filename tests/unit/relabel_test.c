/* Relabelling as Prometheus documents it: a table of rules, labels before and labels after. */
#include "proto/relabel.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* A rule is written as in YAML, its fields parted by " | "; source_labels by commas. Several rules are parted by line feeds. */
static Standpipe__Relabel *rule_of(char *text, struct sp_arena *a)
{
	Standpipe__Relabel *r = sp_arena_alloc(a, sizeof *r);
	standpipe__relabel__init(r);
	r->separator = (char *)";";
	r->regex = (char *)"(.*)";
	r->replacement = (char *)"$1";
	r->action = (char *)"replace";
	r->source_labels = sp_arena_alloc(a, 8 * sizeof(char *));
	for (char *field = text, *next; field && *field; field = next) {
		next = strstr(field, " | ");
		if (next)
			*next = '\0', next += 3;
		char *value = strchr(field, ':');
		assert_non_null(value);
		*value = '\0', value += 2;
		if (strcmp(field, "source_labels") == 0)
			for (char *save, *l = strtok_r(value, ",", &save); l; l = strtok_r(NULL, ",", &save))
				r->source_labels[r->n_source_labels++] = l;
		else if (strcmp(field, "modulus") == 0)
			r->modulus = strtoull(value, NULL, 10);
		else
			*(strcmp(field, "separator") == 0	 ? &r->separator
			    : strcmp(field, "regex") == 0	 ? &r->regex
			    : strcmp(field, "target_label") == 0 ? &r->target_label
			    : strcmp(field, "replacement") == 0	 ? &r->replacement
								 : &r->action) = value;
	}
	return r;
}

static enum sp_status compile(const char *rules, struct sp_arena *a, struct relabel **out, struct sp_why *why)
{
	Standpipe__Relabel *v[16];
	size_t n = 0;
	char *text = (char *)sp_arena_copy(a, sp_bytes(rules, strlen(rules) + 1)).p;
	for (char *next; text && *text; text = next) {
		next = strchr(text, '\n');
		if (next)
			*next++ = '\0';
		v[n++] = rule_of(text, a);
	}
	return relabel_new(v, n, out, why);
}

/* "a=1 b=2" */
static void set_of(struct relabel_set *set, const char *labels)
{
	while (*labels) {
		size_t n = strcspn(labels, " "), eq = strcspn(labels, "=");
		relabel_put(set, sp_bytes(labels, eq), sp_bytes(labels + eq + 1, n - eq - 1));
		labels += n + (labels[n] == ' ');
	}
}

static void run(const char *rules, const char *before, struct sp_buf *after, uint64_t *limited)
{
	struct sp_arena *a = sp_arena_new(0);
	struct relabel *r;
	struct relabel_set set = {0};
	struct sp_why why = {.text = ""};
	int by;
	if (compile(rules, a, &r, &why) != SP_OK)
		fail_msg("%s: %s", rules, why.text);
	set_of(&set, before);
	assert_int_equal(relabel_run(r, &set, a, &by), SP_OK);
	if (by >= 0)
		sp_buf_printf(after, "dropped by %d", by);
	for (size_t i = 0; i < set.n && by < 0; i++) {
		sp_buf_printf(after, "%s%.*s=%.*s", i ? " " : "", (int)set.v[i].name.n, (const char *)set.v[i].name.p,
		    (int)set.v[i].value.n, (const char *)set.v[i].value.p);
		assert_true(i == 0 || sp_cmp(set.v[i - 1].name, set.v[i].name) < 0);
	}
	*limited = relabel_limited(r);
	relabel_set_free(&set);
	relabel_free(&r);
	sp_arena_free(&a);
}

static void every_action_does_what_prometheus_documents(void **state)
{
	(void)state;
	static const struct {
		const char *what, *rules, *before, *after;
	} cases[] = {
	    {"replace copies a label by default", "source_labels: a | target_label: b", "a=1", "a=1 b=1"},
	    {"replace joins several with ;", "source_labels: a,b | target_label: c", "a=1 b=2", "a=1 b=2 c=1;2"},
	    {"another separator", "source_labels: a,b | separator: - | target_label: c", "a=1 b=2", "a=1 b=2 c=1-2"},
	    {"an empty separator", "source_labels: a,b | separator:  | target_label: c", "a=1 b=2", "a=1 b=2 c=12"},
	    {"a missing source is empty", "source_labels: a,x,b | target_label: c", "a=1 b=2", "a=1 b=2 c=1;;2"},
	    {"the regex is anchored in front", "source_labels: a | regex: oo | target_label: c", "a=foo", "a=foo"},
	    {"the regex is anchored behind", "source_labels: a | regex: fo | target_label: c", "a=foo", "a=foo"},
	    {"anchors hold for each alternative", "source_labels: a | regex: f|foo | target_label: b | replacement: y", "a=foo", "a=foo b=y"},
	    {"no match changes nothing", "source_labels: a | regex: x(.*) | target_label: a | replacement: y", "a=foo", "a=foo"},
	    {"a group in braces", "source_labels: a | regex: f(.*)r | target_label: b | replacement: ${1}x", "a=foobar", "a=foobar b=oobax"},
	    {"without braces the name is as long as it can be", "source_labels: a | regex: f(.*)r | target_label: b | replacement: z$1x", "a=foobar", "a=foobar b=z"},
	    {"group 0 is all", "source_labels: a | regex: f(.*) | target_label: b | replacement: <$0>", "a=foo", "a=foo b=<foo>"},
	    {"a named group", "source_labels: a | regex: (?P<first>.).* | target_label: b | replacement: $first-${first}", "a=foo", "a=foo b=f-f"},
	    {"$$ is a dollar", "source_labels: a | target_label: b | replacement: $$1", "a=foo", "a=foo b=$1"},
	    {"a $ without a name stays", "source_labels: a | target_label: b | replacement: 1$-${", "a=foo", "a=foo b=1$-${"},
	    {"a group that does not exist is empty", "source_labels: a | target_label: b | replacement: x$7${no}y", "a=foo", "a=foo b=xy"},
	    {"leading zeros are a name", "source_labels: a | target_label: b | replacement: x$01", "a=foo", "a=foo b=x"},
	    {"a group that took no part is empty", "source_labels: a | regex: (x)?foo | target_label: b | replacement: y$1", "a=foo", "a=foo b=y"},
	    {"an empty result takes the target out", "source_labels: x | target_label: a", "a=1 b=2", "b=2"},
	    {"an empty replacement takes the target out", "source_labels: a | regex: 1 | target_label: b | replacement: ", "a=1 b=2", "a=1"},
	    {"a rule without sources sets a constant", "target_label: env | replacement: prod", "a=1", "a=1 env=prod"},
	    {"a template as target", "source_labels: a | regex: (.*)=(.*) | target_label: $1 | replacement: $2", "a=k=v", "a=k=v k=v"},
	    {"a template in braces, with more around it", "source_labels: a | target_label: x_${1}_y | replacement: v", "a=k", "a=k x_k_y=v"},
	    {"a target that is no name changes nothing", "source_labels: a | target_label: ${1} | replacement: v", "a=9-", "a=9-"},
	    {"the name of a metric is a label", "source_labels: __name__ | regex: aws_(.*) | target_label: __name__", "__name__=aws_x a=1", "__name__=x a=1"},
	    {"a dot fits a line feed", "source_labels: a | regex: x.y | target_label: b | replacement: z", "a=x\ny", "a=x\ny b=z"},
	    {"$ in a regex is the very end", "source_labels: a | regex: x$.? | target_label: b | replacement: z", "a=x\n", "a=x\n"},
	    {"letters beyond ASCII are one character", "source_labels: a | regex: .. | target_label: b | replacement: z", "a=\xc3\xa4\xc3\xb6", "a=\xc3\xa4\xc3\xb6 b=z"},
	    {"the empty regex fits the empty text", "source_labels: x | regex:  | target_label: b | replacement: none", "a=1", "a=1 b=none"},
	    {"case is ignored on request", "source_labels: a | regex: (?i)FOO | target_label: b | replacement: y", "a=foo", "a=foo b=y"},
	    {"keep keeps what fits", "source_labels: a | regex: 1|2 | action: keep", "a=2", "a=2"},
	    {"keep drops the rest", "source_labels: a | regex: 1|2 | action: keep", "a=12", "dropped by 0"},
	    {"drop drops what fits", "source_labels: a,b | regex: 1;2 | action: drop", "a=1 b=2", "dropped by 0"},
	    {"drop keeps the rest", "source_labels: a,b | regex: 1;2 | action: drop", "a=1 b=3", "a=1 b=3"},
	    {"drop with the empty regex drops what lacks a label", "source_labels: team | regex:  | action: drop", "a=1", "dropped by 0"},
	    {"keepequal keeps equal ones", "source_labels: a | target_label: b | action: keepequal", "a=1 b=1", "a=1 b=1"},
	    {"keepequal drops others", "source_labels: a | target_label: b | action: keepequal", "a=1 b=2", "dropped by 0"},
	    {"keepequal: two missing ones are equal", "source_labels: x | target_label: y | action: keepequal", "a=1", "a=1"},
	    {"dropequal drops equal ones", "source_labels: a,c | target_label: b | action: dropequal", "a=1 b=1;2 c=2", "dropped by 0"},
	    {"dropequal keeps others", "source_labels: a | target_label: b | action: dropequal", "a=1 b=2", "a=1 b=2"},
	    {"hashmod: the last 8 bytes of MD5", "source_labels: a | target_label: h | modulus: 1000 | action: hashmod", "a=foobar", "a=foobar h=783"},
	    {"hashmod of joined values", "source_labels: a,b | target_label: h | modulus: 16 | action: hashmod", "a=a b=b", "a=a b=b h=10"},
	    {"hashmod of nothing", "source_labels: x | target_label: h | modulus: 7 | action: hashmod", "a=1", "a=1 h=1"},
	    {"labelmap copies labels under other names", "regex: dimension_(.+) | action: labelmap", "dimension_a=1 dimension_b=2 x=3", "a=1 b=2 dimension_a=1 dimension_b=2 x=3"},
	    {"labelmap with a template", "regex: (a|b) | replacement: tag_${1}_v | action: labelmap", "a=1 b=2 c=3", "a=1 b=2 c=3 tag_a_v=1 tag_b_v=2"},
	    {"labelmap does not map what it has added", "regex: (.*)a | replacement: ${1}aa | action: labelmap", "a=1", "a=1 aa=1"},
	    {"labelmap to what is no name", "regex: x_(.*) | action: labelmap", "x_1=a x_b=c", "b=c x_1=a x_b=c"},
	    {"labeldrop", "regex: a|b. | action: labeldrop", "a=1 aa=2 bb=3 c=4", "aa=2 c=4"},
	    {"labelkeep", "regex: __name__|a | action: labelkeep", "__name__=n a=1 b=2", "__name__=n a=1"},
	    {"lowercase", "source_labels: a | target_label: a | action: lowercase", "a=FooBAR-9", "a=foobar-9"},
	    {"lowercase beyond ASCII", "source_labels: a | target_label: b | action: lowercase", "a=\xc3\x84\xce\xa9", "a=\xc3\x84\xce\xa9 b=\xc3\xa4\xcf\x89"},
	    {"uppercase of joined values", "source_labels: a,b | target_label: c | action: uppercase", "a=x b=\xc3\xa4", "a=x b=\xc3\xa4 c=X;\xc3\x84"},
	    {"uppercase of nothing", "source_labels: x | target_label: a | action: uppercase", "a=1 b=2", "b=2"},
	    {"actions are words in any case", "source_labels: a | regex: 1 | action: Drop", "a=1", "dropped by 0"},
	    {"rules follow each other", "source_labels: a | target_label: b | replacement: x$1\nsource_labels: b | regex: (x1) | target_label: c\nregex: b | action: labeldrop\nsource_labels: c | regex: x1 | action: drop", "a=1", "dropped by 3"},
	};
	uint64_t limited;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_buf after = {0};
		run(cases[i].rules, cases[i].before, &after, &limited);
		sp_buf_u8(&after, '\0');
		if (strcmp((char *)after.p, cases[i].after) != 0 || limited)
			fail_msg("%s: \"%s\" instead of \"%s\", %d limits", cases[i].what, after.p, cases[i].after, (int)limited);
		sp_buf_free(&after);
	}
}

static void what_prometheus_refuses_is_refused_with_a_reason(void **state)
{
	(void)state;
	static const struct {
		const char *rules, *text;
	} cases[] = {
	    {"action: nonsense", "0: action \"nonsense\" is not known"},
	    {"action: ", "0: action \"\" is not known"},
	    {"target_label: ok\nsource_labels: a", "1: action replace needs target_label"},
	    {"source_labels: a | action: hashmod | target_label: b", "modulus"},
	    {"source_labels: a | action: hashmod | modulus: 4", "needs target_label"},
	    {"source_labels: a | action: hashmod | modulus: 4 | target_label: a-b", "\"a-b\" is not the name of a label"},
	    {"source_labels: a | action: lowercase", "needs target_label"},
	    {"source_labels: a | action: uppercase | target_label: $1", "\"$1\" is not the name"},
	    {"source_labels: a | action: keepequal", "needs target_label"},
	    {"source_labels: a | action: dropequal | target_label: b | regex: x", "nothing else"},
	    {"source_labels: a | action: keepequal | target_label: b | separator: -", "nothing else"},
	    {"source_labels: a | action: labeldrop | regex: b", "nothing else"},
	    {"action: labelkeep | regex: b | target_label: c", "nothing else"},
	    {"action: labelkeep | regex: b | replacement: c", "nothing else"},
	    {"action: labelmap | regex: b | replacement: c-d", "\"c-d\" is not the name"},
	    {"source_labels: a | target_label: 1a", "\"1a\" is not the name"},
	    {"source_labels: a | target_label: ${1", "is not the name"},
	    {"source_labels: a-b | target_label: c", "source label \"a-b\""},
	    {"source_labels: a | regex: (a | target_label: c", "0: regex \"(a\" is wrong at character 2"},
	    {"source_labels: a | regex: a*? | target_label: c\nsource_labels: a | regex: [z | target_label: c", "1: regex \"[z\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_arena *a = sp_arena_new(0);
		struct relabel *r;
		struct sp_why why = {.text = ""};
		assert_int_equal(compile(cases[i].rules, a, &r, &why), SP_CONFIG);
		if (!strstr(why.text, cases[i].text))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].rules, why.text, cases[i].text);
		sp_arena_free(&a);
	}
}

/* Thousands of a's and nothing else: a backtracking matcher would take longer than the universe. */
static void a_match_that_takes_too_long_is_no_match_and_is_counted(void **state)
{
	(void)state;
	char before[5000] = "a=";
	memset(before + 2, 'a', sizeof before - 3);
	struct sp_buf after = {0};
	uint64_t limited;
	run("source_labels: a | regex: (a|aa)+(a|aa)+[^a] | target_label: b\nregex: a | action: labeldrop", before, &after, &limited);
	assert_int_equal(limited, 1);
	assert_int_equal(after.n, 0);
	run("source_labels: a | regex: (a|aa)+(a|aa)+[^a] | action: keep", before, &after, &limited);
	assert_true(sp_eq(sp_buf_view(&after), SP_LIT("dropped by 0")));
	sp_buf_free(&after);
}

/* Ten rules that double a value each would make 5 MB of 5,000 bytes. */
static void a_value_that_grows_too_long_is_not_made_and_is_counted(void **state)
{
	(void)state;
	char before[5000] = "a=";
	memset(before + 2, 'a', sizeof before - 3);
	struct sp_buf rules = {0}, after = {0};
	uint64_t limited;
	for (int i = 0; i < 10; i++)
		sp_buf_str(&rules, "source_labels: a | target_label: a | replacement: $1$1\n");
	sp_buf_u8(&rules, '\0');
	run((char *)rules.p, before, &after, &limited);
	assert_int_equal(after.n, 2 + 8 * (sizeof before - 3));
	assert_int_equal(limited, 7);
	sp_buf_free(&rules);
	sp_buf_free(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_action_does_what_prometheus_documents),
	    cmocka_unit_test(what_prometheus_refuses_is_refused_with_a_reason),
	    cmocka_unit_test(a_match_that_takes_too_long_is_no_match_and_is_counted),
	    cmocka_unit_test(a_value_that_grows_too_long_is_not_made_and_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
