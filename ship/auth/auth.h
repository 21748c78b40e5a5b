/* auth - how one destination's requests say who they are from: header lines made of files that are read again when they
 * change, or a signature with AWS access keys.
 *
 * None, basic, bearer, another scheme, headers with secret values, SigV4. Secrets are in memory here and in the
 * requests that are out, nowhere else: they are never logged and have no formatter. A file that is gone or unreadable
 * later keeps the last secret in use. One thread, the loop's.
 */
#ifndef SHIP_AUTH_H
#define SHIP_AUTH_H

#include "common/conf.h"
#include "common/loop.h"
#include "ship/send/http_client.h"

struct auth;

/* Reads the files: SP_CONFIG when one cannot be read, is empty, or holds what cannot stand in a header. changed is
 * called from the loop when an attempt to get access keys has ended. The settings and the target must outlive it. */
SP_CHECKED enum sp_status auth_new(struct sp_loop *l, struct http_client *c, const struct http_target *t,
    const struct dest_settings *d, void (*changed)(void *arg), void *arg, struct auth **out, struct sp_why *why);
/* After http_client_free. */
void auth_free(struct auth **a);

/* False while access keys are on their way; then auth_lines may not be called. */
bool auth_ready(const struct auth *a);
/* If the last attempt to get keys failed: now, not when it is due. */
void auth_retry(struct auth *a);
/* Why the last attempt failed; NULL when it did not. */
const char *auth_trouble(const struct auth *a);
/* What is in use, for people: "bearer token", "AWS access keys (instance metadata)". */
void auth_describe(const struct auth *a, struct sp_buf *out);
/* The header lines of a request with this body, up to a NULL: "Authorization: Bearer ...". Valid until the next call of
 * auth_*. */
const char *const *auth_lines(struct auth *a, struct sp_bytes body);

/* Looks at the files (inode, size, mtime) and reads those that changed. True when there are other lines now. */
bool auth_poll(struct auth *a);
/* The receiver said 403. True when that may be for expired keys or a wrong clock, both of which are then set right: the
 * request is worth another try when auth_ready. */
bool auth_forbidden(struct auth *a, const struct http_answer *answer);

/* The access key of a lane, which its requests carry as bearer token (settings: lanes.token): the first line of the key's file that is
 * not empty, read when the key is found and when the file changes. A key or a file that has gone leaves the last token in use. */
struct token;
struct token *token_new(const char *key_name);
void token_free(struct token **t);
/* Where the key's file is; the settings are not needed afterwards. token_poll reads it. */
void token_find(struct token *t, const struct settings *s);
/* Looks at the file. True when the token is another one now. */
bool token_poll(struct token *t);
/* "Authorization: Bearer ...", valid until the next token_poll; NULL: there is none yet, and nothing can be sent. */
const char *token_line(const struct token *t);

#endif
