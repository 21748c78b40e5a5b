#include "common/conf_list.h"

#include "common/alloc.h"
#include "common/keys_dir.h"
#include "common/log.h"
#include "common/receivers.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

enum type { STR, FILE_, BOOL, COUNT, SIZE, TIME, CHOICE, LIST, MAP, RULES };
#define FILE FILE_ /* the word of the list; stdio's is not used here */
enum { I = SP_ROLE_INGEST, C = SP_ROLE_CONVERT, S = SP_ROLE_SHIP, R = SP_ROLE_RUN, ALL = SP_ROLE_ALL };

struct def {
	enum type type;
	size_t offset;
	const char *path, *init, *range;
	unsigned roles;
	const char *help;
};

static const struct def top_defs[] = {
#define SETTING(type, field, path, init, range, roles, help)                                                           \
	{type, offsetof(struct settings, field), path, init, range, roles, help},
#include "common/settings.def"
};
static const struct def key_defs[] = {
#define KEY_SETTING(type, field, path, init, range, roles, help)                                                       \
	{type, offsetof(struct key_settings, field), path, init, range, roles, help},
#include "common/settings.def"
};
static const struct def dest_defs[] = {
#define DEST_SETTING(type, field, path, init, range, roles, help)                                                      \
	{type, offsetof(struct dest_settings, field), path, init, range, roles, help},
#include "common/settings.def"
};
#undef FILE

/* The three groups of settings, and where they hang. */
static const struct group {
	const char *section; /* named things live below it; "" = top level */
	const struct def *defs;
	size_t n;
} groups[] = {{"", top_defs, sizeof top_defs / sizeof top_defs[0]},
    {"keys", key_defs, sizeof key_defs / sizeof key_defs[0]},
    {"destinations", dest_defs, sizeof dest_defs / sizeof dest_defs[0]}};
enum { TOP, KEYS, DESTS, GROUPS };

struct unit {
	const char *name;
	int64_t factor;
};
static const struct unit times[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"y", 31536000000}, {0}};
static const struct unit sizes[] = {
    {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}, {0}};
static const struct unit counts[] = {{"", 1}, {0}};

/* ---- names ---- */

/* [a-z][a-z0-9]*(_[a-z0-9]+)* */
static bool name_ok(const char *s, size_t n)
{
	if (n == 0 || n > 64 || !(s[0] >= 'a' && s[0] <= 'z') || s[n - 1] == '_')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && !(s[i] == '_' && s[i - 1] != '_'))
			return false;
	return true;
}

bool key_name_ok(const char *name)
{
	return name_ok(name, strlen(name));
}

/* Which group a path belongs to, the name within it, and the path below that name ("" for the name itself). */
static enum sp_status path_split(const char *path, int *group, struct sp_bytes *name, const char **rest)
{
	*group = TOP;
	*rest = path;
	*name = (struct sp_bytes){0};
	for (int g = KEYS; g < GROUPS; g++) {
		size_t n = strlen(groups[g].section);
		if (strncmp(path, groups[g].section, n) != 0 || path[n] != '.')
			continue;
		size_t name_n = strcspn(path + n + 1, ".");
		*group = g;
		*name = sp_bytes(path + n + 1, name_n);
		*rest = path + n + 1 + name_n + (path[n + 1 + name_n] == '.');
		return name_ok(path + n + 1, name_n) ? SP_OK : SP_CONFIG;
	}
	return SP_OK;
}

static const struct def *def_find(int group, const char *rest)
{
	for (size_t i = 0; i < groups[group].n; i++) {
		const struct def *d = &groups[group].defs[i];
		size_t n = strlen(d->path);
		if (strcmp(d->path, rest) == 0 ||
		    ((d->type == MAP || d->type == RULES) && strncmp(d->path, rest, n) == 0 && rest[n] == '.' && rest[n + 1]))
			return d;
	}
	return NULL;
}

/* Does any setting lie below this path? */
static bool is_section(int group, const char *rest)
{
	size_t n = strlen(rest);
	if (group != TOP && n == 0)
		return true;
	for (int g = KEYS; group == TOP && g < GROUPS; g++)
		if (strcmp(groups[g].section, rest) == 0)
			return true;
	for (size_t i = 0; i < groups[group].n; i++)
		if (strncmp(groups[group].defs[i].path, rest, n) == 0 && groups[group].defs[i].path[n] == '.')
			return true;
	return false;
}

unsigned settings_roles_of(const char *path)
{
	int group;
	struct sp_bytes name;
	const char *rest;
	if (path_split(path, &group, &name, &rest) != SP_OK)
		return 0;
	const struct def *d = def_find(group, rest);
	if (d)
		return d->roles;
	/* "destinations.mimir:" without anything below it still says that there is one. */
	return group != TOP && rest[0] == '\0' ? groups[group].defs[0].roles : 0;
}

/* ---- values ---- */

/* A number and a unit; false when it is none. *out is written only then. */
static bool number_parse(const char *s, const struct unit *units, int64_t *out)
{
	int64_t v = 0;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *s - '0', &v))
			return false;
	for (; units->name; units++)
		if (strcmp(units->name, s) == 0)
			return !__builtin_mul_overflow(v, units->factor, out);
	return false;
}

bool time_parse(const char *text, int64_t *out_ms)
{
	return number_parse(text, times, out_ms);
}

static const struct unit *units_of(enum type type)
{
	return type == TIME ? times : type == SIZE ? sizes : counts;
}

static bool in_range(const struct def *d, int64_t v)
{
	char low[32];
	const char *dots = strstr(d->range, "..");
	int64_t bound;
	if (!dots)
		return true;
	size_t n = (size_t)(dots - d->range);
	SP_BUG_IF(n >= sizeof low);
	memcpy(low, d->range, n);
	low[n] = '\0';
	SP_BUG_IF(!number_parse(low, units_of(d->type), &bound));
	if (v < bound)
		return false;
	if (dots[2] == '\0')
		return true;
	SP_BUG_IF(!number_parse(dots + 2, units_of(d->type), &bound));
	return v <= bound;
}

/* "a|b|c" holds s; an empty list of choices takes everything. */
static bool is_choice(const char *choices, const char *s)
{
	size_t n = strlen(s);
	if (!*choices)
		return true;
	for (const char *at = choices; *at; at += strcspn(at, "|"), at += *at == '|')
		if (strcspn(at, "|") == n && strncmp(at, s, n) == 0)
			return true;
	return false;
}

static void list_free(struct sp_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		sp_free(l->v[i]);
	sp_free(l->v);
	*l = (struct sp_list){0};
}

/* Items without the blanks around them; empty ones do not count. */
static void list_parse(const char *s, char sep, struct sp_list *out)
{
	list_free(out);
	for (;;) {
		const char *end = strchrnul(s, sep), *from = s, *to = end;
		while (from < to && isspace((unsigned char)*from))
			from++;
		while (to > from && isspace((unsigned char)to[-1]))
			to--;
		if (to > from) {
			out->v = sp_realloc(out->v, (out->n + 1) * sizeof(char *));
			out->v[out->n++] = sp_strndup(from, (size_t)(to - from));
		}
		if (!*end)
			return;
		s = end + 1;
	}
}

void sp_map_put(struct sp_map *m, const char *name, const char *value)
{
	m->names = sp_realloc(m->names, (m->n + 1) * sizeof(char *));
	m->values = sp_realloc(m->values, (m->n + 1) * sizeof(char *));
	m->names[m->n] = sp_strdup(name);
	m->values[m->n++] = sp_strdup(value);
}

void sp_map_free(struct sp_map *m)
{
	for (size_t i = 0; i < m->n; i++)
		sp_free(m->names[i]), sp_free(m->values[i]);
	sp_free(m->names);
	sp_free(m->values);
	sp_free(m->origin);
}

const char *sp_map_get(const struct sp_map *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->names[i], name) == 0)
			return m->values[i];
	return NULL;
}

static void rule_note_origin(struct sp_rules *rules, const char *at, const char *origin)
{
	struct sp_map *rule = &rules->v[strtoul(at, NULL, 10)];
	if (!rule->origin)
		rule->origin = sp_strdup(origin);
}

/* at: "0.regex", that is the rule's place and what it says. */
static bool rule_put(const struct def *d, struct sp_rules *rules, const char *at, const char *s, const char **right)
{
	char *key;
	unsigned long place = strtoul(at, &key, 10);
	*right = "a list of rules, the first numbered 0";
	if (key == at || *key != '.' || place > rules->n)
		return false;
	*right = d->range;
	if (!is_choice(d->range, key + 1))
		return false;
	if (place == rules->n) {
		rules->v = sp_realloc(rules->v, (rules->n + 1) * sizeof *rules->v);
		rules->v[rules->n++] = (struct sp_map){0};
	}
	sp_map_put(&rules->v[place], key + 1, s);
	return true;
}

/* Writes the value into the struct at base; on failure says in `right` what would be right. rest: for the name in a
 * map. */
static bool value_parse(
    const struct def *d, char *base, const char *rest, const char *s, enum conf_kind kind, const char **right)
{
	void *field = base + d->offset;
	int64_t v;
	switch (d->type) {
	case STR:
	case FILE_:
	case CHOICE:
		*right = "text without a line break";
		if (strpbrk(s, "\r\n"))
			return false;
		*right = d->range;
		if (d->type == CHOICE && !is_choice(d->range, s))
			return false;
		sp_free(*(char **)field);
		*(char **)field = *s ? sp_strdup(s) : NULL;
		return true;
	case BOOL:
		*right = "true or false";
		if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
			return false;
		*(bool *)field = s[0] == 't';
		return true;
	case COUNT:
	case SIZE:
	case TIME:
		*right = d->type == COUNT  ? "a whole number"
			 : d->type == SIZE ? "a whole number with its unit (B, KiB, MiB, GiB, TiB), such as 64MiB"
					   : "a whole number with its unit (ms, s, m, h, d), such as 30s";
		if (!number_parse(s, units_of(d->type), &v))
			return false;
		*right = d->range;
		if (!in_range(d, v))
			return false;
		*(int64_t *)field = v;
		return true;
	case LIST:
		list_parse(s, kind == CONF_LIST ? '\n' : ',', field);
		*right = d->range;
		for (size_t i = 0; i < ((struct sp_list *)field)->n; i++)
			if (!is_choice(d->range, ((struct sp_list *)field)->v[i]))
				return false;
		return true;
	case MAP:
		*right = "text without a line break";
		if (strpbrk(s, "\r\n"))
			return false;
		if (rest[strlen(d->path)] == '.')
			sp_map_put(field, rest + strlen(d->path) + 1, s);
		return true;
	case RULES:
		return rest[strlen(d->path)] != '.' || rule_put(d, field, rest + strlen(d->path) + 1, s, right);
	}
	return false;
}

static void group_init(int group, char *base)
{
	const char *right;
	for (size_t i = 0; i < groups[group].n; i++) {
		const struct def *d = &groups[group].defs[i];
		if (*d->init)
			SP_BUG_IF(!value_parse(d, base, d->path, d->init, CONF_SCALAR, &right));
	}
}

static void group_free(int group, char *base)
{
	for (size_t i = 0; i < groups[group].n; i++) {
		const struct def *d = &groups[group].defs[i];
		void *field = base + d->offset;
		struct sp_rules *rules = field;
		if (d->type == STR || d->type == FILE_ || d->type == CHOICE)
			sp_free(*(char **)field);
		else if (d->type == LIST)
			list_free(field);
		else if (d->type == MAP)
			sp_map_free(field);
		else if (d->type == RULES) {
			for (size_t k = 0; k < rules->n; k++)
				sp_map_free(&rules->v[k]);
			sp_free(rules->v);
		}
	}
}

void settings_free(struct settings **sp)
{
	struct settings *s = *sp;
	if (!s)
		return;
	for (size_t i = 0; i < s->n_keys; i++)
		group_free(KEYS, (char *)&s->keys[i]), sp_free(s->keys[i].name);
	for (size_t i = 0; i < s->n_dests; i++)
		group_free(DESTS, (char *)&s->dests[i]), sp_free(s->dests[i].name);
	group_free(TOP, (char *)s);
	sp_free(s->keys);
	sp_free(s->dests);
	sp_free(s);
	*sp = NULL;
}

bool statistics_ok(const char *words)
{
	struct sp_list list = {0};
	bool ok = true;
	const struct def *d = def_find(DESTS, "statistics");
	list_parse(words, strchr(words, '\n') ? '\n' : ',', &list);
	for (size_t i = 0; i < list.n; i++)
		ok = ok && is_choice(d->range, list.v[i]);
	list_free(&list);
	return ok;
}

/* ---- entries ---- */

/* Levenshtein distance; for names of settings, so both are short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[128], n = strlen(b);
	if (strlen(a) >= 128 || n >= 128)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[n];
}

/* "destinations" + "mimir" + "url" in one string; top: only the path. */
static void full_path(char *out, size_t n, int group, struct sp_bytes name, const char *path)
{
	if (group == TOP)
		snprintf(out, n, "%s", path);
	else
		snprintf(out, n, "%s.%.*s.%s", groups[group].section, name.n ? (int)name.n : 4,
		    name.n ? (const char *)name.p : "NAME", path);
}

static enum sp_status unknown(const struct conf_entry *e, struct sp_bytes name, struct sp_why *why)
{
	char path[192], nearest[192] = "", second[80];
	size_t best = SIZE_MAX;
	/* "destination.main.url": the section may be what is misspelled, so the name is looked for at its place anyway.
	 */
	const char *dot = strchr(e->path, '.');
	snprintf(second, sizeof second, "%.*s", dot ? (int)strcspn(dot + 1, ".") : 0, dot ? dot + 1 : "");
	if (!name.n && dot && strchr(dot + 1, '.'))
		name = sp_str(second);
	for (int g = 0; g < GROUPS; g++)
		for (size_t i = 0; i < groups[g].n; i++) {
			full_path(path, sizeof path, g, name, groups[g].defs[i].path);
			size_t n = strlen(e->path), d = strncmp(path, e->path, n) == 0 && path[n] == '_' ? 1 : distance(e->path, path);
			if (d < best)
				best = d, memcpy(nearest, path, sizeof path);
		}
	if (best <= 2 + strlen(e->path) / 8)
		return sp_fail(
		    why, SP_CONFIG, "%s: there is no setting %s; did you mean %s?", e->origin, e->path, nearest);
	return sp_fail(
	    why, SP_CONFIG, "%s: there is no setting %s (`standpipe help settings` lists them)", e->origin, e->path);
}

/* The struct that a name's settings go into: the present one or a new one in its place by name. */
static char *named_get(void **array, size_t *n, size_t size, int group, struct sp_bytes name)
{
	size_t at = 0;
	/* Both structs begin with their name. */
	for (; at < *n; at++) {
		int order = sp_cmp(sp_str(*(char **)((char *)*array + at * size)), name);
		if (order == 0)
			return (char *)*array + at * size;
		if (order > 0)
			break;
	}
	*array = sp_realloc(*array, (*n + 1) * size);
	char *slot = (char *)*array + at * size;
	memmove(slot + size, slot, (*n - at) * size);
	memset(slot, 0, size);
	*(char **)slot = sp_strndup(name.p, name.n);
	++*n;
	group_init(group, slot);
	return slot;
}

static char *base_get(struct settings *s, int group, struct sp_bytes name)
{
	void *array = group == KEYS ? (void *)s->keys : (void *)s->dests;
	if (group == TOP)
		return (char *)s;
	char *base = group == KEYS ? named_get(&array, &s->n_keys, sizeof *s->keys, group, name)
				   : named_get(&array, &s->n_dests, sizeof *s->dests, group, name);
	if (group == KEYS)
		s->keys = array;
	else
		s->dests = array;
	return base;
}

static enum sp_status entry_apply(struct settings *s, const struct conf_entry *e, struct sp_why *why)
{
	int group;
	struct sp_bytes name;
	const char *rest, *right;
	if (path_split(e->path, &group, &name, &rest) != SP_OK)
		return sp_fail(why, SP_CONFIG,
		    "%s: \"%.*s\" cannot be a name in %s: right are small letters, digits and single _ between, such "
		    "as main_2",
		    e->origin, (int)(name.n < 80 ? name.n : 80), (const char *)name.p, groups[group].section);
	const struct def *d = def_find(group, rest);
	if (!d) {
		if (!is_section(group, rest))
			return unknown(e, name, why);
		if (e->kind != CONF_NULL)
			return sp_fail(why, SP_CONFIG, "%s: %s is a section, not a setting: its settings go below it",
			    e->origin, e->path);
		if (group != TOP && !*rest)
			base_get(s, group, name);
		return SP_OK;
	}
	bool has_more = d->type == MAP || d->type == RULES, inside = has_more && strcmp(rest, d->path) != 0;
	if (e->kind == CONF_NULL && (!has_more || inside))
		return sp_fail(why, SP_CONFIG, "%s: %s has no value", e->origin, e->path);
	if (e->kind == CONF_LIST && d->type != LIST && !(d->type == RULES && (inside || !e->value[0])))
		return sp_fail(why, SP_CONFIG, "%s: %s takes %s", e->origin, e->path,
		    d->type == RULES ? "rules, each with names and values, not plain items" : "one value, not a list");
	if (e->kind == CONF_SCALAR && has_more && !inside)
		return sp_fail(why, SP_CONFIG, "%s: %s takes %s, not one value", e->origin, e->path,
		    d->type == MAP ? "names with values below it" : "a list of rules");
	char *base = base_get(s, group, name);
	if (value_parse(d, base, rest, e->value, e->kind, &right)) {
		if (d->type == RULES && inside)
			rule_note_origin((struct sp_rules *)(void *)(base + d->offset), rest + strlen(d->path) + 1, e->origin);
		return SP_OK;
	}
	if (d->type == STR || d->type == FILE_ || d->type == MAP || d->type == RULES) /* may be secret: not shown */
		return sp_fail(why, SP_CONFIG, "%s: %s: right is %s", e->origin, e->path, right);
	return sp_fail(why, SP_CONFIG, "%s: %s is \"%.60s\": right is %s", e->origin, e->path, e->value, right + (*right == '|'));
}

/* What a kind of receiver sets. It comes first, so that whatever is written wins. */
static enum sp_status kind_apply(struct settings *s, const struct conf_entry *e, struct sp_why *why)
{
	int group;
	struct sp_bytes name;
	const char *rest;
	char path[192];
	if (path_split(e->path, &group, &name, &rest) != SP_OK || group != DESTS || strcmp(rest, "receiver") != 0)
		return SP_OK;
	const struct receiver_kind *kind = receiver_kind(e->value);
	enum sp_status status = SP_OK;
	for (size_t i = 0; kind && i < RECEIVER_DEFAULTS_MAX && kind->defaults[i].path && status == SP_OK; i++) {
		full_path(path, sizeof path, group, name, kind->defaults[i].path);
		struct conf_entry set = {path, (char *)kind->defaults[i].value, e->origin, CONF_SCALAR};
		status = entry_apply(s, &set, why);
	}
	return status;
}

/* Who splits a destination need not say how its kind of receiver tells tenants apart. */
static void lanes_header_default(struct dest_settings *d)
{
	const char *header = receiver_kind(d->receiver)->tenant_header;
	if (d->lanes_by && !d->lanes_header && !d->lanes_token && *header)
		d->lanes_header = sp_strdup(header);
}

enum sp_status settings_load(const struct conf *c, enum sp_role role, struct settings **out, struct sp_why *why)
{
	struct settings *s = sp_new(struct settings);
	group_init(TOP, (char *)s);
	enum sp_status status = SP_OK;
	for (size_t i = 0; status == SP_OK && i < c->n; i++)
		status = kind_apply(s, &c->entries[i], why);
	for (size_t i = 0; status == SP_OK && i < c->n; i++)
		status = entry_apply(s, &c->entries[i], why);
	for (size_t i = 0; status == SP_OK && i < s->n_dests; i++)
		lanes_header_default(&s->dests[i]);
	if (status == SP_OK)
		status = settings_check(c, role, s, why);
	if (status == SP_OK)
		*out = s;
	else
		settings_free(&s);
	return status;
}

/* ---- for people ---- */

void settings_describe(struct sp_buf *out)
{
	static const char *const types[] = {
	    "text", "file", "true or false", "number", "size", "time", "choice", "list", "names with values", "list of rules"};
	static const struct {
		unsigned role;
		const char *name;
	} roles[] = {{I, "ingest"}, {C, "convert"}, {S, "ship"}, {R, "run"}};
	char path[192];
	sp_buf_str(
	    out, "| Setting | Type | Default | Range | For | Meaning |\n| --- | --- | --- | --- | --- | --- |\n");
	for (int g = 0; g < GROUPS; g++)
		for (size_t i = 0; i < groups[g].n; i++) {
			const struct def *d = &groups[g].defs[i];
			full_path(path, sizeof path, g, (struct sp_bytes){0}, d->path);
			sp_buf_printf(out, "| `%s` | %s | %s | ", path, types[d->type], d->init);
			for (const char *r = d->range; *r; r++) /* a bare | would end the cell */
				sp_buf_str(out, *r == '|' ? ", " : (char[]){*r, '\0'});
			sp_buf_str(out, " | ");
			const char *sep = "";
			for (size_t r = 0; d->roles != ALL && r < 4; r++)
				if (d->roles & roles[r].role)
					sp_buf_printf(out, "%s%s", sep, roles[r].name), sep = ", ";
			sp_buf_printf(out, "%s | %s |\n", d->roles == ALL ? "all" : "", d->help);
		}
}

enum sp_status conf_read_usual(struct conf *c, const char *config_path, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	if (!config_path)
		config_path = getenv("STANDPIPE_CONFIG");
	if (!config_path && access(CONF_USUAL_PATH, F_OK) == 0)
		config_path = CONF_USUAL_PATH;
	if (config_path)
		status = conf_read_yaml(c, config_path, why);
	return status == SP_OK ? conf_read_env(c, environ, why) : status;
}

struct settings *settings_for_role(enum sp_role role, const char *config_path, int view_fd, bool again, struct keys_dir **keys)
{
	struct conf *c = conf_new();
	struct settings *s = NULL;
	struct sp_why why;
	/* The view holds what the environment said too; the supervisor has read both. */
	enum sp_status status = view_fd >= 0 ? conf_read_view(c, view_fd, &why) : conf_read_usual(c, config_path, &why);
	if (view_fd >= 0)
		close(view_fd);
	if (status == SP_OK)
		status = settings_load(c, role, &s, &why);
	if (status == SP_OK && keys && s->ingest_keys_dir) {
		struct settings *main_only = s;
		status = keys_dir_new(&c, main_only->ingest_keys_dir, role, again, keys, &s, &why);
		settings_free(&main_only);
	}
	conf_free(&c);
	if (status == SP_OK)
		return s;
	fprintf(stderr, "standpipe: %s\n", why.text);
	exit(SP_EXIT_CONFIG);
}

static int place_of(const char *word, const char *const *words, int n)
{
	int i = 0;
	while (i < n && strcmp(word, words[i]) != 0)
		i++;
	return i;
}

void settings_start_log(const struct settings *s, const char *role, int worker)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"}, *const formats[] = {"auto", "text", "json"};
	sp_log_init(role, worker, (enum sp_log_level)place_of(s->log_level, levels, 4), (enum sp_log_format)place_of(s->log_format, formats, 3));
}
