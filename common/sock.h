/* sock - the only place that makes sockets, with every option that matters set explicitly.
 *
 * ZeroMQ sockets: HWM 64 messages both ways (credits keep us far below), IMMEDIATE 0, heartbeats 1 s / 5 s, handshake 5 s,
 * ROUTER_MANDATORY and ROUTER_HANDOVER on. A bound unix path is guarded by a lock file, because ZeroMQ's bind steals a path
 * that another process serves.
 */
#ifndef SP_SOCK_H
#define SP_SOCK_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

/* ZeroMQ sockets are made first and bound or connected afterwards, so that a monitor (common/monitor.h) can be set in between:
 * otherwise it may miss the first connection. The caller closes them, also after an error of the second step. */
SP_CHECKED enum sp_status sp_router_new(void *zmq, int64_t max_message, int linger_ms, void **out, struct sp_why *why);
/* endpoint "ipc:///run/standpipe/work.sock". Takes flock(endpoint path + ".lock") and keeps it: SP_LOCKED when another has it. */
SP_CHECKED enum sp_status sp_router_bind(void *router, const char *endpoint, struct sp_why *why);
/* identity: 16 bytes drawn at process start ('w' + 15 random bytes). */
SP_CHECKED enum sp_status sp_dealer_new(
    void *zmq, const uint8_t identity[16], int64_t max_message, int linger_ms, void **out, struct sp_why *why);
/* Connects in the background, for ever. */
SP_CHECKED enum sp_status sp_dealer_connect(void *dealer, const char *endpoint, struct sp_why *why);

/* address ":443", "127.0.0.1:9464", "[::1]:8080", "0.0.0.0:0". Non-blocking, close-on-exec, TCP_NODELAY inherited by accept. */
SP_CHECKED enum sp_status sp_tcp_listen(const char *address, int backlog, int *fd, struct sp_why *why);
/* Port a listener got (after ":0"). */
int sp_tcp_port(int fd);
/* Unix stream listener, mode 0600; removes a stale socket file after taking path + ".lock". */
SP_CHECKED enum sp_status sp_unix_listen(const char *path, int *fd, struct sp_why *why);
/* Makes the directory (0700) and its parents when absent. */
SP_CHECKED enum sp_status sp_mkdirs(const char *path, struct sp_why *why);

/* systemd: sends text ("READY=1") to $NOTIFY_SOCKET; does nothing when there is none. */
void sp_notify(const char *text);

#endif
