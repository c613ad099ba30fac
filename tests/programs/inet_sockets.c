// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user */
/* Sockets of TCP and UDP, over IPv4 and IPv6: listening, bound, connected (UDP), new; and their options. */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "harness.h"

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	test_check(getsockopt(fd, level, name, &value, &len) == 0);
	return value;
}

static void set(int fd, int level, int name, int value)
{
	test_check(setsockopt(fd, level, name, &value, sizeof(value)) == 0);
}

static int new_socket(int family, int type, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(family, type, 0);

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	test_check(fd >= 0);
	if (family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, port % 2);
	if (port)
		test_check(family == AF_INET ? bind(fd, (void *)&v4, sizeof(v4)) == 0
					     : bind(fd, (void *)&v6, sizeof(v6)) == 0);
	return fd;
}

static int port_of(int fd)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t len = sizeof(a);

	test_check(getsockname(fd, (void *)&a, &len) == 0);
	return ntohs(a.sin6_port); /* at the same place for IPv4 */
}

/* A connection to @listener works, with data both ways. */
static void check_listener(int listener, int family, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int client = socket(family, SOCK_STREAM, 0), server;
	char c;

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v6.sin6_addr = in6addr_loopback;
	test_check(family == AF_INET ? connect(client, (void *)&v4, sizeof(v4)) == 0
				     : connect(client, (void *)&v6, sizeof(v6)) == 0);
	server = accept(listener, NULL, NULL);
	test_check(server >= 0 && write(client, "a", 1) == 1 && read(server, &c, 1) == 1 && c == 'a');
	test_check(write(server, "b", 1) == 1 && read(client, &c, 1) == 1 && c == 'b');
	close(client);
	close(server);
}

int main(int argc, char **argv)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0xffff) };
	struct sock_fprog prog = { .len = 1, .filter = code };
	struct sock_filter back[8];
	socklen_t len = 8;
	struct linger linger = { 1, 5 };
	struct timeval tv = { 3, 250000 };
	int tcp, tcp6, bound, fresh, udp, udp6, connected, half, peer, reuse[2], sndbuf;
	struct sockaddr_in a = { .sin_family = AF_INET };
	char buf[8];

	test_init(argc, argv);
	tcp = new_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 21001);
	tcp6 = new_socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 21002);
	bound = new_socket(AF_INET, SOCK_STREAM, 21003);
	fresh = new_socket(AF_INET, SOCK_STREAM, 0);
	udp = new_socket(AF_INET, SOCK_DGRAM, 21004);
	udp6 = new_socket(AF_INET6, SOCK_DGRAM, 21005);
	peer = new_socket(AF_INET, SOCK_DGRAM, 21006);
	connected = new_socket(AF_INET, SOCK_DGRAM, 0);
	a.sin_port = htons(21006);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_check(connect(connected, (void *)&a, sizeof(a)) == 0);
	half = new_socket(AF_INET, SOCK_DGRAM, 21008);
	test_check(connect(half, (void *)&a, sizeof(a)) == 0 && shutdown(half, SHUT_WR) == 0);
	for (int i = 0; i < 2; i++) {
		reuse[i] = new_socket(AF_INET, SOCK_DGRAM, 0);
		set(reuse[i], SOL_SOCKET, SO_REUSEPORT, 1);
		a.sin_port = htons(21007);
		test_check(bind(reuse[i], (void *)&a, sizeof(a)) == 0);
	}
	set(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
	set(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(tcp, IPPROTO_TCP, TCP_NODELAY, 1);
	set(tcp, SOL_SOCKET, SO_RCVLOWAT, 1);
	set(fresh, SOL_SOCKET, SO_SNDBUF, 20000);
	sndbuf = get(fresh, SOL_SOCKET, SO_SNDBUF);
	set(udp, SOL_SOCKET, SO_BROADCAST, 1);
	set(udp, IPPROTO_IP, IP_TOS, 0x10);
	set(udp, IPPROTO_IP, IP_PKTINFO, 1);
	test_check(setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	test_check(setsockopt(fresh, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	test_check(setsockopt(udp, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0);
	test_check(listen(tcp, 7) == 0 && listen(tcp6, 100) == 0);
	test_ready();
	test_wait();
	test_check(port_of(tcp) == 21001 && port_of(tcp6) == 21002 && port_of(bound) == 21003 && port_of(udp) == 21004);
	test_check(fcntl(tcp, F_GETFL) & O_NONBLOCK && fcntl(tcp6, F_GETFD) == FD_CLOEXEC);
	check_listener(tcp6, AF_INET6, 21002);
	set(tcp, SOL_SOCKET, SO_RCVLOWAT, 1);
	check_listener(tcp, AF_INET, 21001);
	test_check(listen(bound, 5) == 0);
	check_listener(bound, AF_INET, 21003);
	test_check(get(tcp, SOL_SOCKET, SO_REUSEADDR) == 1 && get(tcp6, SOL_SOCKET, SO_REUSEADDR) == 0);
	test_check(get(tcp, SOL_SOCKET, SO_KEEPALIVE) == 1 && get(tcp, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
	test_check(get(tcp, IPPROTO_TCP, TCP_NODELAY) && !get(tcp6, IPPROTO_TCP, TCP_NODELAY));
	test_check(get(fresh, SOL_SOCKET, SO_SNDBUF) == sndbuf && get(fresh, SOL_SOCKET, SO_ACCEPTCONN) == 0);
	test_check(get(udp, SOL_SOCKET, SO_BROADCAST) && get(udp, IPPROTO_IP, IP_TOS) == 0x10);
	test_check(get(udp, IPPROTO_IP, IP_PKTINFO) && get(udp6, IPPROTO_IPV6, IPV6_V6ONLY));
	len = sizeof(tv);
	test_check(getsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0 && tv.tv_sec == 3 && tv.tv_usec >= 250000);
	len = sizeof(linger);
	test_check(getsockopt(fresh, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff &&
		   linger.l_linger == 5);
	len = 8;
	test_check(getsockopt(udp, SOL_SOCKET, SO_GET_FILTER, back, &len) == 0 && len == 1 && back[0].k == 0xffff);
	test_check(send(half, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	test_check(write(connected, "dgram", 5) == 5 && read(peer, buf, sizeof(buf)) == 5 && !memcmp(buf, "dgram", 5));
	test_check(get(reuse[0], SOL_SOCKET, SO_REUSEPORT) == 1 && port_of(reuse[0]) == 21007 &&
		   port_of(reuse[1]) == 21007);
	test_pass();
}
