#include "common/sock.h"

#include "common/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define HWM_MESSAGES 64
#define HEARTBEAT_MS 1000
#define HEARTBEAT_TIMEOUT_MS 5000
#define HANDSHAKE_MS 5000
#define RECONNECT_MS 20
#define RECONNECT_MAX_MS 500
#define UNIX_PATH_MAX 100 /* the kernel takes 107 */

/* The lock lives as long as the descriptor: at most as long as the process. */
static enum sp_status lock_take(const char *path, int *fd, struct sp_why *why)
{
	char *lock = sp_asprintf("%s.lock", path);
	enum sp_status status = SP_OK;
	*fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0) {
		status = sp_fail(why, SP_IO, "cannot open %s: %s", lock, strerror(errno));
	} else if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		status = errno == EWOULDBLOCK
			     ? sp_fail(why, SP_LOCKED, "another process serves %s (it holds %s)", path, lock)
			     : sp_fail(why, SP_IO, "cannot lock %s: %s", lock, strerror(errno));
		close(*fd);
		*fd = -1;
	}
	sp_free(lock);
	return status;
}

static enum sp_status path_check(const char *path, struct sp_why *why)
{
	if (strlen(path) > UNIX_PATH_MAX)
		return sp_fail(why, SP_CONFIG,
		    "the socket path %s is longer than %d bytes: choose a shorter runtime.dir", path, UNIX_PATH_MAX);
	return SP_OK;
}

static const char *ipc_path(const char *endpoint)
{
	return strncmp(endpoint, "ipc://", 6) == 0 ? endpoint + 6 : NULL;
}

static enum sp_status socket_new(
    void *zmq, int type, int64_t max_message, int linger_ms, void **out, struct sp_why *why)
{
	const struct {
		int option, value;
	} options[] = {{ZMQ_SNDHWM, HWM_MESSAGES}, {ZMQ_RCVHWM, HWM_MESSAGES}, {ZMQ_LINGER, linger_ms},
	    {ZMQ_IMMEDIATE, 0}, {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS}, {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
	    {ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS}, {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
	    {ZMQ_RECONNECT_IVL, RECONNECT_MS}, {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS}};
	void *s = zmq_socket(zmq, type);
	if (!s)
		return sp_fail(why, SP_IO, "cannot make a socket: %s", zmq_strerror(errno));
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		SP_BUG_IF(zmq_setsockopt(s, options[i].option, &options[i].value, sizeof(int)) != 0);
	SP_BUG_IF(zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max_message, sizeof max_message) != 0);
	*out = s;
	return SP_OK;
}

enum sp_status sp_router_new(void *zmq, int64_t max_message, int linger_ms, void **out, struct sp_why *why)
{
	const int on = 1;
	enum sp_status status = socket_new(zmq, ZMQ_ROUTER, max_message, linger_ms, out, why);
	if (status != SP_OK)
		return status;
	SP_BUG_IF(zmq_setsockopt(*out, ZMQ_ROUTER_MANDATORY, &on, sizeof on) != 0);
	SP_BUG_IF(zmq_setsockopt(*out, ZMQ_ROUTER_HANDOVER, &on, sizeof on) != 0);
	return SP_OK;
}

enum sp_status sp_router_bind(void *router, const char *endpoint, struct sp_why *why)
{
	const char *path = ipc_path(endpoint);
	int lock = -1;
	enum sp_status status = SP_OK;
	if (path && (status = path_check(path, why)) == SP_OK)
		status = lock_take(path, &lock, why);
	if (status == SP_OK && zmq_bind(router, endpoint) != 0)
		status = sp_fail(why, SP_IO, "cannot listen on %s: %s", endpoint, zmq_strerror(errno));
	if (status == SP_OK && path)
		chmod(path, 0600); /* its directory is 0700 already */
	if (status != SP_OK && lock >= 0)
		close(lock);
	return status;
}

enum sp_status sp_dealer_new(
    void *zmq, const uint8_t identity[16], int64_t max_message, int linger_ms, void **out, struct sp_why *why)
{
	enum sp_status status = socket_new(zmq, ZMQ_DEALER, max_message, linger_ms, out, why);
	if (status == SP_OK)
		SP_BUG_IF(zmq_setsockopt(*out, ZMQ_ROUTING_ID, identity, 16) != 0);
	return status;
}

enum sp_status sp_dealer_connect(void *dealer, const char *endpoint, struct sp_why *why)
{
	const char *path = ipc_path(endpoint);
	enum sp_status status = path ? path_check(path, why) : SP_OK;
	if (status == SP_OK && zmq_connect(dealer, endpoint) != 0)
		status = sp_fail(why, SP_IO, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
	return status;
}

/* "host:port" with the host in brackets when it is IPv6, or empty for every address; host must hold strlen(address)
 * + 1. */
static bool address_split(const char *address, char *host, const char **port)
{
	const char *colon = strrchr(address, ':');
	if (!colon)
		return false;
	size_t n = (size_t)(colon - address);
	bool bracket = address[0] == '[';
	if (bracket && (n < 2 || address[n - 1] != ']'))
		return false;
	if (bracket)
		address++, n -= 2;
	else if (memchr(address, ':', n))
		return false;
	memcpy(host, address, n);
	host[n] = '\0';
	*port = colon + 1;
	char *end;
	unsigned long number = strtoul(*port, &end, 10);
	return **port >= '0' && **port <= '9' && *end == '\0' && number <= 65535;
}

static int listen_on(const struct addrinfo *ai, int backlog)
{
	const int on = 1, off = 0;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, backlog) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

enum sp_status sp_tcp_listen(const char *address, int backlog, int *fd, struct sp_why *why)
{
	enum sp_status status = SP_IO;
	struct addrinfo *list = NULL,
			hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	const char *port;
	char *host = sp_alloc(strlen(address) + 1);
	if (!address_split(address, host, &port)) {
		status = sp_fail(
		    why, SP_CONFIG, "\"%s\" is not an address: right are :443, 127.0.0.1:9464, [::1]:8080", address);
		goto out;
	}
	int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
	if (rc != 0) {
		status = sp_fail(why, SP_CONFIG, "cannot look up the address %s: %s", address, gai_strerror(rc));
		goto out;
	}
	int got = -1;
	/* IPv6 first: for the empty host it takes IPv4 too; where the kernel has none, IPv4 follows. */
	for (int family = AF_INET6; got < 0 && family; family = family == AF_INET6 ? AF_INET : 0)
		for (const struct addrinfo *ai = list; ai && got < 0; ai = ai->ai_next)
			if (ai->ai_family == family)
				got = listen_on(ai, backlog);
	if (got < 0) {
		status = sp_fail(why, SP_IO, "cannot listen on %s: %s", address, strerror(errno));
		goto out;
	}
	*fd = got;
	status = SP_OK;
out:
	if (list)
		freeaddrinfo(list);
	sp_free(host);
	return status;
}

int sp_tcp_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {0};
	socklen_t n = sizeof a;
	if (getsockname(fd, &a.any, &n) != 0)
		return -1;
	return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

enum sp_status sp_unix_listen(const char *path, int *fd, struct sp_why *why)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int lock;
	enum sp_status status = path_check(path, why);
	if (status == SP_OK)
		status = lock_take(path, &lock, why);
	if (status != SP_OK)
		return status;
	memcpy(a.sun_path, path, strlen(path) + 1);
	unlink(path); /* what a dead process left: the lock is ours */
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* fchmod before bind: the file is never open to others, not even for a moment. */
	if (s < 0 || fchmod(s, 0600) != 0 || bind(s, (struct sockaddr *)&a, sizeof a) != 0 || listen(s, 64) != 0) {
		status = sp_fail(why, SP_IO, "cannot listen on %s: %s", path, strerror(errno));
		if (s >= 0)
			close(s);
		close(lock);
		return status;
	}
	*fd = s;
	return SP_OK;
}

enum sp_status sp_mkdirs(const char *path, struct sp_why *why)
{
	char *p = sp_strdup(path);
	enum sp_status status = p[0] ? SP_OK : sp_fail(why, SP_CONFIG, "a directory has no name");
	for (char *at = p + 1; status == SP_OK; at++) {
		char was = *at;
		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		struct stat st;
		int error = mkdir(p, 0700) == 0 ? 0 : errno;
		/* EROFS or EACCES for a parent that exists is no trouble. */
		if (error && !(stat(p, &st) == 0 && S_ISDIR(st.st_mode)))
			status = sp_fail(why, SP_IO, "cannot make the directory %s: %s", p, strerror(error));
		*at = was;
		if (was == '\0')
			break;
	}
	sp_free(p);
	return status;
}

void sp_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.sun_path)
		return;
	size_t n = strlen(path);
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
