#include "ship/auth/auth.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"
#include "ship/auth/aws_credentials.h"

#include <openssl/evp.h>

/* A header line whose value is in a file. */
struct secret {
	const char *path; /* NULL: there is none yet */
	const struct dest_settings *of; /* NULL: of a lane, the first line of an access key's file */
	const char *name; /* NULL: Authorization */
	struct sp_watch seen;
	char *line;
	bool unread;   /* tried again each time: a change of its permissions is no change of the file */
	bool reported; /* that it cannot be used */
};

struct auth {
	const struct dest_settings *settings;
	struct secret *secrets;
	size_t n_secrets;
	const char **lines; /* of all of them and a signature, up to a NULL */

	struct aws_credentials *aws; /* NULL: nothing is signed */
	const struct http_place *place;
	char *signature[SIGV4_LINES];
	bool renewing; /* for a 403 */
	void (*changed)(void *arg);
	void *arg;
};

/* ---- secrets ---- */

static char *basic_header(const char *user, struct sp_bytes password)
{
	struct sp_buf pair = {0};
	sp_buf_printf(&pair, "%s:", user);
	sp_buf_add(&pair, password);
	char *encoded = sp_alloc(pair.n / 3 * 4 + 5);
	EVP_EncodeBlock((unsigned char *)encoded, pair.p, (int)pair.n);
	char *header = sp_asprintf("Authorization: Basic %s", encoded);
	sp_buf_free_secret(&pair);
	sp_free_secret(&encoded);
	return header;
}

static char *header_of(const struct secret *s, struct sp_bytes value)
{
	if (s->name)
		return sp_asprintf("%s: %.*s", s->name, (int)value.n, (const char *)value.p);
	if (s->of && s->of->basic_auth_username)
		return basic_header(s->of->basic_auth_username, value);
	const char *type = s->of && s->of->authorization_type ? s->of->authorization_type : "Bearer";
	return sp_asprintf("Authorization: %s %.*s", type, (int)value.n, (const char *)value.p);
}

static bool fits_header(struct sp_bytes secret)
{
	for (size_t i = 0; i < secret.n; i++)
		if (secret.p[i] < ' ' || secret.p[i] == 0x7f)
			return false;
	return secret.n > 0;
}

/* As ingest reads access keys: a line for each, blanks around it do not count. */
static struct sp_bytes first_line(struct sp_bytes text)
{
	struct sp_bytes line = {0};
	while (line.n == 0 && text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;
		line = sp_trim(sp_bytes(text.p, n && text.p[n - 1] == '\r' ? n - 1 : n));
		text = sp_bytes(text.p + n + (end != NULL), text.n - n - (end != NULL));
	}
	return line;
}

static enum sp_status read_line(const struct secret *s, char **out, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = secret_read(s->path, &text, why);
	struct sp_bytes value = s->of ? sp_buf_view(&text) : first_line(sp_buf_view(&text));
	if (status == SP_OK && !fits_header(value))
		status = sp_fail(why, SP_CONFIG, "%s is empty or has bytes that cannot stand in a header", s->path);
	if (status == SP_OK)
		*out = header_of(s, value);
	sp_buf_free_secret(&text);
	return status;
}

/* True when there is another line now. What cannot be used leaves the last one, and is logged once. */
static bool secret_poll(struct secret *s, const char *event, struct sp_log_field whose)
{
	struct sp_why why;
	char *line = NULL;
	if (!s->path || (!sp_watch_changed(&s->seen, s->path) && !s->unread))
		return false;
	s->unread = read_line(s, &line, &why) != SP_OK;
	if (s->unread && !s->reported)
		sp_log(SP_LOG_WARN, event, whose, sp_f_str("msg", why.text), SP_LOG_END);
	s->reported = s->unread;
	if (s->unread)
		return false;
	bool changed = !s->line || strcmp(line, s->line) != 0;
	sp_free_secret(&s->line);
	s->line = line;
	return changed;
}

/* ---- destinations ---- */

static void on_keys(void *arg)
{
	struct auth *a = arg;
	a->renewing = false;
	a->changed(a->arg);
}

enum sp_status auth_new(struct sp_loop *l, struct http_client *c, const struct http_target *t,
    const struct dest_settings *d, void (*changed)(void *arg), void *arg, struct auth **out, struct sp_why *why)
{
	struct auth *a = sp_new(struct auth);
	const char *path = d->bearer_token_file	   ? d->bearer_token_file
			   : d->authorization_file ? d->authorization_file
						   : d->basic_auth_password_file;
	enum sp_status status = SP_OK;
	a->settings = d;
	a->changed = changed;
	a->arg = arg;
	a->secrets = sp_new_array(struct secret, 1 + d->header_files.n);
	a->lines = sp_new_array(const char *, 1 + d->header_files.n + SIGV4_LINES);
	if (path)
		a->secrets[a->n_secrets++] = (struct secret){.path = path, .of = d};
	for (size_t i = 0; i < d->header_files.n; i++)
		a->secrets[a->n_secrets++] =
		    (struct secret){.path = d->header_files.values[i], .of = d, .name = d->header_files.names[i]};
	for (size_t i = 0; i < a->n_secrets && status == SP_OK; i++) {
		sp_watch_changed(&a->secrets[i].seen, a->secrets[i].path);
		status = read_line(&a->secrets[i], &a->secrets[i].line, why);
	}
	if (status != SP_OK) {
		auth_free(&a);
		return SP_CONFIG;
	}
	if (d->sigv4_region) {
		a->place = http_target_place(t);
		a->aws = aws_credentials_new(l, c, d, d->sigv4_region, on_keys, a);
	}
	*out = a;
	return SP_OK;
}

void auth_free(struct auth **auth)
{
	struct auth *a = *auth;
	if (!a)
		return;
	for (size_t i = 0; i < a->n_secrets; i++)
		sp_free_secret(&a->secrets[i].line);
	sigv4_lines_free(a->signature);
	aws_credentials_free(&a->aws);
	sp_free(a->secrets);
	sp_free(a->lines);
	sp_free(a);
	*auth = NULL;
}

bool auth_ready(const struct auth *a)
{
	struct aws_keys keys;
	return !a->aws || (!a->renewing && aws_credentials_keys(a->aws, &keys));
}

const char *auth_trouble(const struct auth *a)
{
	return a->aws ? aws_credentials_trouble(a->aws) : NULL;
}

void auth_retry(struct auth *a)
{
	if (auth_trouble(a))
		aws_credentials_renew(a->aws);
}

void auth_describe(const struct auth *a, struct sp_buf *out)
{
	const struct dest_settings *d = a->settings;
	if (a->aws)
		sp_buf_printf(out, "AWS access keys (%s%s%s), region %s", aws_credentials_source(a->aws),
		    d->sigv4_role_arn ? ", as " : "", d->sigv4_role_arn ? d->sigv4_role_arn : "", d->sigv4_region);
	else
		sp_buf_str(out, d->basic_auth_username	? "user name and password"
				: d->authorization_type ? d->authorization_type
				: a->n_secrets == 0	? "none"
				: a->secrets[0].name	? "secret headers"
							: "bearer token");
	if (d->tls_cert_file)
		sp_buf_str(out, ", client certificate");
}

const char *const *auth_lines(struct auth *a, struct sp_bytes body)
{
	size_t n = 0;
	for (size_t i = 0; i < a->n_secrets; i++)
		a->lines[n++] = a->secrets[i].line;
	struct aws_keys keys;
	if (a->aws && aws_credentials_keys(a->aws, &keys)) {
		struct sigv4_request r = {.method = "POST",
		    .host = a->place->host,
		    .path = a->place->path,
		    .query = a->place->query,
		    .body = body};
		sigv4_lines_free(a->signature);
		sigv4_sign(&r, &keys, a->settings->sigv4_region, "aps", aws_credentials_now_ms(a->aws), a->signature);
		for (size_t i = 0; i < SIGV4_LINES && a->signature[i]; i++)
			a->lines[n++] = a->signature[i];
	}
	a->lines[n] = NULL;
	return a->lines;
}

bool auth_poll(struct auth *a)
{
	bool changed = false;
	for (size_t i = 0; i < a->n_secrets; i++)
		changed |= secret_poll(&a->secrets[i], "destination.secret_unusable", sp_f_str("destination", a->settings->name));
	if (a->aws)
		aws_credentials_poll(a->aws);
	return changed;
}

bool auth_forbidden(struct auth *a, const struct http_answer *answer)
{
	if (!a->aws)
		return false;
	a->renewing = true;
	aws_credentials_heard(a->aws, answer->date_ms);
	aws_credentials_renew(a->aws);
	return true;
}

/* ---- lanes ---- */

struct token {
	char *key_name, *path;
	struct secret secret;
};

struct token *token_new(const char *key_name)
{
	struct token *t = sp_new(struct token);
	t->key_name = sp_strdup(key_name);
	return t;
}

void token_free(struct token **tp)
{
	struct token *t = *tp;
	if (!t)
		return;
	*tp = NULL;
	sp_free_secret(&t->secret.line);
	sp_free(t->key_name);
	sp_free(t->path);
	sp_free(t);
}

void token_find(struct token *t, const struct settings *s)
{
	for (size_t i = 0; i < s->n_keys; i++) {
		const struct key_settings *k = &s->keys[i];
		if (strcmp(k->name, t->key_name) != 0 || !k->file || (t->path && strcmp(k->file, t->path) == 0))
			continue;
		sp_free(t->path);
		t->secret.path = t->path = sp_strdup(k->file);
		t->secret.unread = true;
	}
}

bool token_poll(struct token *t)
{
	return secret_poll(&t->secret, "lane.token_unusable", sp_f_str("key", t->key_name));
}

const char *token_line(const struct token *t)
{
	return t->secret.line;
}
