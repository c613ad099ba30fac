// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice leave-running user */
/* Netlink sockets: new, bound, a member of groups low and high, connected; options; they go on asking the kernel. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "harness.h"

#define HIGH_GROUP RTNLGRP_BRVLAN /* more than 32 */

static int new_socket(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	test_check(fd >= 0);
	return fd;
}

static struct sockaddr_nl name_of(int fd, bool peer)
{
	struct sockaddr_nl a = { 0 };
	socklen_t len = sizeof(a);

	test_check((peer ? getpeername(fd, (void *)&a, &len) : getsockname(fd, (void *)&a, &len)) == 0);
	return a;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	test_check(getsockopt(fd, SOL_NETLINK, name, &value, &len) == 0);
	return value;
}

static bool is_member(int fd, int group)
{
	uint32_t words[32] = { 0 };
	socklen_t len = sizeof(words);

	test_check(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &len) == 0);
	return words[(group - 1) / 32] & 1U << (group - 1) % 32;
}

/* Ask for loopback's link. */
static void ask(int fd)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} req = { .h = { .nlmsg_len = sizeof(req), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
		  .i = { .ifi_index = 1 } };
	static char answer[65536];
	const struct nlmsghdr *h = (const void *)answer;

	test_check(send(fd, &req, sizeof(req), 0) == sizeof(req));
	test_check(recv(fd, answer, sizeof(answer), 0) > (ssize_t)sizeof(*h) && h->nlmsg_type == RTM_NEWLINK);
}

int main(int argc, char **argv)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE };
	int fresh, bound, connected, on = 1, group = HIGH_GROUP;
	uint32_t port;

	test_init(argc, argv);
	fresh = new_socket(NETLINK_ROUTE);
	bound = new_socket(NETLINK_ROUTE);
	test_check(bind(bound, (void *)&a, sizeof(a)) == 0 && fcntl(bound, F_SETFL, O_NONBLOCK) == 0);
	test_check(setsockopt(bound, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0);
	test_check(setsockopt(bound, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) == 0);
	connected = new_socket(NETLINK_ROUTE);
	a.nl_groups = 0;
	test_check(connect(connected, (void *)&a, sizeof(a)) == 0);
	port = name_of(bound, false).nl_pid;
	ask(connected);
	test_ready();
	test_wait();
	test_check(name_of(fresh, false).nl_pid == 0 && name_of(bound, false).nl_pid == port);
	test_check(name_of(bound, false).nl_groups == (RTMGRP_LINK | RTMGRP_IPV4_ROUTE));
	test_check(is_member(bound, HIGH_GROUP) && !is_member(bound, HIGH_GROUP - 1) && !is_member(fresh, 1));
	test_check(option(bound, NETLINK_EXT_ACK) == 1 && option(bound, NETLINK_CAP_ACK) == 0);
	test_check(fcntl(bound, F_GETFL) & O_NONBLOCK && fcntl(connected, F_GETFD) == FD_CLOEXEC);
	ask(connected);
	test_check(fcntl(bound, F_SETFL, 0) == 0);
	ask(bound);
	test_check(fcntl(bound, F_SETFL, O_NONBLOCK) == 0);
	test_pass();
}
