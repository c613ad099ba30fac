// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user leave-running */
/* options: --tcp-established */
/* timeout: 20 */
/* TCP connections with both ends here: data that waits at either end, and all closing states; IPv4, IPv6 and both. */
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "harness.h"

enum family { V4, V6, MAPPED, FAMILIES };

/* What is done to the ends of a pair, and the states that they are in then. */
static const struct {
	const char *name;
	int state[2];
} cases[] = {
	{ "idle", { TCP_ESTABLISHED, TCP_ESTABLISHED } },
	{ "unread", { TCP_ESTABLISHED, TCP_ESTABLISHED } },
	{ "unsent", { TCP_ESTABLISHED, TCP_ESTABLISHED } },
	{ "half closed", { TCP_FIN_WAIT2, TCP_CLOSE_WAIT } },
	{ "half closed, unread", { TCP_FIN_WAIT2, TCP_CLOSE_WAIT } },
	{ "half closed, unsent", { TCP_FIN_WAIT1, TCP_ESTABLISHED } },
	{ "closed, unsent", { TCP_LAST_ACK, TCP_FIN_WAIT2 } },
	{ "closed, unread", { TCP_CLOSE, TCP_CLOSE } },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

enum { IDLE, UNREAD, UNSENT, HALF, HALF_UNREAD, HALF_UNSENT, CLOSED_UNSENT, CLOSED_UNREAD };

static int listeners[FAMILIES];
static int ends[FAMILIES][CASES][2];
static size_t sent[FAMILIES][CASES]; /* bytes from 0 to 1 that are on their way */

static socklen_t address(enum family family, int port, struct sockaddr_storage *a)
{
	struct sockaddr_in *v4 = (void *)a;
	struct sockaddr_in6 *v6 = (void *)a;

	memset(a, 0, sizeof(*a));
	if (family == V4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	if (family == V6)
		v6->sin6_addr = in6addr_loopback;
	else
		test_check(inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6->sin6_addr) == 1);
	return sizeof(*v6);
}

static int state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	test_check(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
	return info.tcpi_state;
}

/* Packets and acknowledgements may take a moment, on loopback too. */
static void await_states(enum family f, size_t c)
{
	while (state(ends[f][c][0]) != cases[c].state[0] || state(ends[f][c][1]) != cases[c].state[1])
		poll(NULL, 0, 1);
}

static uint8_t byte_at(enum family f, size_t c, size_t i)
{
	return (uint8_t)test_word(i, f * CASES + c);
}

/* As much as fits at both ends: what does not fit over there stays here, never sent. */
static void flood(enum family f, size_t c)
{
	int waiting, unsent;
	uint8_t buf[4096];
	ssize_t n;

	for (;;) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = byte_at(f, c, sent[f][c] + i);
		n = send(ends[f][c][0], buf, sizeof(buf), MSG_DONTWAIT);
		sent[f][c] += n > 0 ? (size_t)n : 0;
		test_check(ioctl(ends[f][c][0], SIOCOUTQ, &waiting) == 0);
		test_check(ioctl(ends[f][c][0], SIOCOUTQNSD, &unsent) == 0);
		if (n < 0 && unsent && waiting == unsent)
			return;
		if (n < 0)
			poll(NULL, 0, 1);
	}
}

static void send_some(enum family f, size_t c, size_t len)
{
	for (size_t i = 0; i < len; i++, sent[f][c]++) {
		uint8_t b = byte_at(f, c, i);

		test_check(write(ends[f][c][0], &b, 1) == 1);
	}
}

static void make_pair(enum family f, size_t c)
{
	struct sockaddr_storage a;
	socklen_t len = address(f, 22001 + (int)f, &a);
	int *e = ends[f][c], small = 4096;

	e[0] = socket(a.ss_family, SOCK_STREAM, 0);
	test_check(e[0] >= 0);
	if (c == HALF_UNSENT || c == CLOSED_UNSENT)
		test_check(setsockopt(e[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	test_check(connect(e[0], (void *)&a, len) == 0);
	e[1] = accept(listeners[f], NULL, NULL);
	test_check(e[1] >= 0);
	if (c == UNREAD || c == HALF_UNREAD || c == CLOSED_UNREAD)
		send_some(f, c, 3000);
	if (c == CLOSED_UNSENT)
		test_check(shutdown(e[1], SHUT_WR) == 0);
	if (c == UNSENT || c == HALF_UNSENT || c == CLOSED_UNSENT)
		flood(f, c);
	if (c == HALF || c == HALF_UNREAD || c == HALF_UNSENT || c == CLOSED_UNSENT || c == CLOSED_UNREAD)
		test_check(shutdown(e[0], SHUT_WR) == 0);
	if (c == CLOSED_UNREAD)
		test_check(shutdown(e[1], SHUT_WR) == 0);
}

/* All that was sent arrives, then the end if there is one. */
static void check_data(enum family f, size_t c)
{
	bool half = cases[c].state[0] != TCP_ESTABLISHED;
	size_t got = 0;
	uint8_t buf[4096];

	while (got < sent[f][c]) {
		struct pollfd p = { .fd = ends[f][c][1], .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 20000) != 1)
			test_fail("%s, family %u: %zu of %zu bytes arrive, then no more", cases[c].name, f, got,
				  sent[f][c]);
		n = read(p.fd, buf, sizeof(buf));
		if (n <= 0)
			test_fail("%s, family %u: read() says %zd after %zu bytes (%s)", cases[c].name, f, n, got,
				  strerror(errno));
		for (ssize_t i = 0; i < n; i++, got++)
			if (buf[i] != byte_at(f, c, got))
				test_fail("%s, family %u: byte %zu is wrong", cases[c].name, f, got);
	}
	if (half)
		test_check(read(ends[f][c][1], buf, sizeof(buf)) == 0);
	else
		test_check(write(ends[f][c][0], "x", 1) == 1 && read(ends[f][c][1], buf, 1) == 1 && buf[0] == 'x');
	if (c == CLOSED_UNSENT || c == CLOSED_UNREAD) {
		test_check(read(ends[f][c][0], buf, 1) == 0);
		close(ends[f][c][0]);
		close(ends[f][c][1]);
		return;
	}
	test_check(write(ends[f][c][1], "back", 4) == 4 && read(ends[f][c][0], buf, 4) == 4 && !memcmp(buf, "back", 4));
	close(ends[f][c][1]);
	test_check(read(ends[f][c][0], buf, 1) == 0);
	close(ends[f][c][0]);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage a;
	int yes = 1, small = 8192;

	test_init(argc, argv);
	for (enum family f = 0; f < FAMILIES; f++) {
		socklen_t len = address(f, 22001 + (int)f, &a);

		listeners[f] = socket(a.ss_family, SOCK_STREAM, 0);
		test_check(setsockopt(listeners[f], SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
		test_check(setsockopt(listeners[f], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
		test_check(bind(listeners[f], (void *)&a, len) == 0 && listen(listeners[f], 5) == 0);
		for (size_t c = 0; c < CASES; c++)
			make_pair(f, c);
		for (size_t c = 0; c < CASES; c++)
			await_states(f, c);
	}
	test_check(setsockopt(ends[V4][IDLE][0], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
	test_ready();
	test_wait();
	for (enum family f = 0; f < FAMILIES; f++)
		for (size_t c = 0; c < CASES; c++) {
			await_states(f, c);
			check_data(f, c);
		}
	for (enum family f = 0; f < FAMILIES; f++) {
		size_t c = IDLE;

		make_pair(f, c);
		check_data(f, c);
	}
	test_pass();
}
