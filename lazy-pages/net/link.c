// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

/* A silent connection is found dead after KEEPALIVE_IDLE + KEEPALIVE_TRIES * KEEPALIVE_STEP seconds. */
#define KEEPALIVE_IDLE 5
#define KEEPALIVE_STEP 3
#define KEEPALIVE_TRIES 5
#define USER_TIMEOUT_MS 20000
#define CONNECT_S 5
#define GOOD_BYE_S 2

struct link {
	int fd;
	struct tls *tls; /* NULL: in the clear */
	bool broken;	 /* nobody listens to a good bye */
	int (*interrupted)(void *arg);
	void *arg;
	char peer[INET6_ADDRSTRLEN + 16];
};

static void free_addresses(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

static bool is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 == 127;
	return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static void describe(const struct sockaddr *sa, socklen_t len, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN], port[8];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(buf, size, "an unknown address");
	else
		snprintf(buf, size, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static const char *address_of(const struct net_options *opt)
{
	return opt->address ? opt->address : NET_LOOPBACK;
}

/* The first address of the options, to be freed; what may not go over it in the clear is refused here. */
static int resolve(const struct net_options *opt, bool passive, struct addrinfo **out, struct diag *diag)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
	char port[8];
	int ret;

	snprintf(port, sizeof(port), "%u", opt->port);
	ret = getaddrinfo(address_of(opt), port, &hints, out);
	if (ret)
		return diag_fail(diag, EADDRNOTAVAIL, "the address %s is not known: %s", address_of(opt),
				 gai_strerror(ret));
	if (opt->tls.on)
		return tls_check(&opt->tls, diag);
	if (!is_loopback((*out)->ai_addr) && !opt->insecure) {
		freeaddrinfo(*out);
		*out = NULL;
		return diag_fail(diag, EPERM,
				 "memory would go to %s in the clear, for all to read and to change; use --tls, or "
				 "--insecure in a network that you trust",
				 address_of(opt));
	}
	return 0;
}

static unsigned port_of(const struct sockaddr *sa)
{
	struct sockaddr_in6 v6 = { 0 };
	struct sockaddr_in v4 = { 0 };

	if (sa->sa_family == AF_INET6)
		memcpy(&v6, sa, sizeof(v6));
	else
		memcpy(&v4, sa, sizeof(v4));
	return ntohs(sa->sa_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

int link_listen(const struct net_options *opt, unsigned *port, struct diag *diag)
{
	__attribute__((cleanup(free_addresses))) struct addrinfo *info = NULL;
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	int on = 1, ret = resolve(opt, true, &info, diag);

	if (ret)
		return ret;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&own, &len))
		return diag_fail(diag, errno, "cannot listen on %s, port %u: %s", address_of(opt), opt->port,
				 strerror(errno));
	*port = port_of((struct sockaddr *)&own);
	return TAKE_FD(fd);
}

/* Small words go at once, and a dead peer is noticed. */
static int set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)))
			return -errno;
	return 0;
}

/* A link around @given, which it takes in any case. It is kept away from the numbers of the standard descriptors. */
static int link_new(int given, struct link **out, struct diag *diag)
{
	struct link *l = calloc(1, sizeof(*l));
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd = given > STDERR_FILENO ? given : fcntl(given, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int ret = fd < 0 ? -errno : l ? set_options(fd) : -ENOMEM;

	if (fd != given)
		close(given);
	if (!ret && getpeername(fd, (struct sockaddr *)&peer, &len))
		ret = -errno;
	if (ret) {
		free(l);
		cleanup_close(&fd);
		return diag_fail(diag, -ret, "cannot use a connection: %s", strerror(-ret));
	}
	l->fd = fd;
	describe((struct sockaddr *)&peer, len, l->peer, sizeof(l->peer));
	*out = l;
	return 0;
}

int link_accept(int listen_fd, struct link **out, struct diag *diag)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return -EAGAIN;
	if (fd < 0)
		return diag_fail(diag, errno, "cannot accept a connection: %s", strerror(errno));
	return link_new(fd, out, diag);
}

/* connect(2) that does not wait for minutes. Return: 0, or -1 with errno */
static int connect_within(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct timeval patience = { .tv_sec = CONNECT_S }, none = { 0 };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) || connect(fd, addr, len))
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
}

int link_secure(struct link *l, const struct net_options *opt, struct diag *diag)
{
	return opt->tls.on ? tls_start(&opt->tls, l->fd, NULL, l->peer, &l->tls, diag) : 0;
}

int link_connect(const struct net_options *opt, struct link **out, struct diag *diag)
{
	__attribute__((cleanup(free_addresses))) struct addrinfo *info = NULL;
	_cleanup_close_ int fd = -1;
	struct link *l = NULL;
	int ret = resolve(opt, false, &info, diag);

	if (ret)
		return ret;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect_within(fd, info->ai_addr, info->ai_addrlen))
		return diag_fail(diag, errno, "cannot connect to the page server at %s, port %u: %s", address_of(opt),
				 opt->port, errno == EINPROGRESS ? "it does not answer" : strerror(errno));
	ret = link_new(TAKE_FD(fd), &l, diag);
	if (!ret && opt->tls.on)
		ret = tls_start(&opt->tls, l->fd, address_of(opt), l->peer, &l->tls, diag);
	if (ret)
		link_close(l);
	else
		*out = l;
	return ret;
}

int link_fd(const struct link *l)
{
	return l->fd;
}

const char *link_peer(const struct link *l)
{
	return l->peer;
}

/* Nothing went on for a second. Return: whether that is to be the end, with @why set */
static bool give_up(struct link *l, ssize_t *why)
{
	int ret = l->interrupted ? l->interrupted(l->arg) : 0;

	*why = ret ? ret : *why;
	return ret != 0;
}

/* Send what is left of @msg. Return: bytes, or -errno */
static ssize_t send_some(struct link *l, const struct msghdr *msg)
{
	ssize_t n = l->tls ? tls_send(l->tls, msg->msg_iov->iov_base, msg->msg_iov->iov_len)
			   : sendmsg(l->fd, msg, MSG_NOSIGNAL);

	return l->tls || n >= 0 ? n : -errno;
}

int link_send(struct link *l, struct iovec *iov, size_t nr)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = nr };

	while (msg.msg_iovlen) {
		ssize_t n = msg.msg_iov->iov_len ? send_some(l, &msg) : 0;

		if (n == -EINTR || (n == -EAGAIN && !give_up(l, &n)))
			continue;
		if (n < 0) {
			l->broken = true;
			return (int)n;
		}
		while (msg.msg_iovlen && (size_t)n >= msg.msg_iov->iov_len) {
			n -= (ssize_t)msg.msg_iov->iov_len;
			msg.msg_iov++;
			msg.msg_iovlen--;
		}
		if (msg.msg_iovlen) {
			msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + n;
			msg.msg_iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static ssize_t receive_some(struct link *l, void *buf, size_t len)
{
	ssize_t n = l->tls ? tls_receive(l->tls, buf, len) : recv(l->fd, buf, len, MSG_WAITALL);

	return l->tls || n >= 0 ? n : -errno;
}

int link_receive(struct link *l, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = receive_some(l, (char *)buf + got, len - got);

		if (n == -EINTR || (n == -EAGAIN && l->interrupted && !give_up(l, &n)))
			continue;
		if (n < 0)
			return n == -EAGAIN ? -ETIMEDOUT : (int)n;
		if (n == 0)
			return got ? -ECONNRESET : -ENODATA;
		got += (size_t)n;
	}
	return 0;
}

void link_patience(struct link *l, unsigned seconds)
{
	const struct timeval tv = { .tv_sec = seconds };

	setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void link_interruptible(struct link *l, int (*interrupted)(void *arg), void *arg)
{
	const struct timeval tv = { .tv_sec = 1 };

	l->interrupted = interrupted;
	l->arg = arg;
	setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void link_shut(struct link *l)
{
	l->broken = true;
	shutdown(l->fd, SHUT_RDWR);
}

void link_close(struct link *l)
{
	if (!l)
		return;
	link_patience(l, GOOD_BYE_S);
	tls_end(l->tls, l->broken);
	close(l->fd);
	free(l);
}
