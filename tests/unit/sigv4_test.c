/* AWS' published test suite for Signature Version 4: requests and the signatures they must get. */
#include "ship/auth/sigv4.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW_MS 1440938160000 /* 20150830T123600Z */
#define FORM "content-type", "application/x-www-form-urlencoded"
#define STS_TOKEN                                                                                                      \
	"AQoDYXdzEPT//////////"                                                                                        \
	"wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/" \
	"kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+"     \
	"xo0rKwT38xVqr7ZD0u0iPPkUL"                                                                                    \
	"64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const char unreserved[] = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const struct vector {
	const char *name, *method, *path, *query, *body, *token;
	struct sigv4_header headers[2];
	const char *signed_headers, *signature;
} vectors[] = {
    {"get-vanilla", "GET", "/", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-query", "GET", "/", "", "", NULL, {{0}}, "host;x-amz-date",
	"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-empty-query-key", "GET", "/", "Param1=value1", "", NULL, {{0}}, "host;x-amz-date",
	"a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", "", NULL, {{0}}, "host;x-amz-date",
	"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-value", "GET", "/", "Param1=value2&Param1=value1", "", NULL, {{0}}, "host;x-amz-date",
	"5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved", "GET", "/", "UNRESERVED", "", NULL, {{0}}, "host;x-amz-date",
	"9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query", "GET", "/", "\u1234=bar", "", NULL, {{0}}, "host;x-amz-date",
	"2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-unreserved", "GET", "UNRESERVED", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8", "GET", "/\u1234", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"normalize-path/get-relative", "GET", "/example/..", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-relative-relative", "GET", "/example1/example2/../..", NULL, "", NULL, {{0}},
	"host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-slash", "GET", "//", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-slash-dot-slash", "GET", "/./", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-slash-pointless-dot", "GET", "/./example", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"normalize-path/get-slashes", "GET", "//example//", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"normalize-path/get-space", "GET", "/example space/", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-header-key-duplicate", "GET", "/", NULL, "", NULL, {{"my-header1", "value2,value2,value1"}},
	"host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order", "GET", "/", NULL, "", NULL, {{"my-header1", "value4,value1,value3,value2"}},
	"host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim", "GET", "/", NULL, "", NULL, {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}},
	"host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-vanilla", "POST", "/", NULL, "", NULL, {{0}}, "host;x-amz-date",
	"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query", "POST", "/", "Param1=value1", "", NULL, {{0}}, "host;x-amz-date",
	"28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort", "POST", "/", NULL, "", NULL, {{"my-header1", "value1"}}, "host;my-header1;x-amz-date",
	"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case", "POST", "/", NULL, "", NULL, {{"my-header1", "VALUE1"}}, "host;my-header1;x-amz-date",
	"cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded", "POST", "/", NULL, "Param1=value1", NULL, {{FORM}}, "content-type;host;x-amz-date",
	"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded-parameters", "POST", "/", NULL, "Param1=value1", NULL,
	{{"content-type", "application/x-www-form-urlencoded; charset=utf8"}}, "content-type;host;x-amz-date",
	"1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
    {"post-sts-header-before", "POST", "/", NULL, "", STS_TOKEN, {{0}}, "host;x-amz-date;x-amz-security-token",
	"85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static void the_published_signatures(void **state)
{
	(void)state;
	char path[80], query[160];
	snprintf(path, sizeof path, "/%s", unreserved);
	snprintf(query, sizeof query, "%s=%s", unreserved, unreserved);
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		const struct vector *v = &vectors[i];
		struct sigv4_request r = {.method = v->method,
		    .host = "example.amazonaws.com",
		    .path = strcmp(v->path, "UNRESERVED") == 0 ? path : v->path,
		    .query = v->query && strcmp(v->query, "UNRESERVED") == 0 ? query : v->query,
		    .body = sp_str(v->body),
		    .headers = v->headers};
		struct aws_keys keys = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", v->token};
		char *lines[SIGV4_LINES];
		while (r.n_headers < 2 && v->headers[r.n_headers].name)
			r.n_headers++;
		char *want = sp_asprintf(
		    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
		    "SignedHeaders=%s, Signature=%s",
		    v->signed_headers, v->signature);
		sigv4_sign(&r, &keys, "us-east-1", "service", NOW_MS, lines);
		size_t last = v->token ? 2 : 1;
		if (strcmp(lines[last], want) != 0)
			fail_msg("%s:\n%s\n%s", v->name, lines[last], want);
		assert_string_equal(lines[0], "X-Amz-Date: 20150830T123600Z");
		if (v->token)
			assert_string_equal(lines[1], "X-Amz-Security-Token: " STS_TOKEN);
		assert_null(lines[last + 1]);
		sigv4_lines_free(lines);
		sp_free(want);
	}
}

/* A request that was sent with %20 in its path is signed with %2520 there, its query as it is. */
static void what_is_encoded_already(void **state)
{
	(void)state;
	struct aws_keys keys = {"AKIDEXAMPLE", "secret", NULL};
	char *a[SIGV4_LINES], *b[SIGV4_LINES];
	struct sigv4_request sent = {.method = "POST", .host = "h", .path = "/a%20b", .query = "x=%41%2f"},
			     same = {.method = "POST", .host = "h", .path = "/a%20b", .query = "x=A/"};
	sigv4_sign(&sent, &keys, "r", "s", NOW_MS, a);
	sigv4_sign(&same, &keys, "r", "s", NOW_MS, b);
	assert_string_equal(a[1], b[1]);
	sigv4_lines_free(b);
	same.path = "/a b";
	sigv4_sign(&same, &keys, "r", "s", NOW_MS, b);
	assert_string_not_equal(a[1], b[1]);
	sigv4_lines_free(a);
	sigv4_lines_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_published_signatures), cmocka_unit_test(what_is_encoded_already)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
