/* admin - the small HTTP server for metrics, health, status and the command line: GET and POST without pipelining, one request
 * per connection, on a unix socket (0600 in a 0700 directory) and, when asked for, on a tcp address.
 *
 * Not for strangers' traffic: the tcp address is for scrapers and probes and serves only routes marked public.
 * One thread, the loop's. At most 64 connections; a request, of at most 16 KiB unless told, must be complete in 5 s.
 */
#ifndef SP_ADMIN_H
#define SP_ADMIN_H

#include "common/bytes.h"
#include "common/loop.h"

struct sp_admin;

struct sp_admin_request {
	struct sp_bytes method, path, query, body; /* path without the query */
	struct sp_admin_token *token;
	struct sp_buf reply;      /* the answer, empty at first */
	const char *content_type; /* of it; NULL: plain text */
};

/* Fills in the reply and returns the HTTP status. Returns 0 to answer later with sp_admin_reply(token, ...): the token stays valid
 * until then, whatever the client does. */
struct sp_admin_token;
typedef int (*sp_admin_fn)(void *arg, struct sp_admin_request *req);

/* Serves /-/healthy from the start. */
struct sp_admin *sp_admin_new(struct sp_loop *l);
void sp_admin_free(struct sp_admin **a);
/* On the unix socket: requests of up to so many bytes, head and body. Before it is listened on. */
void sp_admin_max_request(struct sp_admin *a, size_t bytes);
/* path "/metrics" matches exactly; "/spool/" matches everything below it. public: served on tcp too. */
void sp_admin_route(struct sp_admin *a, const char *path, bool public, sp_admin_fn fn, void *arg);
/* Serves /metrics. labels: a label pair for every line, role="ship"; must outlive the server. refresh sets the gauges; may be NULL. */
void sp_admin_metrics(struct sp_admin *a, const char *labels, void (*refresh)(void *arg), void *arg);
SP_CHECKED enum sp_status sp_admin_listen_unix(struct sp_admin *a, const char *path, struct sp_why *why);
SP_CHECKED enum sp_status sp_admin_listen_tcp(struct sp_admin *a, const char *address, struct sp_why *why);
void sp_admin_reply(struct sp_admin_token **token, int status, const char *content_type, struct sp_bytes body);

/* Value of a query parameter ("limit"), percent-decoded into out (NUL-terminated, cut at n); false when absent. */
bool sp_admin_param(const struct sp_admin_request *req, const char *name, char *out, size_t n);

/* The words of an HTTP status. */
const char *sp_http_reason(int status);

#endif
