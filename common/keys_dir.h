/* keys_dir - access keys that have a file each: ingest.keys_dir, looked at while running.
 *
 * NAME.yaml holds what would stand below keys.NAME. Names that begin with a dot or do not end in .yaml are not looked at, so
 * whoever writes there can write beside and rename. ingest and ship look at the same files and check the same, except that only
 * ship knows the names of destinations.
 * One thread.
 */
#ifndef SP_KEYS_DIR_H
#define SP_KEYS_DIR_H

#include "common/conf.h"

#define KEYS_DIR_FILES_MAX 1000

struct keys_dir;

/* Takes over *base, the configuration without the directory. The settings (the caller's) hold the keys of both. A file that is
 * wrong or a name that is in both: SP_CONFIG with file and line. again: it has worked before, so what has become wrong since is
 * left out, and the first poll says so. */
SP_CHECKED enum sp_status keys_dir_new(struct conf **base, const char *path, enum sp_role role, bool again, struct keys_dir **out,
    struct settings **settings, struct sp_why *why);
void keys_dir_free(struct keys_dir **d);

/* Looks again. NULL when nothing has changed, else all settings anew (the caller's). A file that is wrong keeps its former
 * content, or none, and is logged once; so does the directory when it cannot be read. */
struct settings *keys_dir_poll(struct keys_dir *d);

#endif
