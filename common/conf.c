#include "common/conf_list.h"

#include "common/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <yaml.h>

#define FILE_BYTES (4 * 1024 * 1024)
#define MAX_ENTRIES 20000
#define MAX_DEPTH 8
#define MAX_PATH_BYTES 512

struct conf *conf_new(void)
{
	return sp_new(struct conf);
}

static void entry_clear(struct conf_entry *e)
{
	sp_free(e->path);
	sp_free(e->value);
	sp_free(e->origin);
}

void conf_free(struct conf **c)
{
	if (!*c)
		return;
	for (size_t i = 0; i < (*c)->n; i++)
		entry_clear(&(*c)->entries[i]);
	sp_free((*c)->entries);
	sp_free(*c);
	*c = NULL;
}

struct conf_entry *conf_find(const struct conf *c, const char *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->entries[i].path, path) == 0)
			return &c->entries[i];
	return NULL;
}

void conf_put(struct conf *c, const char *path, struct sp_bytes value, enum conf_kind kind, const char *origin)
{
	struct conf_entry e = {
	    .path = sp_strdup(path), .value = sp_strndup(value.p, value.n), .origin = sp_strdup(origin), .kind = kind};
	struct conf_entry *to = conf_find(c, path);
	if (to) {
		entry_clear(to);
	} else {
		c->entries = sp_realloc(c->entries, (c->n + 1) * sizeof e);
		to = &c->entries[c->n++];
	}
	*to = e;
}

void conf_set(struct conf *c, const char *path, const char *value, const char *origin)
{
	conf_put(c, path, sp_str(value), CONF_SCALAR, origin);
}

/* One pass over libyaml's events. */
struct reader {
	struct conf *c, *seen; /* seen: what this very file has said */
	const char *name;
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	char path[MAX_PATH_BYTES];
	struct sp_why *why;
};

static enum sp_status next_event(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = yaml_parser_parse(&r->parser, &r->event);
	if (r->have_event)
		return SP_OK;
	return sp_fail(r->why, SP_CONFIG, "%s:%zu:%zu: %s", r->name, r->parser.problem_mark.line + 1,
	    r->parser.problem_mark.column + 1, r->parser.problem ? r->parser.problem : "not YAML");
}

static enum sp_status refuse(const struct reader *r, const char *what)
{
	return sp_fail(r->why, SP_CONFIG, "%s:%zu: %s%s%s", r->name, r->event.start_mark.line + 1, r->path,
	    r->path[0] ? ": " : "", what);
}

static struct sp_bytes scalar(const struct reader *r)
{
	return sp_bytes(r->event.data.scalar.value, r->event.data.scalar.length);
}

static enum sp_status put(struct reader *r, struct sp_bytes value, enum conf_kind kind, size_t line)
{
	if (memchr(value.p ? value.p : (const uint8_t *)"", 0, value.n))
		return refuse(r, "a value cannot hold a NUL byte");
	struct conf_entry *before = conf_find(r->seen, r->path);
	if (before)
		return sp_fail(r->why, SP_CONFIG, "%s:%zu: %s is there twice (first at %s)", r->name, line, r->path,
		    before->origin);
	if (r->c->n >= MAX_ENTRIES)
		return refuse(r, "too many settings in all");
	char *origin = sp_asprintf("%s:%zu", r->name, line);
	conf_put(r->seen, r->path, sp_bytes("", 0), kind, origin);
	conf_put(r->c, r->path, value, kind, origin);
	sp_free(origin);
	return SP_OK;
}

static enum sp_status read_scalar(struct reader *r)
{
	struct sp_bytes v = scalar(r);
	bool null = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
		    (v.n == 0 || sp_eq(v, SP_LIT("~")) || sp_eq(v, SP_LIT("null")));
	return put(r, v, null ? CONF_NULL : CONF_SCALAR, r->event.start_mark.line + 1);
}

static enum sp_status read_mapping(struct reader *r, int depth);

/* The event at hand begins the first of a sequence of mappings: they lie below its path as .0, .1, ... */
static enum sp_status read_rules(struct reader *r, int depth)
{
	size_t base = strlen(r->path);
	for (size_t i = 0; r->event.type != YAML_SEQUENCE_END_EVENT; i++) {
		if (r->event.type != YAML_MAPPING_START_EVENT || base + 24 >= sizeof r->path)
			return refuse(r, "each item of this list must have names and values");
		snprintf(r->path + base, sizeof r->path - base, ".%zu", i);
		enum sp_status status = read_mapping(r, depth + 1);
		r->path[base] = '\0';
		if (status != SP_OK || (status = next_event(r)) != SP_OK)
			return status;
	}
	return SP_OK;
}

/* The event at hand begins the sequence. */
static enum sp_status read_sequence(struct reader *r, int depth)
{
	size_t line = r->event.start_mark.line + 1;
	struct sp_buf items = {.max = FILE_BYTES};
	enum sp_status status = SP_CONFIG;
	for (size_t n = 0;; n++) {
		if (next_event(r) != SP_OK)
			goto out;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		if (n == 0 && r->event.type == YAML_MAPPING_START_EVENT)
			return read_rules(r, depth);
		if (r->event.type != YAML_SCALAR_EVENT) {
			status = refuse(r, "the items of this list must be plain text");
			goto out;
		}
		if (memchr(r->event.data.scalar.value, '\n', r->event.data.scalar.length)) {
			status = refuse(r, "an item of a list cannot hold a line break");
			goto out;
		}
		if (n)
			sp_buf_u8(&items, '\n');
		sp_buf_add(&items, scalar(r));
	}
	status = sp_buf_ok(&items) ? put(r, sp_buf_view(&items), CONF_LIST, line) : refuse(r, "this list is too long");
out:
	sp_buf_free(&items);
	return status;
}

static enum sp_status read_value(struct reader *r, int depth)
{
	switch (r->event.type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(r);
	case YAML_SEQUENCE_START_EVENT:
		return read_sequence(r, depth);
	case YAML_MAPPING_START_EVENT:
		return read_mapping(r, depth + 1);
	case YAML_ALIAS_EVENT:
		return refuse(r, "aliases (*name) are not supported: write the value out");
	default:
		return refuse(r, "a value is missing");
	}
}

/* The event at hand begins the mapping; on return it is the mapping's end. */
static enum sp_status read_mapping(struct reader *r, int depth)
{
	size_t base = strlen(r->path), line = r->event.start_mark.line + 1;
	if (depth > MAX_DEPTH)
		return refuse(r, "sections lie too deep in each other");
	for (bool empty = true;; empty = false) {
		enum sp_status status = next_event(r);
		if (status != SP_OK)
			return status;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			return empty && base ? put(r, sp_bytes("", 0), CONF_NULL, line) : SP_OK;
		struct sp_bytes key = scalar(r);
		if (r->event.type != YAML_SCALAR_EVENT || key.n == 0 || memchr(key.p, 0, key.n))
			return refuse(r, "the name of a setting must be plain text");
		if (base + 1 + key.n >= sizeof r->path)
			return refuse(r, "this name is too long");
		snprintf(r->path + base, sizeof r->path - base, "%s%s", base ? "." : "", (const char *)key.p);
		if ((status = next_event(r)) != SP_OK || (status = read_value(r, depth)) != SP_OK)
			return status;
		r->path[base] = '\0';
	}
}

static enum sp_status read_text(
    struct conf *c, const char *section, const char *name, struct sp_bytes text, struct sp_why *why)
{
	if (text.n > FILE_BYTES)
		return sp_fail(why, SP_CONFIG, "%s is longer than %d bytes", name, FILE_BYTES);
	struct reader r = {.c = c, .seen = conf_new(), .name = name, .why = why};
	snprintf(r.path, sizeof r.path, "%s", section);
	SP_BUG_IF(!yaml_parser_initialize(&r.parser));
	yaml_parser_set_input_string(&r.parser, text.n ? text.p : (const uint8_t *)"", text.n);
	enum sp_status status;
	size_t documents = 0;
	while ((status = next_event(&r)) == SP_OK && r.event.type != YAML_STREAM_END_EVENT) {
		if (r.event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (documents++)
			status = refuse(&r, "only one document (---) is read from a file");
		else if ((status = next_event(&r)) == SP_OK && r.event.type == YAML_MAPPING_START_EVENT)
			status = read_mapping(&r, 0);
		else if (status == SP_OK && (r.event.type != YAML_SCALAR_EVENT || scalar(&r).n))
			status = refuse(&r, "a configuration consists of sections such as \"spool:\"");
		if (status != SP_OK)
			break;
	}
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	conf_free(&r.seen);
	return status;
}

/* Reads what is left of fd, at most max bytes. */
static enum sp_status read_all(int fd, const char *name, size_t max, struct sp_buf *out, struct sp_why *why)
{
	for (;;) {
		uint8_t *to = sp_buf_room(out, 4096);
		if (!to)
			return sp_fail(why, SP_NO_MEM, "no memory for %s", name);
		ssize_t got = read(fd, to, 4096);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return sp_fail(why, SP_CONFIG, "cannot read %s: %s", name, strerror(errno));
		if (got == 0)
			return SP_OK;
		out->n += (size_t)got;
		if (out->n > max)
			return sp_fail(why, SP_CONFIG, "%s is longer than %zu bytes", name, max);
	}
}

static enum sp_status read_file(const char *path, size_t max, struct sp_buf *out, struct sp_why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sp_fail(why, SP_CONFIG, "cannot open %s: %s", path, strerror(errno));
	enum sp_status status = read_all(fd, path, max, out, why);
	close(fd);
	return status;
}

enum sp_status conf_read_yaml_text(struct conf *c, const char *name, struct sp_bytes text, struct sp_why *why)
{
	return read_text(c, "", name, text, why);
}

enum sp_status conf_read_yaml_below(struct conf *c, const char *section, const char *path, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = read_file(path, FILE_BYTES, &text, why);
	if (status == SP_OK)
		status = read_text(c, section, path, sp_buf_view(&text), why);
	sp_buf_free(&text);
	return status;
}

enum sp_status conf_read_yaml(struct conf *c, const char *path, struct sp_why *why)
{
	return conf_read_yaml_below(c, "", path, why);
}

enum sp_status secret_read(const char *path, struct sp_buf *out, struct sp_why *why)
{
	sp_buf_clear(out);
	enum sp_status status = read_file(path, 64 * 1024, out, why);
	if (status != SP_OK)
		return status;
	if (out->n && out->p[out->n - 1] == '\n')
		out->n--;
	return out->n ? SP_OK : sp_fail(why, SP_CONFIG, "%s is empty", path);
}

enum sp_status conf_read_env(struct conf *c, char *const *environ_, struct sp_why *why)
{
	static const char prefix[] = "STANDPIPE_";
	for (; *environ_; environ_++) {
		const char *name = *environ_, *value = strchr(name, '=');
		if (!value || strncmp(name, prefix, sizeof prefix - 1) != 0)
			continue;
		size_t n = (size_t)(value - name);
		char origin[MAX_PATH_BYTES], path[MAX_PATH_BYTES];
		if (n >= sizeof origin)
			return sp_fail(why, SP_CONFIG, "the name of the variable %.60s... is too long", name);
		memcpy(origin, name, n);
		origin[n] = '\0';
		if (!strstr(origin + sizeof prefix - 1, "__"))
			continue; /* not ours: Kubernetes, for one, sets STANDPIPE_SERVICE_HOST */
		size_t to = 0;
		for (const char *s = origin + sizeof prefix - 1; *s; s++)
			if (s[0] == '_' && s[1] == '_')
				path[to++] = '.', s++;
			else
				path[to++] = (char)tolower((unsigned char)*s);
		path[to] = '\0';
		conf_set(c, path, value + 1, origin);
	}
	return SP_OK;
}

static bool is_for(const struct conf *c, const struct conf_entry *e, enum sp_role role)
{
	if (!(settings_roles_of(e->path) & (unsigned)role))
		return false;
	/* Ship has to know where keys are only when a destination sends them; else a new key does not start it anew. */
	bool needed = role != SP_ROLE_SHIP || strncmp(e->path, "keys.", 5) != 0 || !sp_ends(sp_str(e->path), SP_LIT(".file"));
	for (size_t i = 0; i < c->n && !needed; i++)
		needed = sp_ends(sp_str(c->entries[i].path), SP_LIT(".lanes.token"));
	return needed;
}

/* A view is NUL-terminated triples: path, kind and value, origin. */
void conf_write_view(const struct conf *c, enum sp_role role, struct sp_buf *out)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct conf_entry *e = &c->entries[i];
		if (!is_for(c, e, role))
			continue;
		sp_buf_add(out, sp_bytes(e->path, strlen(e->path) + 1));
		sp_buf_u8(out, (uint8_t)e->kind);
		sp_buf_add(out, sp_bytes(e->value, strlen(e->value) + 1));
		sp_buf_add(out, sp_bytes(e->origin, strlen(e->origin) + 1));
	}
}

int conf_open_view(struct sp_bytes view)
{
	int fd = memfd_create("standpipe-view", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || (write(fd, view.p, view.n) == (ssize_t)view.n && lseek(fd, 0, SEEK_SET) == 0 &&
			      fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0))
		return fd;
	close(fd);
	return -1;
}

enum sp_status conf_read_view(struct conf *c, int fd, struct sp_why *why)
{
	struct sp_buf in = {0};
	(void)lseek(fd, 0, SEEK_SET);
	enum sp_status status = read_all(fd, "the view of the configuration", 2 * FILE_BYTES, &in, why);
	struct sp_bytes rest = sp_buf_view(&in), path, value, origin;
	while (status == SP_OK && sp_take_part(&rest, 0, &path)) {
		if (in.p[in.n - 1] || !sp_take_part(&rest, 0, &value) || value.n == 0 || !sp_take_part(&rest, 0, &origin))
			status = sp_fail(why, SP_CONFIG, "the view of the configuration is damaged");
		else
			conf_put(c, (const char *)path.p, sp_bytes(value.p + 1, value.n - 1), (enum conf_kind)value.p[0], (const char *)origin.p);
	}
	sp_buf_free(&in);
	return status;
}
