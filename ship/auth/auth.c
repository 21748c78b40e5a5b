#include "ship/auth/auth.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"
#include "ship/auth/aws_credentials.h"

#include <openssl/evp.h>

/* A header line whose value is in a file. */
struct secret {
	const char *path, *name; /* name: NULL for Authorization */
	struct sp_watch seen;
	char *line;
	bool reported; /* the file cannot be used, and that was said */
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

static char *basic_header(const char *user, struct sp_bytes password)
{
	struct sp_buf pair = {0};
	sp_buf_printf(&pair, "%s:", user);
	sp_buf_add(&pair, password);
	char *encoded = sp_alloc(pair.n / 3 * 4 + 5);
	EVP_EncodeBlock((unsigned char *)encoded, pair.p, (int)pair.n);
	char *header = sp_asprintf("Authorization: Basic %s", encoded);
	explicit_bzero(pair.p, pair.n);
	sp_buf_free(&pair);
	sp_free_secret(&encoded);
	return header;
}

static bool fits_header(struct sp_bytes secret)
{
	for (size_t i = 0; i < secret.n; i++)
		if (secret.p[i] < ' ' || secret.p[i] == 0x7f)
			return false;
	return secret.n > 0;
}

static char *authorization(const struct dest_settings *d, struct sp_bytes secret)
{
	if (d->basic_auth_username)
		return basic_header(d->basic_auth_username, secret);
	const char *type = d->authorization_type ? d->authorization_type : "Bearer";
	return sp_asprintf("Authorization: %s %.*s", type, (int)secret.n, (const char *)secret.p);
}

static enum sp_status read_line(const struct dest_settings *d, const struct secret *s, char **out, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = secret_read(s->path, &text, why);
	if (status == SP_OK && !fits_header(sp_buf_view(&text)))
		status = sp_fail(why, SP_CONFIG, "%s is empty or has bytes that cannot stand in a header", s->path);
	if (status == SP_OK)
		*out = s->name ? sp_asprintf("%s: %.*s", s->name, (int)text.n, (const char *)text.p)
			       : authorization(d, sp_buf_view(&text));
	if (text.p)
		explicit_bzero(text.p, text.n);
	sp_buf_free(&text);
	return status;
}

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
		a->secrets[a->n_secrets++] = (struct secret){.path = path};
	for (size_t i = 0; i < d->header_files.n; i++)
		a->secrets[a->n_secrets++] =
		    (struct secret){.path = d->header_files.values[i], .name = d->header_files.names[i]};
	for (size_t i = 0; i < a->n_secrets && status == SP_OK; i++) {
		sp_watch_changed(&a->secrets[i].seen, a->secrets[i].path);
		status = read_line(d, &a->secrets[i], &a->secrets[i].line, why);
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

static bool secret_poll(const struct dest_settings *d, struct secret *s)
{
	struct sp_why why;
	char *line = NULL;
	if (!sp_watch_changed(&s->seen, s->path))
		return false;
	if (read_line(d, s, &line, &why) != SP_OK) {
		if (!s->reported)
			sp_log(SP_LOG_WARN, "destination.secret_unusable", sp_f_str("destination", d->name),
			    sp_f_str("msg", why.text), SP_LOG_END);
		s->reported = true;
		return false;
	}
	s->reported = false;
	bool changed = strcmp(line, s->line) != 0;
	sp_free_secret(&s->line);
	s->line = line;
	return changed;
}

bool auth_poll(struct auth *a)
{
	bool changed = false;
	for (size_t i = 0; i < a->n_secrets; i++)
		changed |= secret_poll(a->settings, &a->secrets[i]);
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
