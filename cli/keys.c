/* keys - makes access keys: the secret is printed once, and its hash goes into the key's file in ingest.keys_dir. */
#include "cli/verbs.h"
#include "common/alloc.h"
#include "common/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32
#define SECRET_TEXT 43 /* of it in base64url, without padding */
#define HASH_TEXT 71   /* "sha256:" and 64 digits */
#define HASHES_MAX 8
#define FILE_MODE 0640

struct key_file {
	char *dir, *path, *fresh; /* fresh: written beside, then put in place */
	struct sp_buf text;
	struct settings *settings; /* of the file alone */
	const struct key_settings *key;
};

static enum sp_status make_secret(char secret[SECRET_TEXT + 1], char hash[HASH_TEXT + 1], struct sp_why *why)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random_bytes[SECRET_BYTES + 1] = {0}, digest[SHA256_DIGEST_LENGTH];
	if (getrandom(random_bytes, SECRET_BYTES, 0) != SECRET_BYTES)
		return sp_fail(why, SP_IO, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < SECRET_TEXT; i++) {
		size_t bit = i * 6;
		unsigned two = (unsigned)random_bytes[bit / 8] << 8 | random_bytes[bit / 8 + 1];
		secret[i] = digits[two >> (10 - bit % 8) & 63];
	}
	secret[SECRET_TEXT] = '\0';
	OPENSSL_cleanse(random_bytes, sizeof random_bytes);
	SHA256((const uint8_t *)secret, SECRET_TEXT, digest);
	int n = snprintf(hash, HASH_TEXT + 1, "sha256:");
	for (size_t i = 0; i < sizeof digest; i++)
		n += snprintf(hash + n, (size_t)(HASH_TEXT + 1 - n), "%02x", digest[i]);
	return SP_OK;
}

/* ---- the file ---- */

static enum sp_status read_key_file(struct key_file *f, const char *name, struct sp_why *why)
{
	struct conf *c = conf_new();
	char *section = sp_asprintf("keys.%s", name);
	enum sp_status status = conf_read_yaml_below(c, section, f->path, why);
	if (status == SP_OK)
		status = secret_read(f->path, &f->text, why); /* the text, to keep what else is in it */
	if (status == SP_OK)
		status = settings_load(c, SP_ROLE_RUN, &f->settings, why);
	if (status == SP_OK && (f->settings->n_keys != 1 || f->settings->keys[0].hash.n == 0))
		status = sp_fail(why, SP_CONFIG, "%s has no hash to add to", f->path);
	if (status == SP_OK)
		f->key = &f->settings->keys[0];
	conf_free(&c);
	sp_free(section);
	return status;
}

/* The one line `hash: [...]` made anew; everything else stays as it is. */
static enum sp_status replace_hashes(struct key_file *f, const char *const *hashes, size_t n, struct sp_why *why)
{
	struct sp_buf out = {0};
	unsigned found = 0;
	for (struct sp_bytes rest = sp_buf_view(&f->text); rest.n;) {
		const uint8_t *end = memchr(rest.p, '\n', rest.n);
		struct sp_bytes line = sp_bytes(rest.p, end ? (size_t)(end - rest.p) : rest.n);
		rest = sp_bytes(line.p + line.n + (end != NULL), rest.n - line.n - (end != NULL));
		if (line.n > 6 && memcmp(line.p, "hash: ", 6) == 0 && (line.p[6] != '[' || memchr(line.p, ']', line.n))) {
			found++;
			sp_buf_str(&out, "hash: [");
			for (size_t i = 0; i < n; i++)
				sp_buf_printf(&out, "%s%s", i ? ", " : "", hashes[i]);
			sp_buf_str(&out, "]\n");
		} else {
			sp_buf_add(&out, line);
			sp_buf_str(&out, "\n");
		}
	}
	sp_buf_free(&f->text);
	f->text = out;
	return found == 1 ? SP_OK : sp_fail(why, SP_CONFIG, "%s: hash is not one line, \"hash: [...]\": change it by hand", f->path);
}

/* Owner, group and mode as the former file's; a new one's group is the directory's, so that ingest and ship may read it. */
static enum sp_status write_key_file(const struct key_file *f, bool is_new, struct sp_why *why)
{
	struct stat like;
	bool known = stat(is_new ? f->dir : f->path, &like) == 0;
	int fd = known ? open(f->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	if (fd < 0)
		return sp_fail(why, SP_IO, "%s: %s", known ? f->fresh : f->dir, strerror(errno));
	bool ok = write(fd, f->text.p, f->text.n) == (ssize_t)f->text.n;
	/* Who may not give it away keeps it: then it is his anyway. */
	(void)!fchown(fd, is_new ? (uid_t)-1 : like.st_uid, like.st_gid);
	ok = fchmod(fd, is_new ? FILE_MODE : like.st_mode & 0777) == 0 && fsync(fd) == 0 && ok;
	close(fd);
	if (ok) /* a link does not replace what is there */
		ok = is_new ? link(f->fresh, f->path) == 0 : rename(f->fresh, f->path) == 0;
	int error = errno;
	unlink(f->fresh);
	int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok = ok && dir >= 0 && fsync(dir) == 0;
	if (dir >= 0)
		close(dir);
	return ok ? SP_OK : sp_fail(why, SP_IO, "%s: %s", f->path, strerror(error));
}

/* ---- the verbs ---- */

static enum sp_status change_file(struct key_file *f, const char *verb, const char *name, const char *hash, struct sp_why *why)
{
	const char *hashes[HASHES_MAX];
	size_t n = 0;
	if (strcmp(verb, "new") == 0) {
		sp_buf_printf(&f->text, "hash: [%s]\n", hash);
		return write_key_file(f, true, why);
	}
	enum sp_status status = read_key_file(f, name, why);
	if (status != SP_OK)
		return status;
	const struct sp_list *former = &f->key->hash;
	if (strcmp(verb, "retire") == 0) {
		hashes[n++] = former->v[former->n - 1];
	} else {
		for (; n < former->n && n < HASHES_MAX - 1; n++)
			hashes[n] = former->v[n];
		if (n < former->n)
			return sp_fail(why, SP_FULL, "%s holds %zu hashes already: retire the old ones first", f->path, former->n);
		hashes[n++] = hash;
	}
	status = replace_hashes(f, hashes, n, why);
	return status == SP_OK ? write_key_file(f, false, why) : status;
}

/* told, or where the configuration says. *dir is the caller's. */
static enum sp_status find_dir(const char *config, const char *told, char **dir, struct sp_why *why)
{
	if (told) {
		*dir = sp_strdup(told);
		return SP_OK;
	}
	struct conf *conf = conf_new();
	struct settings *s = NULL;
	enum sp_status status = conf_read_usual(conf, config, why);
	if (status == SP_OK)
		status = settings_load(conf, SP_ROLE_RUN, &s, why); /* the first key may come before the rest is configured */
	if (status == SP_OK && !s->ingest_keys_dir)
		status = sp_fail(why, SP_CONFIG, "ingest.keys_dir is not set: set it, or name a directory with --dir");
	else if (status == SP_OK)
		*dir = sp_strdup(s->ingest_keys_dir);
	conf_free(&conf);
	settings_free(&s);
	return status;
}

static enum sp_status run_verb(const char *verb, const char *name, const char *config, const char *dir, struct sp_why *why)
{
	char secret[SECRET_TEXT + 1] = "", hash[HASH_TEXT + 1];
	struct key_file f = {0};
	enum sp_status status = key_name_ok(name) ? find_dir(config, dir, &f.dir, why)
						  : sp_fail(why, SP_CONFIG, "\"%.80s\" cannot be the name of a key: right are small letters, digits and single _", name);
	if (status == SP_OK)
		status = make_secret(secret, hash, why);
	if (status == SP_OK) {
		f.path = sp_asprintf("%s/%s.yaml", f.dir, name);
		f.fresh = sp_asprintf("%s/.%s.yaml.%d", f.dir, name, (int)getpid());
		status = change_file(&f, verb, name, hash, why);
	}
	if (status == SP_OK && strcmp(verb, "retire") != 0 && (puts(secret) < 0 || fflush(stdout) != 0))
		status = sp_fail(why, SP_IO, "the key could not be printed: %s has its hash, but nobody knows it", f.path);
	OPENSSL_cleanse(secret, sizeof secret);
	if (status == SP_OK)
		fprintf(stderr, "%s is written and counts within two seconds\n", f.path);
	sp_buf_free(&f.text);
	settings_free(&f.settings);
	sp_free(f.dir);
	sp_free(f.path);
	sp_free(f.fresh);
	return status;
}

int keys_main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"dir", required_argument, NULL, 'd'}, {0}};
	const char *config = NULL, *dir = NULL;
	bool wrong = false;
	struct sp_why why;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		config = o == 'c' ? optarg : config;
		dir = o == 'd' ? optarg : dir;
		wrong |= o == '?';
	}
	const char *verb = !wrong && argc - optind == 2 ? argv[optind] : "";
	if (strcmp(verb, "new") != 0 && strcmp(verb, "rotate") != 0 && strcmp(verb, "retire") != 0) {
		fputs("usage: standpipe keys new | rotate | retire NAME [--dir DIR] [--config FILE]\n", stderr);
		return SP_EXIT_USAGE;
	}
	enum sp_status status = run_verb(verb, argv[optind + 1], config, dir, &why);
	if (status == SP_OK)
		return SP_EXIT_OK;
	fprintf(stderr, "standpipe keys: %s\n", why.text);
	return status == SP_CONFIG ? SP_EXIT_CONFIG : SP_EXIT_FAILED;
}
