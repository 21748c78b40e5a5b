#include "ingest/tls.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/watch.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls {
	char *cert_path, *key_path;
	struct sp_watch cert_seen, key_seen;
	SSL_CTX *context;
	bool reported;
};

static enum sp_status fail(struct sp_why *why, const char *what, const char *path)
{
	char text[160];
	unsigned long e = ERR_peek_last_error();
	ERR_error_string_n(e, text, sizeof text);
	ERR_clear_error();
	return sp_fail(why, SP_CONFIG, "%s %s: %s", what, path, e ? text : "cannot be used");
}

static enum sp_status load(const struct tls *t, SSL_CTX **out, struct sp_why *why)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	enum sp_status status = SP_OK;
	SP_BUG_IF(!c);
	SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	/* Thousands of idle connections: give the record buffers back between requests. */
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
		status = fail(why, "ciphers", "");
	else if (SSL_CTX_use_certificate_chain_file(c, t->cert_path) != 1)
		status = fail(why, "ingest.tls.cert", t->cert_path);
	else if (SSL_CTX_use_PrivateKey_file(c, t->key_path, SSL_FILETYPE_PEM) != 1)
		status = fail(why, "ingest.tls.key", t->key_path);
	else if (SSL_CTX_check_private_key(c) != 1)
		status = fail(why, "the key does not belong to the certificate", t->cert_path);
	if (status != SP_OK) {
		SSL_CTX_free(c);
		return status;
	}
	*out = c;
	return SP_OK;
}

enum sp_status tls_new(const char *cert_path, const char *key_path, struct tls **out, struct sp_why *why)
{
	struct tls *t = sp_new(struct tls);
	t->cert_path = sp_strdup(cert_path);
	t->key_path = sp_strdup(key_path);
	sp_watch_changed(&t->cert_seen, cert_path);
	sp_watch_changed(&t->key_seen, key_path);
	enum sp_status status = load(t, &t->context, why);
	if (status != SP_OK) {
		tls_free(&t);
		return status;
	}
	*out = t;
	return SP_OK;
}

void tls_free(struct tls **tp)
{
	struct tls *t = *tp;
	if (!t)
		return;
	SSL_CTX_free(t->context);
	sp_free(t->cert_path);
	sp_free(t->key_path);
	sp_free(t);
	*tp = NULL;
}

void tls_poll(struct tls *t)
{
	bool cert_changed = sp_watch_changed(&t->cert_seen, t->cert_path), key_changed = sp_watch_changed(&t->key_seen, t->key_path);
	/* Certificate and key are two files: until both are there they do not fit, so one that failed is tried again each time. */
	if (!cert_changed && !key_changed && !t->reported)
		return;
	SSL_CTX *fresh = NULL;
	struct sp_why why = {.text = ""};
	if (load(t, &fresh, &why) == SP_OK) {
		SSL_CTX_free(t->context); /* streams that use it hold a reference */
		t->context = fresh;
		t->reported = false;
		sp_log(SP_LOG_INFO, "certificate.changed", sp_f_str("path", t->cert_path), SP_LOG_END);
	} else if (!t->reported) {
		t->reported = true;
		sp_log(SP_LOG_ERROR, "certificate.unusable", sp_f_str("reason", why.text), sp_f_str("msg", "the former one stays in use"),
			SP_LOG_END);
	}
}

struct ssl_st *tls_stream_new(struct tls *t, int fd)
{
	SSL *s = SSL_new(t->context);
	if (s && SSL_set_fd(s, fd) != 1) {
		SSL_free(s);
		s = NULL;
	}
	if (s)
		SSL_set_accept_state(s);
	return s;
}

void tls_stream_free(struct ssl_st **s)
{
	SSL_free(*s);
	*s = NULL;
}

static int outcome(SSL *s, int result)
{
	switch (SSL_get_error(s, result)) {
	case SSL_ERROR_WANT_READ: return TLS_AGAIN_READ;
	case SSL_ERROR_WANT_WRITE: return TLS_AGAIN_WRITE;
	case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
	default: return TLS_FAILED;
	}
}

int tls_handshake(struct ssl_st *s, const char **reason)
{
	ERR_clear_error();
	int result = SSL_do_handshake(s);
	if (result == 1)
		return 1;
	int io = outcome(s, result);
	if (io == TLS_FAILED || io == TLS_CLOSED) {
		switch (ERR_GET_REASON(ERR_peek_last_error())) {
		case 0: *reason = "closed"; break;
		case SSL_R_HTTP_REQUEST: *reason = "plain_http"; break;
		case SSL_R_UNSUPPORTED_PROTOCOL: *reason = "version"; break;
		case SSL_R_NO_SHARED_CIPHER: *reason = "cipher"; break;
		case SSL_R_TLSV1_ALERT_UNKNOWN_CA: *reason = "unknown_ca"; break;
		default: *reason = "other"; break;
		}
		io = TLS_FAILED;
	}
	ERR_clear_error();
	return io;
}

ssize_t tls_read(struct ssl_st *s, void *to, size_t n)
{
	size_t got = 0;
	ERR_clear_error();
	int result = SSL_read_ex(s, to, n, &got);
	return result == 1 ? (ssize_t)got : outcome(s, result);
}

ssize_t tls_write(struct ssl_st *s, const void *from, size_t n)
{
	size_t put = 0;
	ERR_clear_error();
	int result = SSL_write_ex(s, from, n, &put);
	return result == 1 ? (ssize_t)put : outcome(s, result);
}

size_t tls_pending(const struct ssl_st *s)
{
	return (size_t)SSL_pending(s);
}

void tls_goodbye(struct ssl_st *s)
{
	ERR_clear_error();
	SSL_shutdown(s);
	ERR_clear_error();
}
