/* verbs - the commands of `standpipe`, each in the file of its name. argv[0] is the verb; each returns the exit status. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "common/conf.h"

int run_main(int argc, char **argv);
int check_main(int argc, char **argv);
int status_main(int argc, char **argv);
int send_main(int argc, char **argv);
int keys_main(int argc, char **argv);

/* Directory of the roles' programs: $STANDPIPE_LIBEXEC (for developers), that of this program when they are there, else
 * ../libexec/standpipe beside it. Caller frees. */
char *libexec_dir(void);
/* Becomes the program of a role, in its mode argv[0], unless that is the role's name. Returns only when there is none. */
int exec_role(int argc, char **argv, const char *role);

#define ADMIN_LISTEN_DEFAULT "127.0.0.1:9464"

/* Reads (conf_read_usual) and checks everything that can be checked without opening files, for all roles together. The directories that
 * depend on the surroundings are written into *conf, so that every role has the same. */
SP_CHECKED enum sp_status config_read(const char *path, struct conf **conf, struct settings **out, struct sp_why *why);

#endif
