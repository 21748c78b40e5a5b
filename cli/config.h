/* config - the whole configuration, as the supervisor and the commands for people need it. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "common/conf.h"

#define ADMIN_LISTEN_DEFAULT "127.0.0.1:9464"

/* Reads (conf_read_usual) and checks everything that can be checked without opening files, for all roles together. The directories that
 * depend on the surroundings are written into *conf, so that every role has the same. */
SP_CHECKED enum sp_status config_read(const char *path, struct conf **conf, struct settings **out, struct sp_why *why);

#endif
