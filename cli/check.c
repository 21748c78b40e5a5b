/* check - what cannot work says so before it is started: the configuration, and every file and directory it names. */
#include "cli/verbs.h"
#include "common/accounts.h"
#include "common/alloc.h"
#include "ingest/keys.h"
#include "ingest/tls.h"
#include "proto/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum sp_status config_read(const char *path, struct conf **conf, struct settings **out, struct sp_why *why)
{
	struct conf *c = conf_new();
	struct settings *s = NULL;
	enum sp_status status = conf_read_usual(c, path, why);
	if (status == SP_OK)
		status = settings_load(c, SP_ROLE_ALL, &s, why);
	if (status == SP_OK)
		status = plan_check(s, why);
	if (status != SP_OK) {
		struct sp_why wrong = *why;
		if (!path && !getenv("STANDPIPE_CONFIG") && access(CONF_USUAL_PATH, F_OK) != 0)
			sp_fail(why, status, "there is no " CONF_USUAL_PATH " (--config FILE names another): %s", wrong.text);
		settings_free(&s);
		conf_free(&c);
		return status;
	}
	conf_set(c, "spool.dir", s->spool_dir, "default");
	conf_set(c, "runtime.dir", s->runtime_dir, "default");
	*conf = c;
	*out = s;
	return SP_OK;
}

struct check {
	const struct settings *s;
	FILE *out;
	unsigned errors, warnings;
};

static void SP_PRINTF(3, 4) say(struct check *c, bool error, const char *fmt, ...)
{
	va_list ap;
	if (error)
		c->errors++;
	else
		c->warnings++;
	fputs(error ? "error: " : "warning: ", c->out);
	va_start(ap, fmt);
	vfprintf(c->out, fmt, ap);
	va_end(ap);
	putc('\n', c->out);
}

static void check_ingest(struct check *c)
{
	struct keys *keys = NULL;
	struct tls *tls = NULL;
	struct sp_why why;
	if (keys_new(c->s, NULL, &keys, &why) != SP_OK)
		say(c, true, "%s", why.text);
	if (c->s->ingest_tls_cert && tls_new(c->s->ingest_tls_cert, c->s->ingest_tls_key, &tls, &why) != SP_OK)
		say(c, true, "%s", why.text);
	if (c->s->n_keys == 0 && !c->s->ingest_keys_dir)
		say(c, false, "no access key: whoever reaches %s may deliver", c->s->ingest_listen);
	if (!c->s->ingest_tls_cert)
		say(c, false, "ingest.listen %s is plain HTTP: something in front must end TLS on port 443, and must never answer 413",
			c->s->ingest_listen);
	keys_free(&keys);
	tls_free(&tls);
}

static void check_secret(struct check *c, const char *destination, const char *key, const char *path)
{
	struct sp_buf secret = {0};
	struct sp_why why;
	if (!path)
		return;
	if (secret_read(path, &secret, &why) != SP_OK)
		say(c, true, "destinations.%s.%s: %s", destination, key, why.text);
	else if (secret.n == 0)
		say(c, true, "destinations.%s.%s: %s is empty", destination, key, path);
	sp_buf_free_secret(&secret);
}

static void check_file(struct check *c, const char *destination, const char *key, const char *path)
{
	if (path && access(path, R_OK) != 0)
		say(c, true, "destinations.%s.%s: %s: %s", destination, key, path, strerror(errno));
}

static void check_destination(struct check *c, const struct dest_settings *d)
{
	check_secret(c, d->name, "bearer_token_file", d->bearer_token_file);
	check_secret(c, d->name, "basic_auth.password_file", d->basic_auth_password_file);
	check_secret(c, d->name, "authorization.credentials_file", d->authorization_file);
	for (size_t i = 0; i < d->header_files.n; i++)
		check_secret(c, d->name, "header_files", d->header_files.values[i]);
	check_file(c, d->name, "sigv4.credentials_file", d->sigv4_credentials_file);
	check_file(c, d->name, "tls_config.ca_file", d->tls_ca_file);
	check_file(c, d->name, "tls_config.cert_file", d->tls_cert_file);
	check_file(c, d->name, "tls_config.key_file", d->tls_key_file);
	if (d->tls_insecure)
		say(c, false, "destinations.%s: the receiver's certificate is not checked", d->name);
}

static void check_spool(struct check *c)
{
	/* The directory is made at the start; what counts is the volume it will be on. */
	char *dir = sp_strdup(c->s->spool_dir);
	for (char *slash; access(dir, F_OK) != 0 && (slash = strrchr(dir, '/'));)
		slash[slash == dir] = '\0';
	if (access(dir, F_OK) != 0) { /* relative */
		sp_free(dir);
		dir = sp_strdup(".");
	}
	struct statvfs v;
	const char *fs = volatile_fs(dir);
	if (fs && !c->s->spool_allow_volatile)
		say(c, true, "spool.dir %s is on %s, where a 200 would not be safe; use a local disk, or spool.allow_volatile for a test",
			c->s->spool_dir, fs);
	if (access(dir, W_OK | X_OK) != 0)
		say(c, true, "spool.dir: %s: %s", dir, strerror(errno));
	if (statvfs(dir, &v) == 0 && (uint64_t)c->s->spool_max > (uint64_t)v.f_blocks * v.f_frsize)
		say(c, false, "spool.max is larger than the volume of %s (%llu MiB)", dir,
			(unsigned long long)((uint64_t)v.f_blocks * v.f_frsize >> 20));
	sp_free(dir);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

/* All that can be found out without the network. */
static int check_here(const char *path, FILE *out)
{
	struct conf *conf = NULL;
	struct settings *s = NULL;
	struct keys_dir *dir = NULL;
	struct sp_why why;
	if (config_read(path, &conf, &s, &why) != SP_OK) {
		fprintf(out, "error: %s\n", why.text);
		return SP_EXIT_CONFIG;
	}
	if (s->ingest_keys_dir) {
		struct settings *main_only = s;
		enum sp_status status = keys_dir_new(&conf, main_only->ingest_keys_dir, SP_ROLE_ALL, false, &dir, &s, &why);
		settings_free(&main_only);
		if (status != SP_OK) {
			fprintf(out, "error: %s\n", why.text);
			return SP_EXIT_CONFIG;
		}
	}
	struct check c = {.s = s, .out = out};
	struct accounts *accounts = NULL;
	if (s->convert_account_labels_file && accounts_read(s->convert_account_labels_file, &accounts, &why) != SP_OK)
		say(&c, true, "convert.account_labels_file: %s", why.text);
	accounts_free(&accounts);
	check_ingest(&c);
	check_spool(&c);
	for (size_t i = 0; i < s->n_dests; i++)
		check_destination(&c, &s->dests[i]);
	fprintf(out, "%s: %u error%s, %u warning%s; deliveries on %s%s with %zu key%s, spool %s (%lld MiB), %zu destination%s\n",
		c.errors ? "not usable" : "good", c.errors, plural(c.errors), c.warnings, plural(c.warnings), s->ingest_listen,
		s->ingest_tls_cert ? " (TLS)" : "", s->n_keys, plural(s->n_keys), s->spool_dir, (long long)(s->spool_max >> 20), s->n_dests,
		plural(s->n_dests));
	conf_free(&conf);
	keys_dir_free(&dir);
	settings_free(&s);
	return c.errors ? SP_EXIT_CONFIG : SP_EXIT_OK;
}

int check_main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"connect", no_argument, NULL, 'n'},
		{"write-probe", no_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'}, {0}};
	const char *path = NULL;
	bool connect = false, wrong = false, write_probe = false, json = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		path = o == 'c' ? optarg : path;
		connect |= o == 'n';
		write_probe |= o == 'w';
		json |= o == 'j';
		wrong |= o == '?';
	}
	if (wrong || optind != argc || ((write_probe || json) && !connect)) {
		fputs("usage: standpipe check [--config FILE] [--connect [--write-probe] [--json]]\n", stderr);
		return SP_EXIT_USAGE;
	}
	int status = check_here(path, json ? stderr : stdout);
	if (status != SP_EXIT_OK || !connect)
		return status;
	fflush(stdout);
	/* Credentials and the way out are ship's. */
	const char *args[] = {"connect", write_probe ? "--write-probe" : NULL, json ? "--json" : NULL, path ? "--config" : NULL, path};
	int n = 0;
	for (size_t i = 0; i < sizeof args / sizeof args[0]; i++)
		if (args[i])
			args[n++] = args[i];
	return exec_role(n, (char **)(uintptr_t)args, "ship");
}
