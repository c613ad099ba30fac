// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * epoll: events and data of many targets, edge-triggered, one instance inside another; a target whose number was closed
 * while a duplicate lives; an instance shared with a child.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"

#define TARGETS 300
#define NEVER 50 /* ms */

static void add(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	test_check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void signal_fd(int fd)
{
	test_check(write(fd, &(uint64_t){ 1 }, 8) == 8);
}

static void check_event(int epoll, uint32_t events, uint64_t data)
{
	struct epoll_event e = { 0 };

	test_check(epoll_wait(epoll, &e, 1, 10000) == 1 && e.events == events && e.data.u64 == data);
}

int main(int argc, char **argv)
{
	int inner, outer, edge, shared, targets[TARGETS], pair[2], gone, kept, go[2], status;
	struct epoll_event e;
	pid_t child;
	char c;

	test_init(argc, argv);
	inner = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(0);
	shared = epoll_create1(0);
	edge = eventfd(0, EFD_NONBLOCK);
	test_check(inner >= 0 && outer >= 0 && shared >= 0 && edge >= 0);
	for (int i = 0; i < TARGETS; i++) {
		targets[i] = eventfd(0, EFD_NONBLOCK);
		test_check(targets[i] >= 0);
		add(inner, targets[i], EPOLLIN, 0x1234567800000000ULL + (unsigned)i);
	}
	add(outer, inner, EPOLLIN, 77);
	add(outer, edge, EPOLLIN | EPOLLET, 78);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	add(inner, pair[0], EPOLLIN | EPOLLRDHUP, 79);
	gone = eventfd(0, EFD_NONBLOCK);
	kept = dup(gone);
	add(shared, gone, EPOLLIN, 80);
	test_check(kept >= 0 && close(gone) == 0 && pipe(go) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1 || epoll_wait(shared, &e, 1, 10000) != 1)
			_exit(1);
		_exit(e.data.u64 == 80 ? 0 : 2);
	}
	test_ready();
	test_wait();
	test_check(fcntl(inner, F_GETFD) == FD_CLOEXEC);
	test_check(epoll_wait(inner, &e, 1, NEVER) == 0 && epoll_wait(shared, &e, 1, NEVER) == 0);
	for (int i = TARGETS - 1; i >= 0; i -= 7) {
		signal_fd(targets[i]);
		check_event(inner, EPOLLIN, 0x1234567800000000ULL + (unsigned)i);
		check_event(outer, EPOLLIN, 77);
		test_check(read(targets[i], &(uint64_t){ 0 }, 8) == 8);
	}
	while (epoll_wait(outer, &e, 1, 0) > 0)
		;
	signal_fd(edge);
	check_event(outer, EPOLLIN, 78);
	test_check(epoll_wait(outer, &e, 1, NEVER) == 0);
	test_check(shutdown(pair[1], SHUT_WR) == 0);
	check_event(inner, EPOLLIN | EPOLLRDHUP, 79);
	signal_fd(kept);
	test_check(write(go[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
	test_check(epoll_ctl(inner, EPOLL_CTL_DEL, targets[5], NULL) == 0);
	test_pass();
}
