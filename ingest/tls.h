/* tls - the server's side of TLS 1.2 and 1.3, as far as ingest needs it.
 *
 * A context holds the certificate chain and key; tls_poll reads them again when the files have changed (one that does not fit
 * is logged and the former stays). A stream is one connection on a non-blocking descriptor that stays the caller's. One thread.
 */
#ifndef INGEST_TLS_H
#define INGEST_TLS_H

#include "common/status.h"

#include <stddef.h>
#include <sys/types.h>

struct tls;
struct ssl_st; /* OpenSSL's SSL: a stream */

SP_CHECKED enum sp_status tls_new(const char *cert_path, const char *key_path, struct tls **out, struct sp_why *why);
void tls_free(struct tls **t);
void tls_poll(struct tls *t);

struct ssl_st *tls_stream_new(struct tls *t, int fd); /* NULL: no memory */
void tls_stream_free(struct ssl_st **s);

/* Results besides a number of bytes. */
enum tls_io { TLS_CLOSED = 0, TLS_AGAIN_READ = -1, TLS_AGAIN_WRITE = -2, TLS_FAILED = -3 };

/* 1 when the handshake is complete, else an enum tls_io. *reason: short word for the metric when it failed. */
int tls_handshake(struct ssl_st *s, const char **reason);
ssize_t tls_read(struct ssl_st *s, void *to, size_t n);
ssize_t tls_write(struct ssl_st *s, const void *from, size_t n);
/* Bytes that are decrypted and wait: epoll does not know of them. */
size_t tls_pending(const struct ssl_st *s);
/* Says goodbye; nothing is written afterwards. */
void tls_goodbye(struct ssl_st *s);

#endif
