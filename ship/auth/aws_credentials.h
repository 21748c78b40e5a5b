/* aws_credentials - access keys for signing, from where AWS' own programs take them, renewed before they expire.
 *
 * Asked in this order, and the first one that is there must do: the environment (AWS_ACCESS_KEY_ID, ...); a web
 * identity (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN) by STS; the profile of a shared file; a container's endpoint
 * (ECS, EKS Pod Identity); instance metadata (IMDSv2). sigv4.profile and sigv4.credentials_file mean the file and
 * nothing else. With sigv4.role_arn those keys only serve to assume that role.
 *
 * All of it happens on the loop. While a renewal fails the former keys stay in use, and it is tried again after
 * backoff.min, doubling to backoff.max. One thread, the loop's.
 */
#ifndef SHIP_AWS_CREDENTIALS_H
#define SHIP_AWS_CREDENTIALS_H

#include "common/conf.h"
#include "common/loop.h"
#include "ship/send/http_client.h"
#include "ship/auth/sigv4.h"

struct aws_credentials;

/* changed is called when an attempt has ended, from the loop, never from inside. The settings and region must outlive
 * it. */
struct aws_credentials *aws_credentials_new(struct sp_loop *l, struct http_client *c, const struct dest_settings *d,
    const char *region, void (*changed)(void *arg), void *arg);
/* After http_client_free. */
void aws_credentials_free(struct aws_credentials **c);

/* False: there are none yet. Valid until the loop's next turn. */
bool aws_credentials_keys(const struct aws_credentials *c, struct aws_keys *out);
/* The time to sign with: ours, corrected by what was heard. */
int64_t aws_credentials_now_ms(const struct aws_credentials *c);
/* A server that refused a signature says what time it is. True: our clock is wrong by more than was known. */
bool aws_credentials_heard(struct aws_credentials *c, int64_t date_ms);
/* Ask for new keys now. */
void aws_credentials_renew(struct aws_credentials *c);
/* Looks at the shared file. */
void aws_credentials_poll(struct aws_credentials *c);
/* Where the keys are from; why the last attempt failed, NULL when it did not. */
const char *aws_credentials_source(const struct aws_credentials *c);
const char *aws_credentials_trouble(const struct aws_credentials *c);

#endif
