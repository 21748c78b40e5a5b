/* http_client - requests over HTTP/1.1 with keep-alive, many at a time, on the loop: libcurl's multi interface and
 * nothing else of it.
 *
 * A target is one URL with its headers, TLS settings and limits. An answer comes from the loop, exactly once, never from
 * inside http_post or http_call; the body and the target must live until then. No redirects are followed, no cookies, no
 * proxies from the environment but the usual variables (https_proxy, no_proxy). One thread, the loop's.
 */
#ifndef SHIP_HTTP_CLIENT_H
#define SHIP_HTTP_CLIENT_H

#include "common/conf.h"
#include "common/loop.h"
#include "proto/remote_write.h"
#include "ship/send/verdict.h"

/* What is kept of an answer's body: for a person to read, and of a call for the program. */
#define HTTP_ANSWER_MAX_BYTES 1024
#define HTTP_CALL_ANSWER_MAX_BYTES 16384

struct http_client;
struct http_target;

struct http_answer {
	enum ship_transport transport;
	int status;		 /* SHIP_ANSWERED only */
	int64_t retry_after_ms;	 /* or SHIP_NO_RETRY_AFTER */
	int64_t samples_written; /* X-Prometheus-Remote-Write-Samples-Written, 0 when there is only one of the other
				    Written headers; -1: none of them */
	bool repeated; /* it was sent twice, and the first may have arrived */
	int64_t date_ms;	 /* Date, by the receiver's clock; 0: it does not say */
	double seconds;
	struct sp_bytes words; /* beginning of the body, or what went wrong in transport; lives for the call */
};
typedef void (*http_done_fn)(void *arg, const struct http_answer *a);

struct http_client *http_client_new(struct sp_loop *l);
/* Requests that are out end without an answer. Before its targets are freed. */
void http_client_free(struct http_client **c);

/* SP_CONFIG: a header that the protocol reserves, a URL that is none. The settings must outlive the target. */
SP_CHECKED enum sp_status http_target_new(
    struct http_client *c, const struct dest_settings *d, struct http_target **out, struct sp_why *why);
void http_target_free(struct http_target **t);
/* What a signature covers: as they are sent. Live as long as the target. */
struct http_place {
	const char *host, *path, *query; /* query: NULL when there is none */
};
const struct http_place *http_target_place(const struct http_target *t);
/* lines: further headers of this request, "Name: value", up to a NULL; copied, and wiped afterwards: they may be secret.
 * Nothing of them is in the words of an answer.
 * version: of the body. attempt: 0 for the first. */
void http_post(struct http_target *t, const char *const *lines, struct sp_bytes body, enum rw_version version,
    unsigned attempt, http_done_fn done, void *arg);

/* A request to what is no destination: a service that hands out credentials. */
struct http_call {
	const char *method, *url;
	const char *const *lines; /* as those of http_post */
	struct sp_bytes body;	  /* of a POST */
	int64_t timeout_ms;
	bool direct; /* through no proxy: the address means this host */
};
void http_call(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg);

#endif
