/* token - the access key of a lane, which its requests carry as bearer token (settings: lanes.token).
 *
 * Of a key's file the first line that is not empty counts, read when the key is found and when the file changes. A
 * key or a file that has gone, or cannot be used, leaves the last token in use. The secret is in memory here and in
 * the requests that are out, nowhere else: it is never logged. One thread.
 */
#ifndef SHIP_TOKEN_H
#define SHIP_TOKEN_H

#include "common/conf.h"

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
