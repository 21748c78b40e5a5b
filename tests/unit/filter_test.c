/* Which points a destination takes. */
#include "convert/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define LIST(...) (char **)(const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)

static void globs(char ***to, size_t *n, char **v, size_t n_v)
{
	*to = v;
	*n = n_v;
}

static const char *verdict(const struct filter *f, const char *ns, const char *metric, const char *dims, const char *account)
{
	struct cw_dim v[4];
	size_t n = 0;
	for (const char *d = dims; *d; d++)
		v[n++] = (struct cw_dim){sp_bytes(d, 1), SP_LIT("x")};
	struct filter_mask m = filter_metric(f, sp_str(ns), sp_str(metric)), s = filter_dims(f, v, n),
			   o = filter_origin(f, sp_str(account), SP_LIT("eu-west-1"));
	int by = filter_verdict(f, &m, &s, &o);
	assert_true(by < filter_verdicts(f));
	return by < 0 ? "passes" : filter_name(f, by);
}

static struct filter *filter_of(Standpipe__FilterSet **sets, size_t n)
{
	Standpipe__Group group = STANDPIPE__GROUP__INIT;
	struct filter *f;
	group.filter_sets = sets;
	group.n_filter_sets = n;
	assert_int_equal(filter_new(&group, &f, NULL), SP_OK);
	return f;
}

static void a_glob_fits_the_whole_text(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a", "a", true}, {"a", "A", false},
	    {"a", "ab", false}, {"AWS/*", "AWS/EC2", true}, {"AWS/*", "AWS", false}, {"*/EC2", "AWS/EC2", true},
	    {"?", "", false}, {"?", "a", true}, {"??", "a", false}, {"a?c", "abc", true}, {"a*b*c", "aXbXbXc", true},
	    {"a*b*c", "aXcXb", false}, {"*a", "aaab", false}, {"*aab", "aaaaab", true}, {"a**b", "ab", true},
	    {"[a]", "a", false}, {"a.c", "abc", false}, {"*?", "", false}, {"?*", "x", true}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (sp_glob(sp_str(cases[i].pattern), sp_str(cases[i].text)) != cases[i].fits)
			fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].text);
	}
}

/* A pattern that a matcher with two open stars would try in 2^30 ways. */
static void a_hostile_name_costs_no_more_than_its_length(void **state)
{
	(void)state;
	char name[4001];
	memset(name, 'a', 4000);
	name[4000] = '\0';
	assert_false(sp_glob(SP_LIT("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab"), sp_str(name)));
}

static void rules_include_and_exclude(void **state)
{
	(void)state;
	Standpipe__Filter ec2 = STANDPIPE__FILTER__INIT, mine = STANDPIPE__FILTER__INIT, no_asg = STANDPIPE__FILTER__INIT;
	ec2.name = (char *)"ec2";
	globs(&ec2.namespaces, &ec2.n_namespaces, LIST("AWS/EC2", "AWS/E?S"));
	globs(&ec2.metrics, &ec2.n_metrics, LIST("CPU*"));
	mine.name = (char *)"mine";
	globs(&mine.accounts, &mine.n_accounts, LIST("1*"));
	no_asg.name = (char *)"no_asg";
	no_asg.exclude = true;
	globs(&no_asg.dimensions, &no_asg.n_dimensions, LIST("A"));
	Standpipe__FilterSet set = STANDPIPE__FILTER_SET__INIT;
	set.filters = (Standpipe__Filter *[]){&ec2, &mine, &no_asg};
	set.n_filters = 3;
	struct filter *f = filter_of((Standpipe__FilterSet *[]){&set}, 1);
	assert_string_equal(verdict(f, "AWS/EC2", "CPUUtilization", "I", "2"), "passes");
	assert_string_equal(verdict(f, "AWS/EBS", "CPU", "", "2"), "passes");
	assert_string_equal(verdict(f, "AWS/EC2", "NetworkIn", "I", "2"), "not_included");
	assert_string_equal(verdict(f, "Other", "NetworkIn", "I", "12"), "passes");
	assert_string_equal(verdict(f, "Other", "NetworkIn", "AI", "12"), "no_asg");
	assert_string_equal(verdict(f, "Other", "x", "AI", "2"), "no_asg"); /* what excludes is named, whatever includes */
	filter_free(&f);
}

static void dimensions_are_wanted_or_unwanted(void **state)
{
	(void)state;
	static const struct {
		const char *items[3];
		size_t n;
		const char *takes, *refuses; /* words of one-letter dimensions */
	} cases[] = {{{"A"}, 1, "A AB", "B -"}, {{"A", "B"}, 2, "AB ABC", "A B -"}, {{"!*"}, 1, "-", "A AB"},
	    {{"A", "!B"}, 2, "A AC", "AB B -"}, {{"?", "!C"}, 2, "A B AB", "C AC -"}, {{NULL}, 0, "- A", ""}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Standpipe__Filter rule = STANDPIPE__FILTER__INIT;
		Standpipe__FilterSet set = STANDPIPE__FILTER_SET__INIT;
		rule.name = (char *)"rule";
		rule.dimensions = (char **)cases[i].items;
		rule.n_dimensions = cases[i].n;
		set.filters = (Standpipe__Filter *[]){&rule};
		set.n_filters = 1;
		struct filter *f = filter_of((Standpipe__FilterSet *[]){&set}, 1);
		for (int want = 0; want < 2; want++) {
			for (const char *w = want ? cases[i].takes : cases[i].refuses; *w; w += strcspn(w, " "), w += *w == ' ') {
				char dims[4] = "";
				memcpy(dims, w, *w == '-' ? 0 : strcspn(w, " "));
				if ((strcmp(verdict(f, "n", "m", dims, "1"), "passes") == 0) != want)
					fail_msg("case %zu, dimensions \"%s\"", i, dims);
			}
		}
		filter_free(&f);
	}
}

static void a_point_must_pass_the_destinations_and_the_keys_set(void **state)
{
	(void)state;
	Standpipe__Filter a = STANDPIPE__FILTER__INIT, b = STANDPIPE__FILTER__INIT;
	a.name = (char *)"destination";
	a.exclude = true;
	globs(&a.metrics, &a.n_metrics, LIST("x"));
	b.name = (char *)"key";
	globs(&b.namespaces, &b.n_namespaces, LIST("AWS/*"));
	Standpipe__FilterSet first = STANDPIPE__FILTER_SET__INIT, second = STANDPIPE__FILTER_SET__INIT;
	first.filters = (Standpipe__Filter *[]){&a};
	second.filters = (Standpipe__Filter *[]){&b};
	first.n_filters = second.n_filters = 1;
	struct filter *f = filter_of((Standpipe__FilterSet *[]){&first, &second}, 2);
	assert_string_equal(verdict(f, "AWS/S3", "y", "", "1"), "passes");
	assert_string_equal(verdict(f, "AWS/S3", "x", "", "1"), "destination");
	assert_string_equal(verdict(f, "Mine", "y", "", "1"), "not_included");
	filter_free(&f);
}

/* 64 rules use every bit of a mask; the 65th has none. */
static void a_set_has_at_most_64_rules(void **state)
{
	(void)state;
	Standpipe__Filter rules[FILTER_RULES_MAX + 1], *pointers[FILTER_RULES_MAX + 1];
	const char *metrics[] = {"other", "last"};
	for (size_t i = 0; i <= FILTER_RULES_MAX; i++) {
		bool last = i == FILTER_RULES_MAX - 1;
		standpipe__filter__init(&rules[i]);
		globs(&rules[i].metrics, &rules[i].n_metrics, (char **)&metrics[last], 1);
		rules[i].exclude = last;
		rules[i].name = (char *)metrics[last];
		pointers[i] = &rules[i];
	}
	Standpipe__FilterSet set = STANDPIPE__FILTER_SET__INIT;
	set.filters = pointers;
	set.n_filters = FILTER_RULES_MAX;
	struct filter *f = filter_of((Standpipe__FilterSet *[]){&set}, 1);
	assert_string_equal(verdict(f, "n", "last", "", "1"), "last");
	assert_string_equal(verdict(f, "n", "other", "", "1"), "passes");
	filter_free(&f);
	Standpipe__Group group = STANDPIPE__GROUP__INIT;
	struct sp_why why;
	set.n_filters++;
	group.filter_sets = (Standpipe__FilterSet *[]){&set};
	group.n_filter_sets = 1;
	assert_int_equal(filter_new(&group, &f, &why), SP_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_glob_fits_the_whole_text),
	    cmocka_unit_test(a_hostile_name_costs_no_more_than_its_length),
	    cmocka_unit_test(rules_include_and_exclude),
	    cmocka_unit_test(dimensions_are_wanted_or_unwanted),
	    cmocka_unit_test(a_point_must_pass_the_destinations_and_the_keys_set),
	    cmocka_unit_test(a_set_has_at_most_64_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
