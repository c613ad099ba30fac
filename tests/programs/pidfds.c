// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user new-pidns */
/* pidfds of a child and of the process itself, under two numbers, in an epoll instance; what they signal and report. */
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int main(int argc, char **argv)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 9 };
	int own, of_child, again, epoll;
	siginfo_t info;
	pid_t child;

	test_init(argc, argv);
	child = fork();
	test_check(child >= 0);
	if (!child)
		for (;;)
			pause();
	epoll = epoll_create1(0);
	own = (int)syscall(SYS_pidfd_open, getpid(), 0);
	of_child = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK);
	again = dup2(of_child, 77);
	test_check(epoll >= 0 && own >= 0 && of_child >= 0 && again == 77 && fcntl(again, F_SETFD, 0) == 0);
	test_check(epoll_ctl(epoll, EPOLL_CTL_ADD, of_child, &e) == 0);
	test_ready();
	test_wait();
	test_check(fcntl(own, F_GETFD) == FD_CLOEXEC && fcntl(again, F_GETFD) == 0);
	test_check(fcntl(of_child, F_GETFL) & O_NONBLOCK && !(fcntl(own, F_GETFL) & O_NONBLOCK));
	test_check(syscall(SYS_pidfd_send_signal, own, 0, NULL, 0) == 0);
	test_check(epoll_wait(epoll, &e, 1, 0) == 0);
	test_check(syscall(SYS_pidfd_send_signal, again, SIGTERM, NULL, 0) == 0);
	test_check(epoll_wait(epoll, &e, 1, 10000) == 1 && e.data.u64 == 9);
	test_check(waitid(P_PIDFD, (id_t)of_child, &info, WEXITED) == 0 && info.si_pid == child);
	test_check(info.si_code == CLD_KILLED && info.si_status == SIGTERM);
	test_pass();
}
