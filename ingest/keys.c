#include "ingest/keys.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

struct key {
	const struct key_settings *settings;
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct sp_watch seen;
	bool reported;
};

struct keys {
	struct key *v;
	size_t n;
};

/* HTTP strips blanks around a header's value, so they cannot count here either. */
static struct sp_bytes trim(struct sp_bytes s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static enum sp_status take_key(struct key *k, struct sp_bytes secret, const char *where, struct sp_why *why)
{
	secret = trim(secret);
	if (secret.n == 0 || secret.n > ACCESS_KEY_MAX)
		return sp_fail(why, SP_CONFIG, "keys.%s: %s holds %s", k->settings->name, where,
			secret.n ? "more than 4096 bytes, which Firehose cannot send" : "no key");
	SHA256(secret.p, secret.n, k->digest);
	return SP_OK;
}

static enum sp_status read_key(struct key *k, struct sp_why *why)
{
	const struct key_settings *s = k->settings;
	if (!s->file)
		return take_key(k, sp_str(s->value), "the value", why);
	struct sp_buf secret = {0};
	sp_watch_changed(&k->seen, s->file); /* before reading: a change in between is seen next time */
	enum sp_status status = secret_read(s->file, &secret, why);
	if (status == SP_OK)
		status = take_key(k, sp_buf_view(&secret), s->file, why);
	if (secret.p)
		OPENSSL_cleanse(secret.p, secret.n);
	sp_buf_free(&secret);
	return status == SP_OK ? SP_OK : SP_CONFIG;
}

enum sp_status keys_new(const struct settings *s, struct keys **out, struct sp_why *why)
{
	struct keys *k = sp_new(struct keys);
	enum sp_status status = SP_OK;
	k->v = sp_new_array(struct key, s->n_keys);
	for (; k->n < s->n_keys && status == SP_OK; k->n++) {
		k->v[k->n].settings = &s->keys[k->n];
		status = read_key(&k->v[k->n], why);
	}
	if (status != SP_OK) {
		keys_free(&k);
		return status;
	}
	*out = k;
	return SP_OK;
}

void keys_free(struct keys **k)
{
	if (!*k)
		return;
	sp_free((*k)->v);
	sp_free(*k);
	*k = NULL;
}

void keys_poll(struct keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		struct key *k = &keys->v[i];
		struct sp_why why = {.text = ""};
		/* What could not be read is tried again each time: a change of its permissions is no change of the file. */
		if (!k->settings->file || (!sp_watch_changed(&k->seen, k->settings->file) && !k->reported))
			continue;
		if (read_key(k, &why) == SP_OK) {
			sp_log(SP_LOG_INFO, "key.changed", sp_f_str("key", k->settings->name), SP_LOG_END);
			k->reported = false;
		} else if (!k->reported) {
			sp_log(SP_LOG_ERROR, "key.unreadable", sp_f_str("key", k->settings->name), sp_f_str("reason", why.text),
				sp_f_str("msg", "the former key stays in force"), SP_LOG_END);
			k->reported = true;
		}
	}
}

bool keys_none(const struct keys *k)
{
	return k->n == 0;
}

const char *keys_find(const struct keys *keys, struct sp_bytes presented)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	const char *found = NULL;
	if (presented.n == 0 || presented.n > ACCESS_KEY_MAX)
		return NULL;
	SHA256(presented.p, presented.n, digest);
	for (size_t i = 0; i < keys->n; i++)
		if (CRYPTO_memcmp(digest, keys->v[i].digest, sizeof digest) == 0)
			found = keys->v[i].settings->name;
	return found;
}
