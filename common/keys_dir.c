#include "common/keys_dir.h"

#include "common/alloc.h"
#include "common/conf_list.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/watch.h"

#include <dirent.h>
#include <errno.h>

#define SUFFIX ".yaml"

struct file {
	char *name;
	struct sp_watch seen;
	struct conf *conf; /* what was right last; NULL: nothing yet */
	bool bad, there;
};

struct keys_dir {
	struct conf *base;
	char *path;
	enum sp_role role;
	struct file *v;
	size_t n;
	bool trouble, changed; /* trouble: with the directory itself */
};

/* Entries are borrowed: only the array is the caller's. */
static struct conf join(const struct keys_dir *d, const struct conf *const *more, size_t n)
{
	size_t total = d->base->n;
	for (size_t i = 0; i < n; i++)
		total += more[i]->n;
	struct conf all = {.entries = sp_new_array(struct conf_entry, total + 1)};
	for (size_t i = 0; i < d->base->n; i++)
		all.entries[all.n++] = d->base->entries[i];
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < more[i]->n; k++)
			all.entries[all.n++] = more[i]->entries[k];
	return all;
}

/* Reads one file and tries it with nothing else, so that a fault is its own. */
static enum sp_status read_file(const struct keys_dir *d, const char *name, const char *path, struct conf **out, struct sp_why *why)
{
	struct conf *c = conf_new();
	struct settings *trial = NULL;
	char *section = sp_asprintf("keys.%s", name), *origin = sp_asprintf("%s:1", path);
	enum sp_status status = SP_OK;
	size_t n = strlen(section);
	conf_put(c, section, sp_bytes("", 0), CONF_NULL, origin);
	for (size_t i = 0; i < d->base->n && status == SP_OK; i++) {
		const struct conf_entry *e = &d->base->entries[i];
		if (strncmp(e->path, section, n) == 0 && (e->path[n] == '.' || !e->path[n]))
			status = sp_fail(why, SP_CONFIG, "%s: %s is configured at %s already", origin, section, e->origin);
	}
	if (status == SP_OK)
		status = conf_read_yaml_below(c, section, path, why);
	if (status == SP_OK) {
		struct conf all = join(d, (const struct conf *const[]){c}, 1);
		status = settings_load(&all, d->role, &trial, why);
		if (status == SP_OK)
			status = settings_check_key(&all, trial, name, why);
		sp_free(all.entries);
	}
	if (status == SP_OK)
		*out = c;
	else
		conf_free(&c);
	settings_free(&trial);
	sp_free(section);
	sp_free(origin);
	return status;
}

static void file_clear(struct file *f)
{
	conf_free(&f->conf);
	sp_free(f->name);
}

static struct file *file_get(struct keys_dir *d, struct sp_bytes name)
{
	for (size_t i = 0; i < d->n; i++)
		if (sp_eq(sp_str(d->v[i].name), name))
			return &d->v[i];
	if (d->n == KEYS_DIR_FILES_MAX)
		return NULL;
	d->v = sp_realloc(d->v, (d->n + 1) * sizeof *d->v);
	d->v[d->n] = (struct file){.name = sp_strndup(name.p, name.n)};
	return &d->v[d->n++];
}

/* why: says what is wrong with the file when it is now, and was not so at the last look. */
static enum sp_status look_at_file(struct keys_dir *d, struct file *f, struct sp_why *why)
{
	char *path = sp_asprintf("%s/%s" SUFFIX, d->path, f->name);
	struct conf *fresh = NULL;
	enum sp_status status = SP_OK;
	bool changed = sp_watch_changed(&f->seen, path); /* before reading: a change in between is seen next time */
	f->there = true;
	if (changed || f->bad)
		status = read_file(d, f->name, path, &fresh, why);
	if (fresh) {
		conf_free(&f->conf);
		f->conf = fresh;
		d->changed = true;
	}
	bool news = changed || !f->bad;
	f->bad = status != SP_OK;
	sp_free(path);
	return news ? status : SP_OK;
}

static void complain(const struct keys_dir *d, const char *key, const struct sp_why *why)
{
	sp_log(SP_LOG_ERROR, "keys_dir.bad", sp_f_str("dir", d->path), sp_f_str("key", key), sp_f_str("reason", why->text),
		sp_f_str("msg", "the former content stays in force"), SP_LOG_END);
}

static void forget_missing(struct keys_dir *d)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].there) {
			d->v[kept++] = d->v[i];
			continue;
		}
		d->changed |= d->v[i].conf != NULL;
		file_clear(&d->v[i]);
	}
	d->n = kept;
}

/* What becomes of faults: all but STOP_AT_FAULT go on with the next file. */
enum faults { STOP_AT_FAULT, LOG_FAULTS, PASS_OVER };

static enum sp_status unreadable(struct keys_dir *d, enum faults faults, int error, struct sp_why *why)
{
	enum sp_status status = sp_fail(why, SP_CONFIG, "ingest.keys_dir: cannot read %s: %s", d->path, strerror(error));
	if (faults == LOG_FAULTS && !d->trouble)
		complain(d, NULL, why);
	d->trouble = true;
	return status;
}

static enum sp_status look(struct keys_dir *d, enum faults faults, struct sp_why *why)
{
	DIR *dir = opendir(d->path);
	enum sp_status status = SP_OK;
	if (!dir)
		return unreadable(d, faults, errno, why);
	bool too_many = false;
	for (size_t i = 0; i < d->n; i++)
		d->v[i].there = false;
	errno = 0;
	for (const struct dirent *e; !(faults == STOP_AT_FAULT && status != SP_OK) && (e = readdir(dir)); errno = 0) {
		struct sp_bytes name = sp_str(e->d_name);
		if (name.p[0] == '.' || !sp_ends(name, SP_LIT(SUFFIX)))
			continue;
		name.n -= strlen(SUFFIX);
		struct file *f = file_get(d, name);
		status = f ? look_at_file(d, f, why) : sp_fail(why, SP_CONFIG, "%s holds more than %d files", d->path, KEYS_DIR_FILES_MAX);
		if (status != SP_OK && faults == LOG_FAULTS && (f || !d->trouble))
			complain(d, f ? f->name : NULL, why);
		too_many |= !f;
		d->trouble |= !f;
	}
	int error = errno; /* a list that broke off does not say what is missing */
	closedir(dir);
	if (error)
		return unreadable(d, faults, error, why);
	d->trouble = too_many;
	forget_missing(d);
	return status;
}

/* The keys are told from those of the main file: ship must know them before anything of theirs is mapped. */
static enum sp_status load(struct keys_dir *d, struct settings **out, struct sp_why *why)
{
	const struct conf **good = sp_new_array(const struct conf *, d->n + 1);
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].conf)
			good[n++] = d->v[i].conf;
	struct conf all = join(d, good, n);
	struct settings *s = NULL;
	enum sp_status status = settings_load(&all, d->role, &s, why);
	for (size_t i = 0; s && i < s->n_keys; i++)
		for (size_t k = 0; k < d->n; k++)
			s->keys[i].in_dir |= strcmp(s->keys[i].name, d->v[k].name) == 0;
	if (s)
		*out = s;
	sp_free(all.entries);
	sp_free(good);
	return status;
}

static void count(const struct keys_dir *d)
{
	size_t bad = d->trouble;
	for (size_t i = 0; i < d->n; i++)
		bad += d->v[i].bad;
	sp_metric_set(M_KEYS_DIR_FILES, NULL, (double)d->n);
	sp_metric_set(M_KEYS_DIR_BAD, NULL, (double)bad);
}

/* Whatever is wrong now is news to the next look. */
static void forget_faults(struct keys_dir *d)
{
	d->trouble = false;
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].bad)
			d->v[i].seen = (struct sp_watch){0};
}

enum sp_status keys_dir_new(struct conf **base, const char *path, enum sp_role role, bool again, struct keys_dir **out,
    struct settings **settings, struct sp_why *why)
{
	struct keys_dir *d = sp_new(struct keys_dir);
	*d = (struct keys_dir){.base = *base, .path = sp_strdup(path), .role = role};
	*base = NULL;
	enum sp_status status = look(d, again ? PASS_OVER : STOP_AT_FAULT, why);
	if (again)
		forget_faults(d);
	if (status == SP_OK || again)
		status = load(d, settings, why);
	if (status != SP_OK) {
		keys_dir_free(&d);
		return status;
	}
	d->changed = false;
	count(d);
	*out = d;
	return SP_OK;
}

void keys_dir_free(struct keys_dir **dp)
{
	struct keys_dir *d = *dp;
	if (!d)
		return;
	*dp = NULL;
	for (size_t i = 0; i < d->n; i++)
		file_clear(&d->v[i]);
	conf_free(&d->base);
	sp_free(d->v);
	sp_free(d->path);
	sp_free(d);
}

struct settings *keys_dir_poll(struct keys_dir *d)
{
	struct settings *fresh = NULL;
	struct sp_why why = {.text = ""};
	(void)!look(d, LOG_FAULTS, &why);
	count(d);
	if (!d->changed)
		return NULL;
	d->changed = false;
	if (load(d, &fresh, &why) != SP_OK)
		complain(d, NULL, &why);
	else
		sp_log(SP_LOG_INFO, "keys_dir.changed", sp_f_str("dir", d->path), sp_f_u64("keys", fresh->n_keys), SP_LOG_END);
	return fresh;
}
