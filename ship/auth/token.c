#include "ship/auth/token.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"

struct token {
	char *key_name, *path; /* path NULL: no such key was found yet */
	struct sp_watch seen;
	bool unread; /* also what could not be read: a change of its permissions is no change of the file */
	bool reported;
	char *line;
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
	sp_free_secret(&t->line);
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
		t->path = sp_strdup(k->file);
		t->unread = true;
	}
}

/* As ingest reads it: a line for each key, blanks around it do not count. */
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

static bool fits_header(struct sp_bytes secret)
{
	for (size_t i = 0; i < secret.n; i++)
		if (secret.p[i] < ' ' || secret.p[i] == 0x7f)
			return false;
	return secret.n > 0;
}

static enum sp_status read_line(const struct token *t, char **out, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = secret_read(t->path, &text, why);
	struct sp_bytes line = first_line(sp_buf_view(&text));
	if (status == SP_OK && !fits_header(line))
		status = sp_fail(why, SP_CONFIG, "%s holds no key, or bytes that cannot stand in a header", t->path);
	if (status == SP_OK)
		*out = sp_asprintf("Authorization: Bearer %.*s", (int)line.n, (const char *)line.p);
	if (text.p)
		explicit_bzero(text.p, text.n);
	sp_buf_free(&text);
	return status;
}

bool token_poll(struct token *t)
{
	struct sp_why why;
	char *line = NULL;
	if (!t->path || (!sp_watch_changed(&t->seen, t->path) && !t->unread))
		return false;
	t->unread = read_line(t, &line, &why) != SP_OK;
	if (t->unread && !t->reported)
		sp_log(SP_LOG_WARN, "lane.token_unusable", sp_f_str("key", t->key_name), sp_f_str("msg", why.text),
		    SP_LOG_END);
	t->reported = t->unread;
	if (t->unread)
		return false;
	bool changed = !t->line || strcmp(line, t->line) != 0;
	sp_free_secret(&t->line);
	t->line = line;
	return changed;
}

const char *token_line(const struct token *t)
{
	return t->line;
}
