#include "ship/auth/aws_grant.h"

#include "common/alloc.h"
#include "common/json.h"

#include <stdio.h>
#include <time.h>

void aws_grant_free(struct aws_grant *g)
{
	sp_free_secret(&g->id);
	sp_free_secret(&g->secret);
	sp_free_secret(&g->token);
	g->expires_wall_ms = 0;
}

/* Keys go into header lines. */
static bool is_token(const char *s)
{
	for (const char *at = s; *at; at++)
		if (*at <= ' ' || *at >= 0x7f)
			return false;
	return *s;
}

/* Takes over what is in g; it is out's on SP_OK, and gone otherwise. */
static enum sp_status finish(struct aws_grant *g, const char *expiration, struct aws_grant *out, struct sp_why *why)
{
	struct tm tm = {0};
	enum sp_status status = SP_OK;
	if (!g->id || !g->secret || !is_token(g->id) || !is_token(g->secret) || (g->token && !is_token(g->token)))
		status = sp_fail(why, SP_BAD_DATA, "no usable access keys in it");
	else if (expiration && !strptime(expiration, "%Y-%m-%dT%H:%M:%S", &tm))
		status = sp_fail(why, SP_BAD_DATA, "the time at which the keys expire is not readable");
	if (status != SP_OK) {
		aws_grant_free(g);
		return status;
	}
	if (expiration)
		g->expires_wall_ms = (int64_t)timegm(&tm) * 1000;
	*out = *g;
	return SP_OK;
}

static char *json_text(const json_t *root, const char *name)
{
	const char *s = json_string_value(json_object_get(root, name));
	return s ? sp_strdup(s) : NULL;
}

enum sp_status aws_grant_from_json(struct sp_bytes text, struct aws_grant *out, struct sp_why *why)
{
	json_t *root = sp_json_read(text);
	struct aws_grant g = {
	    json_text(root, "AccessKeyId"), json_text(root, "SecretAccessKey"), json_text(root, "Token"), 0};
	enum sp_status status = finish(&g, json_string_value(json_object_get(root, "Expiration")), out, why);
	json_decref(root);
	return status;
}

/* The text of the first <name>...</name>, which may hold no element and no entity: keys never do. Empty when there is
 * none. */
static struct sp_bytes element(struct sp_bytes xml, const char *name)
{
	char tag[64];
	size_t n = (size_t)snprintf(tag, sizeof tag, "<%s>", name);
	const uint8_t *open = xml.n ? memmem(xml.p, xml.n, tag, n) : NULL;
	if (!open)
		return (struct sp_bytes){0};
	struct sp_bytes rest = sp_bytes(open + n, xml.n - (size_t)(open + n - xml.p));
	const uint8_t *end = rest.n ? memchr(rest.p, '<', rest.n) : NULL;
	size_t left = end ? rest.n - (size_t)(end - rest.p) : 0;
	n = (size_t)snprintf(tag, sizeof tag, "</%s>", name);
	if (left < n || memcmp(end, tag, n) != 0)
		return (struct sp_bytes){0};
	return sp_bytes(rest.p, (size_t)(end - rest.p));
}

static char *element_text(struct sp_bytes xml, const char *name)
{
	struct sp_bytes s = element(xml, name);
	return s.n && !memchr(s.p, '&', s.n) ? sp_strndup(s.p, s.n) : NULL;
}

enum sp_status aws_grant_from_sts(struct sp_bytes xml, struct aws_grant *out, struct sp_why *why)
{
	struct aws_grant g = {element_text(xml, "AccessKeyId"), element_text(xml, "SecretAccessKey"),
	    element_text(xml, "SessionToken"), 0};
	char *expiration = element_text(xml, "Expiration");
	if (!g.token || !expiration)
		sp_free_secret(&g.id);
	enum sp_status status = finish(&g, expiration, out, why);
	sp_free(expiration);
	return status;
}

/* "name = value" of a line; false when it is none. */
static bool split(struct sp_bytes line, struct sp_bytes *name, struct sp_bytes *value)
{
	const uint8_t *equals = line.n ? memchr(line.p, '=', line.n) : NULL;
	if (!equals)
		return false;
	*name = sp_trim(sp_bytes(line.p, (size_t)(equals - line.p)));
	*value = sp_trim(sp_bytes(equals + 1, line.n - (size_t)(equals - line.p) - 1));
	return true;
}

/* [name], or [profile name] as the file named config has it. */
static bool is_section(struct sp_bytes line, const char *profile)
{
	struct sp_bytes name = sp_trim(sp_bytes(line.p + 1, line.n - 1));
	const uint8_t *end = name.n ? memchr(name.p, ']', name.n) : NULL;
	if (!end)
		return false;
	name = sp_trim(sp_bytes(name.p, (size_t)(end - name.p)));
	if (name.n > 8 && memcmp(name.p, "profile ", 8) == 0)
		name = sp_trim(sp_bytes(name.p + 8, name.n - 8));
	return sp_eq(name, sp_str(profile));
}

enum sp_status aws_grant_from_profile(
    struct sp_bytes text, const char *profile, struct aws_grant *out, struct sp_why *why)
{
	struct aws_grant g = {0};
	bool inside = false, found = false;
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		struct sp_bytes line = sp_bytes(text.p, end ? (size_t)(end - text.p) : text.n), name, value;
		text = sp_bytes(text.p + line.n + (end != NULL), text.n - line.n - (end != NULL));
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		line = sp_trim(line);
		if (line.n && line.p[0] == '[')
			inside = is_section(line, profile), found |= inside;
		if (!inside || line.n == 0 || line.p[0] == '#' || line.p[0] == ';' || !split(line, &name, &value))
			continue;
		char **to = sp_eq(name, SP_LIT("aws_access_key_id"))	   ? &g.id
			    : sp_eq(name, SP_LIT("aws_secret_access_key")) ? &g.secret
			    : sp_eq(name, SP_LIT("aws_session_token"))	   ? &g.token
									   : NULL;
		if (to)
			sp_free_secret(to), *to = sp_strndup(value.p, value.n);
	}
	if (!found)
		return sp_fail(why, SP_NOT_FOUND, "no profile %s", profile);
	if (finish(&g, NULL, out, why) != SP_OK)
		return sp_fail(why, SP_CONFIG,
		    "profile %s has no aws_access_key_id and aws_secret_access_key, and nothing else is read there: a "
		    "role to assume is sigv4.role_arn",
		    profile);
	return SP_OK;
}

void aws_error_words(struct sp_bytes text, char *out, size_t n)
{
	struct sp_bytes code = element(text, "Code"), message = element(text, "Message");
	int len = code.n ? snprintf(out, n, "%.*s: %.*s", (int)code.n, (const char *)code.p, (int)message.n,
			       (const char *)message.p)
			 : snprintf(out, n, "%.*s", (int)(text.n < 160 ? text.n : 160), (const char *)text.p);
	for (char *c = out; len > 0 && *c; c++)
		if (*c < ' ' || *c >= 0x7f)
			*c = ' ';
}
