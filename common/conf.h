/* conf - settings from a YAML file, the environment, or a sealed view handed over by the supervisor.
 *
 * Reading has two steps. A struct conf is a flat list of (path, value, origin): "destinations.mimir.url" = "https://...".
 * settings_load turns it into typed structs by the list in common/settings.def: unknown keys, missing units, values out of range
 * are SP_CONFIG with file, line, key and what would be right. Environment: STANDPIPE_ + path in capitals with "__" between
 * levels; a STANDPIPE_ variable without "__" is not ours; with it, it must be a known setting.
 * Start-up and reload only; one thread.
 */
#ifndef SP_CONF_H
#define SP_CONF_H

#include "common/bytes.h"

#include <stdio.h>

enum sp_role { SP_ROLE_INGEST = 1, SP_ROLE_CONVERT = 2, SP_ROLE_SHIP = 4, SP_ROLE_RUN = 8, SP_ROLE_ALL = 15 };

struct conf; /* flat list */

struct conf *conf_new(void);
void conf_free(struct conf **c);
SP_CHECKED enum sp_status conf_read_yaml(struct conf *c, const char *path, struct sp_why *why);
/* The same, as if the file's content stood below `section` ("keys.prod"). */
SP_CHECKED enum sp_status conf_read_yaml_below(struct conf *c, const char *section, const char *path, struct sp_why *why);
/* text of the demo and of tests: same as a file named `name`. */
SP_CHECKED enum sp_status conf_read_yaml_text(struct conf *c, const char *name, struct sp_bytes text, struct sp_why *why);
SP_CHECKED enum sp_status conf_read_env(struct conf *c, char *const *environ_, struct sp_why *why); /* overrides what is there */
#define CONF_USUAL_PATH "/etc/standpipe/standpipe.yaml"
/* Both: config_path, else $STANDPIPE_CONFIG, else CONF_USUAL_PATH when it is there; then the environment. */
SP_CHECKED enum sp_status conf_read_usual(struct conf *c, const char *config_path, struct sp_why *why);
/* A view: only what `role` needs; conf_read_view takes it in again in another process (origins kept for messages). */
void conf_write_view(const struct conf *c, enum sp_role role, struct sp_buf *out);
/* The view on a descriptor, which nobody can change any more; -1: errno says why. */
int conf_open_view(struct sp_bytes view);
SP_CHECKED enum sp_status conf_read_view(struct conf *c, int fd, struct sp_why *why);
/* One override, as from a command line: "spool.dir", "/tmp/x". */
void conf_set(struct conf *c, const char *path, const char *value, const char *origin);

struct sp_list {
	char **v;
	size_t n;
};
struct sp_map {
	char **names, **values;
	size_t n;
	char *origin; /* of a rule: "standpipe.yaml:12" */
};
/* A list of rules, each a map; a list inside a rule is one value, its items parted by newlines. */
struct sp_rules {
	struct sp_map *v;
	size_t n;
};

void sp_map_put(struct sp_map *m, const char *name, const char *value); /* copies both */
const char *sp_map_get(const struct sp_map *m, const char *name);       /* NULL when there is no such name */
void sp_map_free(struct sp_map *m);
/* May the configuration add a label of this name? Not one that begins with "__", and not those that tell the series of one metric apart. */
bool label_name_ok(struct sp_bytes name);

#define CONF_C_STR char *
#define CONF_C_FILE char *
#define CONF_C_BOOL bool
#define CONF_C_COUNT int64_t
#define CONF_C_SIZE int64_t
#define CONF_C_TIME int64_t
#define CONF_C_CHOICE char *
#define CONF_C_LIST struct sp_list
#define CONF_C_MAP struct sp_map
#define CONF_C_RULES struct sp_rules

struct key_settings {
	char *name;
	bool in_dir; /* from ingest.keys_dir */
#define KEY_SETTING(type, field, ...) CONF_C_##type field;
#include "common/settings.def"
};

struct dest_settings {
	char *name;
#define DEST_SETTING(type, field, ...) CONF_C_##type field;
#include "common/settings.def"
};

struct settings {
#define SETTING(type, field, ...) CONF_C_##type field;
#include "common/settings.def"
	struct key_settings *keys; /* sorted by name */
	size_t n_keys;
	struct dest_settings *dests; /* sorted by name */
	size_t n_dests;
};

/* Types, ranges, spelling of every entry (also of other roles'), and the rules between settings that `role` can check without
 * opening files (ship: at least one destination with a url, ...). Directories get their defaults here. On SP_OK *out is owned
 * by the caller. */
SP_CHECKED enum sp_status settings_load(const struct conf *c, enum sp_role role, struct settings **out, struct sp_why *why);
void settings_free(struct settings **s);

/* May a key or a destination have this name? [a-z][a-z0-9]*(_[a-z0-9]+)* */
bool key_name_ok(const char *name);
/* Does the destination get what this key delivers? */
bool key_takes(const struct key_settings *k, const struct dest_settings *d);
/* "30s", "1h", as the settings take times; false when it is none. */
bool time_parse(const char *text, int64_t *out_ms);
/* "sha256:" and 64 hexadecimal digits, as in keys.NAME.hash; false when it is none. */
bool access_hash_parse(const char *text, uint8_t digest[32]);

/* The whole list for people: `standpipe help settings` and docs/reference.md are this text. */
void settings_describe(struct sp_buf *out);

/* A secret from a file: the bytes less one final newline, at most 64 KiB. Caller frees (sp_buf_free). */
SP_CHECKED enum sp_status secret_read(const char *path, struct sp_buf *out, struct sp_why *why);

/* The name of the directory's file system, when what was committed on it may be gone after a restart, or its locks and syncs cannot be
 * relied on; else NULL. */
const char *volatile_fs(const char *dir);

/* Starts the log as the settings say. worker -1: none. */
void settings_start_log(const struct settings *s, const char *role, int worker);

/* The start of every role's main: conf_read_usual, or --view-fd N from the supervisor. Prints the reason and exits 78 on a bad configuration.
 * keys: also reads ingest.keys_dir (keys_dir_new, with `again`); NULL in *keys when there is none. May be NULL: then the directory is
 * not looked at. */
struct keys_dir;
struct settings *settings_for_role(enum sp_role role, const char *config_path, int view_fd, bool again, struct keys_dir **keys);

#endif
