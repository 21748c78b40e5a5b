/* Any text as an answer of AWS, a shared file, or the path and query of a URL: keys that come out can stand in a header
 * line, a refusal says why, and the same request gets the same signature. */
#include "ship/auth/aws_grant.h"
#include "ship/auth/sigv4.h"

#include "common/alloc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static void settle(enum sp_status status, struct aws_grant *g, const struct sp_why *why)
{
	if (status != SP_OK) {
		expect(why->text[0]);
		return;
	}
	for (const char *c = g->id; *c; c++)
		expect(*c > ' ' && *c < 0x7f);
	expect(g->id[0] && g->secret[0] && (!g->token || g->token[0]));
	aws_grant_free(g);
}

static void sign(const char *text)
{
	struct aws_keys keys = {"id", "secret", NULL};
	char *a[SIGV4_LINES], *b[SIGV4_LINES], *path = sp_strndup(text, strcspn(text, "?"));
	struct sigv4_request r = {
	    .method = "POST", .host = "h", .path = path, .query = strchr(text, '?') ? strchr(text, '?') + 1 : NULL};
	sigv4_sign(&r, &keys, "r", "s", 0, a);
	sigv4_sign(&r, &keys, "r", "s", 0, b);
	expect(strcmp(a[1], b[1]) == 0);
	sigv4_lines_free(a);
	sigv4_lines_free(b);
	sp_free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_bytes text = sp_bytes(data, n);
	struct aws_grant g = {0};
	struct sp_why why = {.text = ""};
	char words[40];
	settle(aws_grant_from_json(text, &g, &why), &g, &why);
	settle(aws_grant_from_sts(text, &g, &why), &g, &why);
	settle(aws_grant_from_profile(text, "p", &g, &why), &g, &why);
	aws_error_words(text, words, sizeof words);
	expect(memchr(words, 0, sizeof words));
	char *copy = sp_strndup(data, n);
	sign(copy);
	sp_free(copy);
	return 0;
}
