/* conf_list - the inside of struct conf, for conf.c and settings.c only. */
#ifndef SP_CONF_LIST_H
#define SP_CONF_LIST_H

#include "common/conf.h"

enum conf_kind { CONF_SCALAR = 'S', CONF_LIST = 'L' /* items parted by newlines */, CONF_NULL = 'N' /* empty section or value */ };

struct conf_entry {
	char *path, *value;
	char *origin; /* "standpipe.yaml:12", or the name of the variable */
	enum conf_kind kind;
};

struct conf {
	struct conf_entry *entries; /* no path twice */
	size_t n;
};

/* Takes over what is there under the same path. */
void conf_put(struct conf *c, const char *path, struct sp_bytes value, enum conf_kind kind, const char *origin);
struct conf_entry *conf_find(const struct conf *c, const char *path);

/* The rules between settings that `role` keeps, and the defaults that depend on the machine (settings_check.c). */
enum sp_status settings_check(const struct conf *c, enum sp_role role, struct settings *s, struct sp_why *why);

/* What all roles can say of one key, whatever they need of it: so that they agree on a file that all of them read. */
enum sp_status settings_check_key(const struct conf *c, const struct settings *s, const char *name, struct sp_why *why);

/* Are these (parted by newlines or commas) words of the setting `statistics`? */
bool statistics_ok(const char *words);

/* Who gets the setting of this path: a set of enum sp_role; 0 when there is no such setting. */
unsigned settings_roles_of(const char *path);

#endif
