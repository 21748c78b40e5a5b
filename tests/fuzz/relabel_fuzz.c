/* Any rules on any labels: what comes out is sorted, unique, without empty values, named as labels are, and the same the
 * second time. */
#include "proto/relabel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define RULES 6
#define TEXT_MAX 200

static void expect(bool true_)
{
	if (!true_)
		abort();
}

/* The next line, as a text of its own. */
static char *take_line(struct sp_bytes *in, struct sp_arena *a)
{
	const uint8_t *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
	size_t n = end ? (size_t)(end - in->p) : in->n, used = n < TEXT_MAX ? n : TEXT_MAX;
	char *line = sp_arena_alloc(a, used + 1);
	if (used)
		memcpy(line, in->p, used);
	line[used] = '\0';
	in->p += n + (end != NULL), in->n -= n + (end != NULL);
	return line;
}

/* A digit (how many rules), then eight lines a rule: action, two source labels, separator, regex, modulus, target_label,
 * replacement. */
static size_t take_rules(struct sp_bytes *in, Standpipe__Relabel **rules, struct sp_arena *a)
{
	uint8_t n = 0;
	if (!sp_take_u8(in, &n))
		return 0;
	n %= RULES + 1;
	for (size_t i = 0; i < n; i++) {
		Standpipe__Relabel *r = rules[i] = sp_arena_alloc(a, sizeof *r);
		standpipe__relabel__init(r);
		r->action = take_line(in, a);
		r->source_labels = sp_arena_alloc(a, 2 * sizeof(char *));
		for (int k = 0; k < 2; k++) {
			char *label = take_line(in, a);
			if (*label)
				r->source_labels[r->n_source_labels++] = label;
		}
		r->separator = take_line(in, a);
		r->regex = take_line(in, a);
		r->modulus = strtoull(take_line(in, a), NULL, 10);
		r->target_label = take_line(in, a);
		r->replacement = take_line(in, a);
	}
	return n;
}

static bool is_name(struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '_' && !(i && c >= '0' && c <= '9'))
			return false;
	}
	return s.n > 0;
}

/* Lines "name" and "value" in turn. */
static int run(struct relabel *r, struct sp_bytes in, struct relabel_set *set, struct sp_arena *a)
{
	int by;
	for (int i = 0; i < 70 && in.n; i++) {
		struct sp_bytes name = sp_str(take_line(&in, a)), value = sp_str(take_line(&in, a));
		if (is_name(name))
			relabel_put(set, name, value);
	}
	expect(relabel_run(r, set, a, &by) == SP_OK);
	for (size_t i = 0; i < set->n; i++) {
		expect(is_name(set->v[i].name) && set->v[i].value.n);
		expect(i == 0 || sp_cmp(set->v[i - 1].name, set->v[i].name) < 0);
	}
	return by;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_bytes in = sp_bytes(data, n);
	struct sp_arena *a = sp_arena_new(0);
	Standpipe__Relabel *rules[RULES];
	struct relabel *r;
	struct relabel_set first = {0}, second = {0};
	size_t n_rules = take_rules(&in, rules, a);
	if (relabel_new(rules, n_rules, &r, NULL) == SP_OK) {
		int by = run(r, in, &first, a);
		expect(by < (int)n_rules && by == run(r, in, &second, a) && first.n == second.n);
		for (size_t i = 0; i < first.n; i++)
			expect(sp_eq(first.v[i].name, second.v[i].name) && sp_eq(first.v[i].value, second.v[i].value));
		relabel_free(&r);
	}
	relabel_set_free(&first);
	relabel_set_free(&second);
	sp_arena_free(&a);
	return 0;
}
