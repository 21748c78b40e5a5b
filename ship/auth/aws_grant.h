/* aws_grant - access keys out of what AWS' services and files say: JSON of the metadata services, XML of STS, shared
 * files.
 *
 * Strict: what is not exactly there is refused, and no text of an answer that holds keys gets into an error. Pure
 * functions, any thread.
 */
#ifndef SHIP_AWS_GRANT_H
#define SHIP_AWS_GRANT_H

#include "common/bytes.h"

struct aws_grant {
	char *id, *secret, *token; /* token: NULL for keys that do not expire */
	int64_t expires_wall_ms;   /* 0: never */
};

void aws_grant_free(struct aws_grant *g); /* wipes; {0} is fine */

/* {"AccessKeyId": ..., "SecretAccessKey": ..., "Token": ..., "Expiration": ...} */
SP_CHECKED enum sp_status aws_grant_from_json(struct sp_bytes text, struct aws_grant *out, struct sp_why *why);
/* The <Credentials> of AssumeRole and AssumeRoleWithWebIdentity. */
SP_CHECKED enum sp_status aws_grant_from_sts(struct sp_bytes xml, struct aws_grant *out, struct sp_why *why);
/* Section [profile] or [profile PROFILE] of a shared file. SP_NOT_FOUND: it has none; SP_CONFIG: no keys in it. */
SP_CHECKED enum sp_status aws_grant_from_profile(
    struct sp_bytes text, const char *profile, struct aws_grant *out, struct sp_why *why);

/* <Code> and <Message> of an error of STS, else the beginning of the text, as printable ASCII. */
void aws_error_words(struct sp_bytes text, char *out, size_t n);

#endif
