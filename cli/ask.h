/* ask - a question to a role of this host: one GET or POST over its unix socket, answered by callback.
 *
 * One thread, the loop's. The answer comes exactly once, within ASK_MS, never from inside ask(). Bounded to ASK_MAX_BYTES.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "common/bytes.h"
#include "common/loop.h"

#define ASK_MS 2000
#define ASK_MAX_BYTES (64u << 20)

/* http_status 0: no answer. */
typedef void (*ask_fn)(void *arg, int http_status, struct sp_bytes body);
void ask(struct sp_loop *l, const char *socket_path, const char *method, const char *path, ask_fn done, void *arg);

/* The same for a program that does nothing else meanwhile. Returns the HTTP status, 0 when there was no answer. */
int ask_now(const char *socket_path, const char *path, struct sp_buf *body);

#endif
