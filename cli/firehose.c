#include "cli/firehose.h"

#include "common/json.h"

#include <stdio.h>

#define URL_MAX 1000
#define MESSAGE_MAX 8192

static const char *body_fault(const json_t *root, const char *request_id)
{
	const char *key;
	json_t *value;
	const json_t *id = json_object_get(root, "requestId"), *at = json_object_get(root, "timestamp"), *message = json_object_get(root, "errorMessage");
	if (!json_is_object(root))
		return "the body is not a JSON object";
	if (!json_is_string(id) || strcmp(json_string_value(id), request_id) != 0)
		return "requestId is not that of the request";
	if (!json_is_integer(at))
		return "timestamp is not a number of milliseconds";
	if (message && (!json_is_string(message) || json_string_length(message) > MESSAGE_MAX))
		return "errorMessage is not a string of at most 8192 characters";
	json_object_foreach((json_t *)root, key, value)
		if (strcmp(key, "requestId") != 0 && strcmp(key, "timestamp") != 0 && strcmp(key, "errorMessage") != 0)
			return "the body has a key that Firehose does not expect";
	return NULL;
}

const char *firehose_fault(const struct firehose_answer *a, const char *request_id)
{
	static char text[64];
	if (!a->content_type || strcmp(a->content_type, "application/json") != 0)
		return "Content-Type is not exactly application/json";
	if (a->content_encoding)
		return "the answer has a Content-Encoding";
	if (!a->has_length)
		return "Content-Length is missing";
	json_t *root = sp_json_read(a->body);
	const char *fault = root ? body_fault(root, request_id) : "the body is not JSON";
	json_decref(root);
	if (fault)
		return fault;
	if (a->status == 413)
		return "413: Firehose throws such a delivery away for good";
	if (a->status == 200)
		return NULL;
	snprintf(text, sizeof text, "status %d: only 200 is success", a->status);
	return text;
}

void firehose_message(const struct firehose_answer *a, char *out, size_t n)
{
	json_t *root = sp_json_read(a->body);
	snprintf(out, n, "%s", sp_json_text(root, "errorMessage"));
	json_decref(root);
}

int64_t firehose_backoff_ms(unsigned n, double unit)
{
	int64_t base = n < 7 ? (int64_t)1000 << n : 120000;
	return (int64_t)((double)base * (0.85 + 0.3 * unit));
}

const char *firehose_url_fault(const char *url)
{
	if (strncmp(url, "https://", 8) != 0)
		return "Firehose takes only https:// URLs";
	if (strlen(url) > URL_MAX)
		return "Firehose takes URLs of at most 1000 characters";
	const char *host = url + 8, *end = host + strcspn(host, "/?");
	const char *bracket = memchr(host, ']', (size_t)(end - host)), *colon = memchr(bracket ? bracket : host, ':', (size_t)(end - (bracket ? bracket : host)));
	if (colon && strncmp(colon, ":443", 4) != 0)
		return "Firehose calls only port 443";
	return NULL;
}
