/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_NET_LINK_H
#define THAW_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/diag.h"
#include "lazy-pages/net/tls.h"

/*
 * Connections between two hosts. All calls block; one thread may send while another receives.
 */

#define NET_LOOPBACK "127.0.0.1"

/* Where and how; the commands fill it. All strings are the caller's. */
struct net_options {
	const char *address;	    /* NULL: NET_LOOPBACK */
	unsigned port;		    /* 0: any (to listen only) */
	const char *compress;	    /* none (also if NULL), lz4 or zstd: what a page server is asked to do with pages */
	unsigned reconnect_timeout; /* seconds to try to connect again */
	struct tls_options tls;
	bool insecure; /* other addresses than loopback may be used without encryption */
};

struct link;

/**
 * link_listen() - Make a listening socket
 * @port: set to the port that it has
 *
 * Return: a descriptor, or -errno with a sentence (-EPERM: not loopback, and not encrypted)
 */
int link_listen(const struct net_options *opt, unsigned *port, struct diag *diag);

/** link_accept() - Take a connection. Return: 0, or -errno with a sentence; -EAGAIN, without one: none waits any more
 */
int link_accept(int listen_fd, struct link **out, struct diag *diag);

/**
 * link_secure() - The server's side of TLS on a new connection, if the options want it
 *
 * Return: 0, or -errno with a sentence: it is not to be used
 */
int link_secure(struct link *l, const struct net_options *opt, struct diag *diag);

/** link_connect() - Connect. Return: 0, or -errno with a sentence that names address and port */
int link_connect(const struct net_options *opt, struct link **out, struct diag *diag);

/** link_fd() - Its descriptor, to poll; owned by the link */
int link_fd(const struct link *l);

/** link_peer() - The other end's address, for messages */
const char *link_peer(const struct link *l);

/** link_send() - Send all of @nr pieces, which are changed. Return: 0, or -errno */
int link_send(struct link *l, struct iovec *iov, size_t nr);

/**
 * link_receive() - Receive exactly @len bytes
 *
 * Return: 0, -ENODATA when the connection has ended before the first of them, -ECONNRESET inside of them, or -errno
 */
int link_receive(struct link *l, void *buf, size_t len);

/** link_patience() - From now on a link_receive() that gets nothing for so long fails with -ETIMEDOUT */
void link_patience(struct link *l, unsigned seconds);

/**
 * link_interruptible() - From now on ask once a second, while nothing goes on, whether to give up
 * @interrupted: returns 0, or -errno that the call on the link then returns
 */
void link_interruptible(struct link *l, int (*interrupted)(void *arg), void *arg);

/** link_shut() - Make all calls of other threads on it return. It stays open */
void link_shut(struct link *l);

/** link_close() - Close; takes NULL */
void link_close(struct link *l);

#endif
