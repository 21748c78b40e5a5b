#include "ship/send/http_client.h"

#include "common/alloc.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* Shorter words of a header are not taken for a secret: dates, names of schemes and of tenants. */
#define SECRET_MIN_BYTES 17
#define USER_AGENT "User-Agent: standpipe/" STANDPIPE_VERSION

struct http_client {
	struct sp_loop *loop;
	CURLM *multi;
	struct sp_timer timer;
	struct post *posts; /* that are out */
};

struct http_target {
	struct http_client *client;
	const struct dest_settings *settings;
	struct curl_slist *headers;    /* of every request */
	struct curl_slist *connect_to; /* when the certificate carries another name than the URL */
	char *url;
	struct http_place place;
	char *host, *path, *query; /* of place */
};

struct post {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	size_t n_usual; /* headers that are no secret */
	const char *lane; /* name of one that is none either, or NULL */
	http_done_fn done;
	void *arg;
	struct post *next, **link; /* in client->posts */
	unsigned sent;		   /* times */
	char error[CURL_ERROR_SIZE];
	size_t n_words, max_words;
	char words[];
};

/* ---- one request ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct post *post = arg;
	size_t room = post->max_words - post->n_words, take = size * n < room ? size * n : room;
	memcpy(post->words + post->n_words, p, take);
	post->n_words += take;
	return size * n; /* the rest is read and forgotten, so that the connection can be used again */
}

/* libcurl sends again by itself what fails on a connection that was used before. */
static int on_send(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct post *post = arg;
	(void)to, (void)from, (void)to_port, (void)from_port;
	post->sent++;
	return CURL_PREREQFUNC_OK;
}

static void post_free(struct post *p)
{
	*p->link = p->next;
	if (p->next)
		p->next->link = p->link;
	curl_multi_remove_handle(p->client->multi, p->easy);
	curl_easy_cleanup(p->easy);
	for (struct curl_slist *h = p->headers; h; h = h->next) /* some may be secret */
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(p->headers);
	explicit_bzero(p->words, p->n_words);
	sp_free(p);
}

static enum ship_transport transport_of(CURLcode code, CURL *easy, long status)
{
	long sent = 0;
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
	switch (code) {
	case CURLE_OK:
		return SHIP_ANSWERED;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return SHIP_BAD_CERTIFICATE;
	default:
		/* An answer that came before our body was sent in full counts: 401 and 413 come like that. */
		if (status >= 300 &&
		    (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE))
			return SHIP_ANSWERED;
		return sent > 0 ? SHIP_UNANSWERED : SHIP_NOT_SENT;
	}
}

static int64_t samples_written(CURL *easy)
{
	static const char *const names[] = {"X-Prometheus-Remote-Write-Samples-Written",
	    "X-Prometheus-Remote-Write-Histograms-Written", "X-Prometheus-Remote-Write-Exemplars-Written"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct curl_header *h;
		if (curl_easy_header(easy, names[i], 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
			continue;
		long long n = i == 0 ? strtoll(h->value, NULL, 10) : 0;
		return n > 0 ? n : 0;
	}
	return -1;
}

static void hide(struct post *p, const char *secret, size_t n)
{
	for (char *at = p->words, *end = at + p->n_words; (at = memmem(at, (size_t)(end - at), secret, n));)
		while (at < end && *at > ' ' && !strchr("\"'<,", *at))
			*at++ = '*';
}

/* A receiver or a proxy may repeat what it was sent, whole or cut off, and its words are logged. */
static void hide_secrets(struct post *p)
{
	size_t i = 0;
	for (struct curl_slist *h = p->headers; h; h = h->next) {
		const char *at = strchr(h->data, ':');
		bool is_lane = at && p->lane && sp_eq_nocase(sp_bytes(h->data, (size_t)(at - h->data)), sp_str(p->lane));
		if (i++ < p->n_usual || !at || is_lane)
			continue;
		for (at++; *at; at += strcspn(at, " ,")) {
			at += strspn(at, " ,");
			if (strcspn(at, " ,") >= SECRET_MIN_BYTES)
				hide(p, at, SECRET_MIN_BYTES);
		}
	}
}

static void post_finish(struct post *p, CURLcode code)
{
	struct http_answer a = {.retry_after_ms = SHIP_NO_RETRY_AFTER, .samples_written = samples_written(p->easy)};
	struct curl_header *date;
	curl_off_t retry_after = 0;
	long status = 0;
	curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(p->easy, CURLINFO_TOTAL_TIME, &a.seconds);
	curl_easy_getinfo(p->easy, CURLINFO_RETRY_AFTER, &retry_after); /* of seconds or a date */
	if (retry_after > 0)
		a.retry_after_ms = (retry_after < INT32_MAX ? retry_after : INT32_MAX) * 1000;
	a.repeated = p->sent > 1;
	if (curl_easy_header(p->easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK &&
	    (a.date_ms = curl_getdate(date->value, NULL) * (int64_t)1000) < 0)
		a.date_ms = 0;
	a.transport = transport_of(code, p->easy, status);
	a.status = a.transport == SHIP_ANSWERED ? (int)status : 0;
	if (status != 200)
		hide_secrets(p);
	a.words = a.transport == SHIP_ANSWERED ? sp_bytes(p->words, p->n_words)
					       : sp_str(p->error[0] ? p->error : curl_easy_strerror(code));
	p->done(p->arg, &a);
	post_free(p);
}

static void collect(struct http_client *c)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
		struct post *p;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
		post_finish(p, m->data.result);
	}
}

/* ---- libcurl on the loop ---- */

static void on_timer(void *arg)
{
	struct http_client *c = arg;
	int running;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(c);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *c = arg;
	(void)multi;
	if (ms < 0)
		sp_timer_cancel(c->loop, &c->timer);
	else
		sp_timer_set(c->loop, &c->timer, ms, on_timer, c);
	return 0;
}

struct watch {
	struct http_client *client;
	curl_socket_t fd;
	struct sp_source *source;
};

static void on_socket(void *arg, uint32_t events)
{
	struct watch *w = arg;
	struct http_client *c = w->client;
	int what = 0, running;
	if (events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(c->multi, w->fd, what, &running); /* may free w */
	collect(c);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *c = arg;
	struct watch *w = socket_arg;
	uint32_t events = 0;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			curl_multi_assign(c->multi, fd, NULL);
			sp_source_free(&w->source);
			sp_free(w);
		}
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (w) {
		sp_source_events(w->source, events);
		return 0;
	}
	w = sp_new(struct watch);
	*w = (struct watch){c, fd, NULL};
	w->source = sp_loop_fd(c->loop, fd, events, on_socket, w);
	curl_multi_assign(c->multi, fd, w);
	return 0;
}

struct http_client *http_client_new(struct sp_loop *l)
{
	struct http_client *c = sp_new(struct http_client);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c->loop = l;
	c->multi = curl_multi_init();
	SP_BUG_IF(!c->multi);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return c;
}

void http_client_free(struct http_client **client)
{
	struct http_client *c = *client;
	if (!c)
		return;
	while (c->posts)
		post_free(c->posts);
	curl_multi_cleanup(c->multi);
	sp_timer_cancel(c->loop, &c->timer);
	curl_global_cleanup();
	sp_free(c);
	*client = NULL;
}

/* ---- targets ---- */

static const char *const reserved_headers[] = {"content-encoding", "content-type", "content-length",
    "transfer-encoding", "host", "user-agent", "authorization", "x-prometheus-remote-write-version", "retry-attempt",
    "expect", "connection"};

static enum sp_status add_header(struct http_target *t, const char *name, const char *value, struct sp_why *why)
{
	for (size_t i = 0; i < sizeof(reserved_headers) / sizeof(reserved_headers[0]); i++)
		if (sp_eq_nocase(sp_str(name), sp_str(reserved_headers[i])))
			return sp_fail(why, SP_CONFIG, "destinations.%s.headers.%s: standpipe sets this header itself",
			    t->settings->name, name);
	if (strpbrk(name, " :\r\n\t") || strpbrk(value, "\r\n"))
		return sp_fail(
		    why, SP_CONFIG, "destinations.%s.headers.%s cannot be sent as a header", t->settings->name, name);
	char *line = value[0] ? sp_asprintf("%s: %s", name, value) : sp_asprintf("%s;", name);
	t->headers = curl_slist_append(t->headers, line);
	sp_free(line);
	return SP_OK;
}

/* tls_config.server_name: the URL gets that name, so that libcurl asks for it and checks it, and the connection goes to
 * the host that the URL had. */
static enum sp_status set_url(struct http_target *t, struct sp_why *why)
{
	const struct dest_settings *d = t->settings;
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *query = NULL, *url = NULL;
	enum sp_status status = SP_OK;
	if (curl_url_set(u, CURLUPART_URL, d->url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
		status = sp_fail(why, SP_CONFIG, "destinations.%s.url is no http or https URL", d->name);
	} else {
		bool usual = strcmp(port, strcmp(scheme, "https") == 0 ? "443" : "80") == 0;
		t->host = usual ? sp_strdup(host) : sp_asprintf("%s:%s", host, port);
		if (curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK)
			t->path = sp_strdup(path);
		if (curl_url_get(u, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
			t->query = sp_strdup(query);
		t->place = (struct http_place){t->host, t->path, t->query};
		char *line = sp_asprintf("Host: %s", t->host), *to = sp_asprintf("::%s:%s", host, port);
		t->headers = curl_slist_append(t->headers, line);
		if (d->tls_server_name && curl_url_set(u, CURLUPART_HOST, d->tls_server_name, 0) == CURLUE_OK)
			t->connect_to = curl_slist_append(NULL, to);
		sp_free(to);
		sp_free(line);
	}
	if (status == SP_OK && curl_url_get(u, CURLUPART_URL, &url, 0) == CURLUE_OK)
		t->url = sp_strdup(url);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	curl_free(url);
	curl_url_cleanup(u);
	return status;
}

enum sp_status http_target_new(
    struct http_client *c, const struct dest_settings *d, struct http_target **out, struct sp_why *why)
{
	static const char *const fixed[] = {"Content-Encoding: snappy", USER_AGENT, "Expect:"};
	struct http_target *t = sp_new(struct http_target);
	t->client = c;
	t->settings = d;
	enum sp_status status = set_url(t, why);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		t->headers = curl_slist_append(t->headers, fixed[i]);
	for (size_t i = 0; i < d->headers.n && status == SP_OK; i++)
		status = add_header(t, d->headers.names[i], d->headers.values[i], why);
	if (status != SP_OK) {
		http_target_free(&t);
		return status;
	}
	*out = t;
	return SP_OK;
}

void http_target_free(struct http_target **target)
{
	struct http_target *t = *target;
	if (!t)
		return;
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->connect_to);
	sp_free(t->url);
	sp_free(t->host);
	sp_free(t->path);
	sp_free(t->query);
	sp_free(t);
	*target = NULL;
}

const struct http_place *http_target_place(const struct http_target *t)
{
	return &t->place;
}

static void set_tls(CURL *easy, const struct dest_settings *d)
{
	if (d->tls_ca_file) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, d->tls_ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (d->tls_cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, d->tls_cert_file);
	if (d->tls_key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, d->tls_key_file);
	if (d->tls_insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

/* A request with everything that all of them have; begin() lets it go. */
static struct post *post_new(struct http_client *c, size_t max_words, const char *url, http_done_fn done, void *arg)
{
	struct post *p = sp_alloc(sizeof(*p) + max_words);
	*p = (struct post){.client = c, .done = done, .arg = arg, .max_words = max_words};
	p->link = &c->posts;
	p->next = c->posts;
	if (p->next)
		p->next->link = &p->next;
	c->posts = p;

	CURL *easy = p->easy = curl_easy_init();
	SP_BUG_IF(!easy);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, p);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, p->error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, p);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	return p;
}

static void begin(struct post *p, const char *const *lines)
{
	for (struct curl_slist *h = p->headers; h; h = h->next)
		p->n_usual++;
	for (; *lines; lines++)
		p->headers = curl_slist_append(p->headers, *lines);
	curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers);
	SP_BUG_IF(curl_multi_add_handle(p->client->multi, p->easy) != CURLM_OK);
}

static void set_body(CURL *easy, struct sp_bytes body)
{
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.p ? (const char *)body.p : "");
}

void http_post(struct http_target *t, const char *const *lines, struct sp_bytes body, enum rw_version version,
    unsigned attempt, http_done_fn done, void *arg)
{
	static const char *const of_version[][2] = {
	    [RW_1] = {"Content-Type: application/x-protobuf", "X-Prometheus-Remote-Write-Version: 0.1.0"},
	    [RW_2] = {"Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
		"X-Prometheus-Remote-Write-Version: 2.0.0"},
	};
	struct post *p = post_new(t->client, HTTP_ANSWER_MAX_BYTES, t->url, done, arg);
	for (struct curl_slist *h = t->headers; h; h = h->next)
		p->headers = curl_slist_append(p->headers, h->data);
	for (size_t i = 0; i < 2; i++)
		p->headers = curl_slist_append(p->headers, of_version[version][i]);
	if (attempt > 0) {
		char line[40];
		snprintf(line, sizeof(line), "Retry-Attempt: %u", attempt);
		p->headers = curl_slist_append(p->headers, line);
	}
	p->lane = t->settings->lanes_header;
	set_body(p->easy, body);
	curl_easy_setopt(p->easy, CURLOPT_CONNECT_TO, t->connect_to);
	curl_easy_setopt(p->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->settings->connect_timeout);
	curl_easy_setopt(p->easy, CURLOPT_TIMEOUT_MS, (long)t->settings->remote_timeout);
	set_tls(p->easy, t->settings);
	begin(p, lines);
}

void http_call(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg)
{
	struct post *p = post_new(c, HTTP_CALL_ANSWER_MAX_BYTES, call->url, done, arg);
	p->headers = curl_slist_append(p->headers, USER_AGENT);
	if (strcmp(call->method, "POST") == 0)
		set_body(p->easy, call->body);
	else
		curl_easy_setopt(p->easy, CURLOPT_CUSTOMREQUEST, call->method);
	curl_easy_setopt(p->easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	if (call->direct)
		curl_easy_setopt(p->easy, CURLOPT_NOPROXY, "*");
	begin(p, call->lines);
}
