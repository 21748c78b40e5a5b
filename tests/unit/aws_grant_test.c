/* Access keys out of answers and files of AWS, and nothing out of what only looks like them. */
#include "ship/auth/aws_grant.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define STS(id, rest)                                                                                                  \
	"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n "                                  \
	"<AssumeRoleResult><AssumedRoleUser>"                                                                          \
	"<AssumedRoleId>ARO:x</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>" id                          \
	"</AccessKeyId>\n<SecretAccessKey>s/+=</SecretAccessKey>" rest                                                 \
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>"
#define REST "<SessionToken>t//==</SessionToken><Expiration>2026-01-02T03:04:05Z</Expiration>"

typedef enum sp_status (*read_fn)(struct sp_bytes text, struct aws_grant *out, struct sp_why *why);

static enum sp_status from_profile(struct sp_bytes text, struct aws_grant *out, struct sp_why *why)
{
	return aws_grant_from_profile(text, "prod", out, why);
}

static void texts(void **state)
{
	static const struct {
		read_fn read;
		const char *text;
		enum sp_status status;
		const char *id, *token;
		int64_t expires_ms;
	} cases[] = {
	    {aws_grant_from_json,
		"{\"Code\":\"Success\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":"
		"\"2026-01-02T03:04:05Z\"}",
		SP_OK, "A", "t", 1767323045000},
	    {aws_grant_from_json, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}", SP_OK, "A", NULL, 0},
	    {aws_grant_from_json, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}",
		SP_BAD_DATA},
	    {aws_grant_from_json, "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"s\"}", SP_BAD_DATA},
	    {aws_grant_from_json, "{\"AccessKeyId\":1,\"SecretAccessKey\":\"s\"}", SP_BAD_DATA},
	    {aws_grant_from_json, "[]", SP_BAD_DATA},
	    {aws_grant_from_json, "", SP_BAD_DATA},
	    {aws_grant_from_sts, STS("A", REST), SP_OK, "A", "t//==", 1767323045000},
	    {aws_grant_from_sts, STS("A", "<Expiration>2026-01-02T03:04:05Z</Expiration>"), SP_BAD_DATA},
	    {aws_grant_from_sts, STS("A", "<SessionToken>t</SessionToken>"), SP_BAD_DATA},
	    {aws_grant_from_sts, STS("<b>A</b>", REST), SP_BAD_DATA},
	    {aws_grant_from_sts, STS("&lt;", REST), SP_BAD_DATA},
	    {aws_grant_from_sts, "<AccessKeyId>A", SP_BAD_DATA},
	    {aws_grant_from_sts, "<AccessKeyId>", SP_BAD_DATA},
	    {from_profile,
		"[default]\naws_access_key_id=D\n[prod]\r\n aws_access_key_id = A \r\n# "
		"x\naws_secret_access_key=s=\n[other]\naws_access_key_id=O\n",
		SP_OK, "A", NULL, 0},
	    {from_profile, "[profile prod]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token=t", SP_OK,
		"A", "t", 0},
	    {from_profile, "[default]\naws_access_key_id=D\naws_secret_access_key=s\n", SP_NOT_FOUND},
	    {from_profile, "[prod]\nrole_arn=r\nsource_profile=default\n", SP_CONFIG},
	    {from_profile, "[prod", SP_NOT_FOUND},
	    {from_profile, "[", SP_NOT_FOUND},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_why why = {0};
		struct aws_grant g = {0};
		char *exact = sp_strndup(cases[i].text, strlen(cases[i].text)); /* so that reading on is found */
		enum sp_status status = cases[i].read(sp_bytes(exact, strlen(exact)), &g, &why);
		if (status != cases[i].status)
			fail_msg("%zu: %s, %s", i, sp_status_name(status), why.text);
		if (status == SP_OK) {
			assert_string_equal(g.id, cases[i].id);
			assert_int_equal(g.expires_wall_ms, cases[i].expires_ms);
			assert_int_equal(!g.token, !cases[i].token);
			if (g.token)
				assert_string_equal(g.token, cases[i].token);
		} else {
			assert_non_null(why.text[0] ? why.text : NULL);
		}
		aws_grant_free(&g);
		sp_free(exact);
	}
}

static void words_of_errors(void **state)
{
	char out[64];
	(void)state;
	aws_error_words(SP_LIT("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\n<Message>not "
			       "you</Message></Error></ErrorResponse>"),
	    out, sizeof out);
	assert_string_equal(out, "AccessDenied: not you");
	aws_error_words(SP_LIT("Not Found\n\x01"), out, sizeof out);
	assert_string_equal(out, "Not Found  ");
	aws_error_words(SP_LIT(""), out, sizeof out);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(words_of_errors)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
