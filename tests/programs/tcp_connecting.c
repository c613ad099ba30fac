// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy */
/* options: --tcp-established --skip-in-flight */
/* A connection that is being made, since its listening socket has no room; and those in its way, which a dump drops. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "harness.h"

static int state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	test_check(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
	return info.tcpi_state;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(22101) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), client, error = -1;
	socklen_t len = sizeof(error);
	struct pollfd p;

	test_init(argc, argv);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	test_check(bind(listener, (void *)&a, sizeof(a)) == 0 && listen(listener, 0) == 0);
	do {
		client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		test_check(client >= 0 && connect(client, (void *)&a, sizeof(a)) < 0 && errno == EINPROGRESS);
		p = (struct pollfd){ .fd = client, .events = POLLOUT };
	} while (poll(&p, 1, 50) == 1);
	test_check(state(client) == TCP_SYN_SENT);
	test_ready();
	test_wait();
	while (accept(listener, NULL, NULL) >= 0) /* those in its way; or it, already */
		;
	test_check(poll(&p, 1, 20000) == 1 && getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
		   error == 0);
	if (state(client) != TCP_ESTABLISHED || !(fcntl(client, F_GETFL) & O_NONBLOCK))
		test_fail("state %d, flags %o, poll %x", state(client), (unsigned)fcntl(client, F_GETFL),
			  (unsigned)p.revents);
	test_pass();
}
