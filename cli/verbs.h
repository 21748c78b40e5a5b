/* verbs - the commands of `standpipe`, each in the file of its name. argv[0] is the verb; each returns the exit status. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

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

#endif
