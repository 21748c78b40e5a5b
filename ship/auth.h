/* auth - the Authorization header of one destination, made from files that are read again when they change.
 *
 * None, basic or bearer. The secret is in memory here and in the requests that are out, nowhere else: it is never
 * logged and has no formatter. A file that is gone or unreadable later keeps the last secret in use.
 */
#ifndef SHIP_AUTH_H
#define SHIP_AUTH_H

#include "common/conf.h"

struct auth;

/* Reads the files: SP_CONFIG when one cannot be read, is empty, or holds what cannot stand in a header. */
SP_CHECKED enum sp_status auth_new(const struct dest_settings *d, struct auth **out, struct sp_why *why);
void auth_free(struct auth **a);
/* The header lines of a request with this body, up to a NULL: "Authorization: Bearer ...". Valid until the next call of auth_*. */
const char *const *auth_lines(struct auth *a, struct sp_bytes body);
/* Looks at the file (inode, size, mtime) and reads it when it changed. True when the header is another one now. */
bool auth_poll(struct auth *a);

#endif
