#include "proto/relabel.h"

#include "common/alloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <md5.h>
#include <stdio.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define HEAP_LIMIT_KIB 1024
#define JIT_STACK_BYTES ((size_t)256 << 10)

enum action { REPLACE, KEEP, DROP, KEEPEQUAL, DROPEQUAL, HASHMOD, LABELMAP, LABELDROP, LABELKEEP, LOWERCASE, UPPERCASE, ACTIONS };

static const char *const action_names[ACTIONS] = {"replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap",
    "labeldrop", "labelkeep", "lowercase", "uppercase"};

struct rule {
	enum action action;
	struct sp_bytes *sources;
	size_t n_sources;
	struct sp_bytes separator, target, replacement;
	uint64_t modulus;
	pcre2_code *regex; /* NULL: Prometheus' default, (.*) */
	pcre2_match_data *groups;
};

struct relabel {
	struct sp_arena *texts; /* of the rules */
	struct rule *rules;
	size_t n;
	pcre2_match_context *limits;
	pcre2_jit_stack *stack;
	struct sp_buf joined, made;
	uint64_t limited;
};

/* ---- labels ---- */

static size_t place_of(const struct relabel_set *set, struct sp_bytes name, bool *is_there)
{
	size_t i = set->n;
	int c = 1;
	while (i > 0 && (c = sp_cmp(set->v[i - 1].name, name)) > 0)
		i--;
	*is_there = i > 0 && c == 0;
	return *is_there ? i - 1 : i;
}

void relabel_put(struct relabel_set *set, struct sp_bytes name, struct sp_bytes value)
{
	bool is_there;
	size_t i = place_of(set, name, &is_there);
	if (is_there && value.n) {
		set->v[i].value = value;
	} else if (is_there) {
		memmove(&set->v[i], &set->v[i + 1], (--set->n - i) * sizeof(*set->v));
	} else if (value.n) {
		set->v = sp_grow(set->v, set->n, &set->cap, sizeof(*set->v));
		memmove(&set->v[i + 1], &set->v[i], (set->n++ - i) * sizeof(*set->v));
		set->v[i] = (struct rw_label){name, value};
	}
}

struct sp_bytes relabel_get(const struct relabel_set *set, struct sp_bytes name)
{
	bool is_there;
	size_t i = place_of(set, name, &is_there);
	return is_there ? set->v[i].value : (struct sp_bytes){0};
}

void relabel_set_free(struct relabel_set *set)
{
	sp_free(set->v);
	*set = (struct relabel_set){0};
}

/* ---- rules as configured ---- */

static size_t word_len(struct sp_bytes s)
{
	size_t n = 0;
	while (n < s.n && (isalnum(s.p[n]) || s.p[n] == '_'))
		n++;
	return n;
}

static bool has_reference(struct sp_bytes template)
{
	return template.n && memchr(template.p, '$', template.n);
}

/* The name behind a "$" that *in has just passed: ${name} or $name. False when there is none. */
static bool take_reference(struct sp_bytes *in, struct sp_bytes *name)
{
	struct sp_bytes rest = *in;
	bool braces = rest.n && rest.p[0] == '{';
	if (braces)
		rest.p++, rest.n--;
	*name = sp_bytes(rest.p, word_len(rest));
	rest.p += name->n, rest.n -= name->n;
	if (name->n == 0 || (braces && !(rest.n && rest.p[0] == '}')))
		return false;
	if (braces)
		rest.p++, rest.n--;
	*in = rest;
	return true;
}

/* Could it become the name of a label? */
static bool is_name_template(struct sp_bytes s)
{
	struct sp_bytes name;
	if (s.n == 0 || isdigit(s.p[0]))
		return false;
	while (s.n) {
		uint8_t c = s.p[0];
		s.p++, s.n--;
		if (c == '$' ? !take_reference(&s, &name) : !isalnum(c) && c != '_')
			return false;
	}
	return true;
}

static enum sp_status set_action(struct rule *rule, const char *name, struct sp_why *why)
{
	while (rule->action < ACTIONS && !sp_eq_nocase(sp_str(name), sp_str(action_names[rule->action])))
		rule->action++;
	return rule->action < ACTIONS ? SP_OK
				      : sp_fail(why, SP_CONFIG,
					    "action \"%.40s\" is not known; right is one of replace, keep, drop, keepequal, dropequal, "
					    "hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase",
					    name);
}

static enum sp_status set_regex(struct rule *rule, const char *text, struct sp_why *why)
{
	int code;
	PCRE2_SIZE at;
	PCRE2_UCHAR words[160] = "";
	if (rule->action == LOWERCASE || rule->action == UPPERCASE)
		text = ".*";
	if (strcmp(text, "(.*)") == 0)
		return SP_OK;
	rule->regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	    PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code,
	    &at, NULL);
	if (!rule->regex) {
		pcre2_get_error_message(code, words, sizeof words);
		return sp_fail(why, SP_CONFIG, "regex \"%.100s\" is wrong at character %zu: %s", text, (size_t)at, (char *)words);
	}
	pcre2_jit_compile(rule->regex, PCRE2_JIT_COMPLETE); /* where there is no JIT the interpreter does it */
	rule->groups = pcre2_match_data_create_from_pattern(rule->regex, NULL);
	SP_BUG_IF(!rule->groups);
	return SP_OK;
}

static enum sp_status check_target(const struct rule *rule, struct sp_why *why)
{
	static const bool needs[ACTIONS] = {[REPLACE] = true, [KEEPEQUAL] = true, [DROPEQUAL] = true, [HASHMOD] = true,
	    [LOWERCASE] = true, [UPPERCASE] = true};
	if (!needs[rule->action])
		return SP_OK;
	if (rule->target.n == 0)
		return sp_fail(why, SP_CONFIG, "action %s needs target_label", action_names[rule->action]);
	if (rule->action == REPLACE ? is_name_template(rule->target) : sp_is_name(rule->target, false))
		return SP_OK;
	return sp_fail(why, SP_CONFIG,
	    "target_label \"%.*s\" is not the name of a label: right are letters, digits and _, no digit first", (int)rule->target.n,
	    (const char *)rule->target.p);
}

static enum sp_status check_rule(const struct rule *rule, const Standpipe__Relabel *from, struct sp_why *why)
{
	bool equal = rule->action == KEEPEQUAL || rule->action == DROPEQUAL;
	bool names_only = rule->action == LABELDROP || rule->action == LABELKEEP;
	bool more = from->modulus || !sp_eq(rule->separator, SP_LIT(";")) || !sp_eq(rule->replacement, SP_LIT("$1"));
	if (rule->action == HASHMOD && rule->modulus == 0)
		return sp_fail(why, SP_CONFIG, "action hashmod needs modulus, a number over 0");
	enum sp_status status = check_target(rule, why);
	if (status != SP_OK)
		return status;
	if (rule->action == LABELMAP && !is_name_template(rule->replacement))
		return sp_fail(why, SP_CONFIG, "replacement \"%.*s\" is not the name of a label, as action labelmap needs it",
		    (int)rule->replacement.n, (const char *)rule->replacement.p);
	if (equal && (more || rule->regex))
		return sp_fail(why, SP_CONFIG, "action %s takes source_labels and target_label, nothing else",
		    action_names[rule->action]);
	if (names_only && (more || rule->n_sources || rule->target.n))
		return sp_fail(why, SP_CONFIG, "action %s takes regex, nothing else", action_names[rule->action]);
	for (size_t i = 0; i < rule->n_sources; i++) {
		if (!sp_is_name(rule->sources[i], false))
			return sp_fail(why, SP_CONFIG, "source label \"%.*s\" is not the name of a label", (int)rule->sources[i].n,
			    (const char *)rule->sources[i].p);
	}
	return SP_OK;
}

static enum sp_status add_rule(struct relabel *r, const Standpipe__Relabel *from, struct sp_why *why)
{
	struct rule *rule = &r->rules[r->n++];
	rule->separator = sp_arena_copy(r->texts, sp_str(from->separator));
	rule->target = sp_arena_copy(r->texts, sp_str(from->target_label));
	rule->replacement = sp_arena_copy(r->texts, sp_str(from->replacement));
	rule->modulus = from->modulus;
	rule->sources = sp_new_array(struct sp_bytes, from->n_source_labels + 1);
	for (; rule->n_sources < from->n_source_labels; rule->n_sources++)
		rule->sources[rule->n_sources] = sp_arena_copy(r->texts, sp_str(from->source_labels[rule->n_sources]));
	enum sp_status status = set_action(rule, from->action, why);
	if (status == SP_OK)
		status = set_regex(rule, from->regex, why);
	return status == SP_OK ? check_rule(rule, from, why) : status;
}

enum sp_status relabel_new(Standpipe__Relabel *const *rules, size_t n, struct relabel **out, struct sp_why *why)
{
	struct sp_why of_rule = {.text = ""};
	struct relabel *r = sp_new(struct relabel);
	enum sp_status status = SP_OK;
	r->texts = sp_arena_new(0);
	r->rules = sp_new_array(struct rule, n + 1);
	r->joined.max = r->made.max = RELABEL_VALUE_MAX;
	r->limits = pcre2_match_context_create(NULL);
	r->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_BYTES, NULL); /* NULL without JIT */
	SP_BUG_IF(!r->limits);
	pcre2_set_match_limit(r->limits, RELABEL_MATCH_LIMIT);
	pcre2_set_depth_limit(r->limits, RELABEL_MATCH_LIMIT);
	pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
	pcre2_jit_stack_assign(r->limits, NULL, r->stack);
	while (r->n < n && status == SP_OK)
		status = add_rule(r, rules[r->n], &of_rule);
	if (status == SP_OK) {
		*out = r;
		return SP_OK;
	}
	sp_fail(why, status, "%zu: %s", r->n - 1, of_rule.text);
	relabel_free(&r);
	return status;
}

void relabel_free(struct relabel **rp)
{
	struct relabel *r = *rp;
	*rp = NULL;
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		pcre2_match_data_free(r->rules[i].groups);
		pcre2_code_free(r->rules[i].regex);
		sp_free(r->rules[i].sources);
	}
	pcre2_match_context_free(r->limits);
	pcre2_jit_stack_free(r->stack);
	sp_arena_free(&r->texts);
	sp_free(r->rules);
	sp_buf_free(&r->joined);
	sp_buf_free(&r->made);
	sp_free(r);
}

uint64_t relabel_limited(const struct relabel *r)
{
	return r->limited;
}

/* ---- a rule at work ---- */

/* The values of the source labels in one text, valid until the next call. */
static struct sp_bytes join_sources(struct relabel *r, const struct rule *rule, const struct relabel_set *labels)
{
	if (rule->n_sources == 1)
		return relabel_get(labels, rule->sources[0]);
	sp_buf_clear(&r->joined);
	for (size_t i = 0; i < rule->n_sources; i++) {
		if (i)
			sp_buf_add(&r->joined, rule->separator);
		sp_buf_add(&r->joined, relabel_get(labels, rule->sources[i]));
	}
	return sp_buf_view(&r->joined);
}

static bool fits(struct relabel *r, const struct rule *rule, struct sp_bytes text)
{
	if (!rule->regex)
		return true;
	int n = pcre2_match(rule->regex, text.n ? text.p : (PCRE2_SPTR) "", text.n, 0, 0, rule->groups, r->limits);
	r->limited += n < 0 && n != PCRE2_ERROR_NOMATCH;
	return n >= 0;
}

/* What the group of this name took of the text that the rule has just fitted; empty when there is no such group. */
static struct sp_bytes group_value(const struct rule *rule, struct sp_bytes name, struct sp_bytes text)
{
	char word[64];
	uint32_t number = 0;
	bool is_number = name.n <= 8 && (name.n == 1 || name.p[0] != '0');
	for (size_t i = 0; i < name.n && is_number; i++) {
		is_number = name.p[i] >= '0' && name.p[i] <= '9';
		number = number * 10 + (name.p[i] - '0');
	}
	if (!rule->regex)
		return is_number && number <= 1 ? text : (struct sp_bytes){0};
	if (!is_number) {
		if (name.n >= sizeof word)
			return (struct sp_bytes){0};
		memcpy(word, name.p, name.n);
		word[name.n] = '\0';
		int found = pcre2_substring_number_from_name(rule->regex, (PCRE2_SPTR)word);
		if (found < 0)
			return (struct sp_bytes){0};
		number = (uint32_t)found;
	}
	const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(rule->groups);
	if (number >= pcre2_get_ovector_count(rule->groups) || ends[2 * number] == PCRE2_UNSET ||
	    ends[2 * number] == ends[2 * number + 1]) /* the text may be empty, and then it has no address */
		return (struct sp_bytes){0};
	return sp_bytes(text.p + ends[2 * number], ends[2 * number + 1] - ends[2 * number]);
}

/* Takes what r->made holds into the arena. False when it is too long: nothing is to be changed. */
static bool keep_made(struct relabel *r, struct sp_arena *arena, struct sp_bytes *out, enum sp_status *status)
{
	bool fine = sp_buf_ok(&r->made);
	r->limited += !fine;
	*out = fine ? sp_arena_copy(arena, sp_buf_view(&r->made)) : (struct sp_bytes){0};
	if (fine && r->made.n && !out->p)
		*status = SP_NO_MEM;
	r->made.failed = false;
	return fine && *status == SP_OK;
}

/* The template with its references filled in. A template without any stays where it is. */
static bool expand(struct relabel *r, const struct rule *rule, struct sp_bytes template, struct sp_bytes text,
    struct sp_arena *arena, struct sp_bytes *out, enum sp_status *status)
{
	struct sp_bytes name;
	*out = template;
	if (!has_reference(template))
		return true;
	sp_buf_clear(&r->made);
	while (template.n) {
		uint8_t c = template.p[0];
		template.p++, template.n--;
		if (c == '$' && template.n && template.p[0] == '$')
			template.p++, template.n--;
		else if (c == '$' && take_reference(&template, &name)) {
			sp_buf_add(&r->made, group_value(rule, name, text));
			continue;
		}
		sp_buf_u8(&r->made, c);
	}
	return keep_made(r, arena, out, status);
}

static enum sp_status replace(struct relabel *r, const struct rule *rule, struct sp_bytes text, struct relabel_set *labels,
    struct sp_arena *arena)
{
	struct sp_bytes target, value;
	enum sp_status status = SP_OK;
	if (fits(r, rule, text) && expand(r, rule, rule->target, text, arena, &target, &status) && sp_is_name(target, false) &&
	    expand(r, rule, rule->replacement, text, arena, &value, &status))
		relabel_put(labels, target, value);
	return status;
}

static enum sp_status hashmod(struct relabel *r, const struct rule *rule, struct sp_bytes text, struct relabel_set *labels,
    struct sp_arena *arena)
{
	uint8_t digest[MD5_DIGEST_LENGTH];
	MD5_CTX md5;
	uint64_t number = 0;
	struct sp_bytes value;
	enum sp_status status = SP_OK;
	MD5Init(&md5);
	MD5Update(&md5, text.p, text.n);
	MD5Final(digest, &md5);
	for (int i = 8; i < 16; i++)
		number = number << 8 | digest[i];
	sp_buf_clear(&r->made);
	sp_buf_printf(&r->made, "%" PRIu64, number % rule->modulus);
	if (keep_made(r, arena, &value, &status))
		relabel_put(labels, rule->target, value);
	return status;
}

static enum sp_status change_case(struct relabel *r, const struct rule *rule, struct sp_bytes text,
    struct relabel_set *labels, struct sp_arena *arena)
{
	const char *to = rule->action == LOWERCASE ? "\\L$0" : "\\U$0";
	PCRE2_SIZE n = 2 * text.n + 1; /* a letter's other case takes at most one byte more, from two */
	struct sp_bytes value;
	enum sp_status status = SP_OK;
	sp_buf_clear(&r->made);
	uint8_t *room = sp_buf_room(&r->made, n);
	if (text.n && room) {
		int rc = pcre2_substitute(rule->regex, text.p, text.n, 0, PCRE2_SUBSTITUTE_EXTENDED, rule->groups, r->limits,
		    (PCRE2_SPTR)to, PCRE2_ZERO_TERMINATED, room, &n);
		r->made.n = rc > 0 ? n : 0;
		r->made.failed = rc <= 0;
	}
	if (keep_made(r, arena, &value, &status))
		relabel_put(labels, rule->target, value);
	return status;
}

/* Names as they were before the rule: what it adds is not mapped again. Of several that get one name the last counts. */
static enum sp_status map_labels(
    struct relabel *r, const struct rule *rule, struct relabel_set *labels, struct sp_arena *arena)
{
	size_t n = labels->n;
	enum sp_status status = SP_OK;
	struct rw_label *before = sp_arena_alloc(arena, n * sizeof(*before) + 1);
	if (!before)
		return SP_NO_MEM;
	if (n)
		memcpy(before, labels->v, n * sizeof(*before));
	for (size_t i = 0; i < n && status == SP_OK; i++) {
		struct sp_bytes name;
		if (fits(r, rule, before[i].name) &&
		    expand(r, rule, rule->replacement, before[i].name, arena, &name, &status) && sp_is_name(name, false))
			relabel_put(labels, name, before[i].value);
	}
	return status;
}

static void drop_labels(struct relabel *r, const struct rule *rule, struct relabel_set *labels)
{
	size_t kept = 0;
	for (size_t i = 0; i < labels->n; i++) {
		if (fits(r, rule, labels->v[i].name) == (rule->action == LABELKEEP))
			labels->v[kept++] = labels->v[i];
	}
	labels->n = kept;
}

static enum sp_status run_rule(
    struct relabel *r, const struct rule *rule, struct relabel_set *labels, struct sp_arena *arena, bool *keep)
{
	struct sp_bytes text = join_sources(r, rule, labels);
	*keep = true;
	if (!sp_buf_ok(&r->joined)) {
		r->joined.failed = false;
		r->limited++;
		return SP_OK;
	}
	switch (rule->action) {
	case KEEP:
		*keep = fits(r, rule, text);
		return SP_OK;
	case DROP:
		*keep = !fits(r, rule, text);
		return SP_OK;
	case KEEPEQUAL:
		*keep = sp_eq(relabel_get(labels, rule->target), text);
		return SP_OK;
	case DROPEQUAL:
		*keep = !sp_eq(relabel_get(labels, rule->target), text);
		return SP_OK;
	case HASHMOD:
		return hashmod(r, rule, text, labels, arena);
	case LABELMAP:
		return map_labels(r, rule, labels, arena);
	case LABELDROP:
	case LABELKEEP:
		drop_labels(r, rule, labels);
		return SP_OK;
	case LOWERCASE:
	case UPPERCASE:
		return change_case(r, rule, text, labels, arena);
	default: /* REPLACE */
		return replace(r, rule, text, labels, arena);
	}
}

enum sp_status relabel_run(struct relabel *r, struct relabel_set *labels, struct sp_arena *arena, int *dropped_by)
{
	*dropped_by = -1;
	for (size_t i = 0; i < r->n; i++) {
		bool keep;
		enum sp_status status = run_rule(r, &r->rules[i], labels, arena, &keep);
		if (status != SP_OK)
			return status;
		if (!keep) {
			*dropped_by = (int)i;
			return SP_OK;
		}
	}
	return SP_OK;
}
