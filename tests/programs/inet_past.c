// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice leave-running user */
/*
 * What TCP connections of the past leave: the port of a listening socket without SO_REUSEADDR is held by one that waits
 * for late packets; the descriptor of one that is over on both sides still names the port.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "harness.h"

#define PORT 21101

static int connect_to(int listener, int *server)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_check(client >= 0 && connect(client, (void *)&a, sizeof(a)) == 0);
	*server = accept(listener, NULL, NULL);
	test_check(*server >= 0);
	return client;
}

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	test_check(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
	return info.tcpi_state;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	test_check(poll(&p, 1, 10000) == 1);
}

static int listen_at_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_check(fd >= 0 && bind(fd, (void *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0);
	return fd;
}

int main(int argc, char **argv)
{
	int listener, client, server, over;
	char c;

	test_init(argc, argv);
	listener = listen_at_port();
	client = connect_to(listener, &server); /* waits on the listener's side */
	close(server);
	wait_for(client, POLLIN);
	close(client);
	client = connect_to(listener, &over);
	shutdown(over, SHUT_WR);
	wait_for(client, POLLIN);
	close(client);
	wait_for(over, POLLHUP);
	test_check(state_of(over) == TCP_CLOSE);
	test_ready();
	test_wait();
	test_check(state_of(over) == TCP_CLOSE && read(over, &c, 1) == 0);
	test_check(send(over, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	client = connect_to(listener, &server);
	test_check(write(client, "y", 1) == 1 && read(server, &c, 1) == 1 && c == 'y');
	test_pass();
}
