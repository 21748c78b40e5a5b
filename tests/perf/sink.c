/* sink - the cheapest possible remote-write receiver for benchmarks: reads POST bodies, answers 204, counts.
 *
 * Usage: sink PORT. On SIGTERM prints "requests bodies_bytes raw_bytes" (raw: the uncompressed lengths that the snappy preambles state)
 * and exits. One thread; only loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)

struct client {
	int fd;
	size_t head;      /* bytes of the head held in buf */
	uint64_t left;    /* bytes of the body still to come; 0: reading a head */
	uint64_t raw;     /* uncompressed length, while its varint is being read */
	int shift;        /* of that varint; -1: done */
	char buf[8192];
};

static uint64_t requests, body_bytes, raw_bytes;
static char chunk[BUFFER_BYTES];

static void count_preamble(struct client *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n && c->shift >= 0; i++) {
		c->raw |= (uint64_t)(p[i] & 0x7f) << c->shift;
		c->shift = (p[i] & 0x80) ? c->shift + 7 : -1;
		if (c->shift < 0)
			raw_bytes += c->raw;
	}
}

static int take_body(struct client *c, const char *p, size_t n)
{
	static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
	count_preamble(c, p, n);
	c->left -= n;
	body_bytes += n;
	if (c->left > 0)
		return 0;
	requests++;
	return send(c->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == sizeof answer - 1 ? 0 : -1;
}

/* Takes n bytes of the stream; -1 when the client makes no sense. */
static int take(struct client *c, const char *p, size_t n)
{
	while (n > 0) {
		if (c->left) {
			size_t k = n < c->left ? n : c->left;
			if (take_body(c, p, k) != 0)
				return -1;
			p += k, n -= k;
			continue;
		}
		if (c->head == sizeof c->buf - 1)
			return -1;
		c->buf[c->head++] = *p++, n--;
		if (c->head < 4 || memcmp(c->buf + c->head - 4, "\r\n\r\n", 4) != 0)
			continue;
		c->buf[c->head] = '\0';
		const char *length = strcasestr(c->buf, "\r\ncontent-length:");
		if (!length)
			return -1;
		c->left = strtoull(length + 17, NULL, 10);
		c->head = 0;
		c->raw = 0;
		c->shift = 0;
	}
	return 0;
}

static int serve(struct client *c)
{
	ssize_t n = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	return n == 0 ? -1 : take(c, chunk, (size_t)n);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, ep = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
	at.sin_port = htons((uint16_t)(argc == 2 ? strtoul(argv[1], NULL, 10) : 0));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (argc != 2 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 128) != 0) {
		perror("sink");
		return 1;
	}
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	int stop = signalfd(-1, &term, 0);
	struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL}, stopping = {.events = EPOLLIN, .data.ptr = &stop};
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &listening);
	epoll_ctl(ep, EPOLL_CTL_ADD, stop, &stopping);
	for (;;) {
		struct epoll_event ready[64];
		int n = epoll_wait(ep, ready, 64, -1);
		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;
			if (ready[i].data.ptr == &stop) {
				printf("%llu %llu %llu\n", (unsigned long long)requests, (unsigned long long)body_bytes,
					(unsigned long long)raw_bytes);
				return 0;
			}
			if (!c) {
				c = calloc(1, sizeof *c);
				if (!c)
					return 1;
				c->fd = accept(listener, NULL, NULL);
				struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
				epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
			} else if (serve(c) != 0) {
				close(c->fd);
				free(c);
			}
		}
	}
}
