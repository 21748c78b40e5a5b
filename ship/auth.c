#include "ship/auth.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"

#include <openssl/evp.h>

struct auth {
	const struct dest_settings *settings;
	const char *path; /* NULL: no authentication */
	struct sp_watch seen;
	char *header;
	const char *lines[2];
	bool reported; /* the file cannot be used, and that was said */
};

static void forget(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	sp_free(*secret);
	*secret = NULL;
}

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
	forget(&encoded);
	return header;
}

static bool fits_header(struct sp_bytes secret)
{
	for (size_t i = 0; i < secret.n; i++)
		if (secret.p[i] < ' ' || secret.p[i] == 0x7f)
			return false;
	return secret.n > 0;
}

static enum sp_status read_header(const struct auth *a, char **out, struct sp_why *why)
{
	const struct dest_settings *d = a->settings;
	struct sp_buf secret = {0};
	enum sp_status status = secret_read(a->path, &secret, why);
	if (status == SP_OK && !fits_header(sp_buf_view(&secret)))
		status = sp_fail(why, SP_CONFIG, "%s is empty or has bytes that cannot stand in a header", a->path);
	if (status == SP_OK)
		*out = d->bearer_token_file
			   ? sp_asprintf("Authorization: Bearer %.*s", (int)secret.n, (const char *)secret.p)
			   : basic_header(d->basic_auth_username, sp_buf_view(&secret));
	if (secret.p)
		explicit_bzero(secret.p, secret.n);
	sp_buf_free(&secret);
	return status;
}

enum sp_status auth_new(const struct dest_settings *d, struct auth **out, struct sp_why *why)
{
	struct auth *a = sp_new(struct auth);
	a->settings = d;
	a->path = d->bearer_token_file ? d->bearer_token_file : d->basic_auth_password_file;
	if (a->path)
		sp_watch_changed(&a->seen, a->path);
	enum sp_status status = a->path ? read_header(a, &a->header, why) : SP_OK;
	if (status != SP_OK) {
		auth_free(&a);
		return SP_CONFIG;
	}
	*out = a;
	return SP_OK;
}

void auth_free(struct auth **a)
{
	if (!*a)
		return;
	forget(&(*a)->header);
	sp_free(*a);
	*a = NULL;
}

const char *const *auth_lines(struct auth *a, struct sp_bytes body)
{
	(void)body;
	a->lines[0] = a->header;
	return a->lines;
}

bool auth_poll(struct auth *a)
{
	struct sp_why why;
	char *header = NULL;
	if (!a->path || !sp_watch_changed(&a->seen, a->path))
		return false;
	if (read_header(a, &header, &why) != SP_OK) {
		if (!a->reported)
			sp_log(SP_LOG_WARN, "destination.secret_unusable", sp_f_str("destination", a->settings->name),
			    sp_f_str("msg", why.text), SP_LOG_END);
		a->reported = true;
		return false;
	}
	a->reported = false;
	bool changed = strcmp(header, a->header) != 0;
	forget(&a->header);
	a->header = header;
	return changed;
}
