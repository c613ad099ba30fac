// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Signal-driven I/O: a pipe and a socket with owner, signal and O_ASYNC. The signal comes with the descriptor and band;
 * a child that is the owner of the parent's pipe gets it. The owner's ids are the program's.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

static sigset_t signals;

static void arm(int fd, int signal, pid_t owner)
{
	struct f_owner_ex ex = { .type = F_OWNER_PID, .pid = owner };

	test_check(fcntl(fd, F_SETOWN_EX, &ex) == 0 && fcntl(fd, F_SETSIG, signal) == 0);
	test_check(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) == 0);
}

static void check_signal(int signal, int fd)
{
	siginfo_t info;
	int ret;

	do
		ret = sigwaitinfo(&signals, &info);
	while (ret < 0 && errno == EINTR);
	test_check(ret == signal && info.si_fd == fd && info.si_band & POLLIN);
}

int main(int argc, char **argv)
{
	int own[2], pair[2], given[2], status;
	uint32_t uids[2];
	pid_t child;

	test_init(argc, argv);
	sigemptyset(&signals);
	sigaddset(&signals, SIGRTMIN + 1);
	sigaddset(&signals, SIGRTMIN + 2);
	sigaddset(&signals, SIGRTMIN + 3);
	test_check(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
	test_check(pipe(own) == 0 && pipe(given) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		check_signal(SIGRTMIN + 3, given[0]);
		_exit(0);
	}
	arm(own[0], SIGRTMIN + 1, getpid());
	arm(pair[0], SIGRTMIN + 2, getpid());
	arm(given[0], SIGRTMIN + 3, child);
	test_ready();
	test_wait();
	test_check(fcntl(own[0], F_GETFL) & O_ASYNC && !(fcntl(own[1], F_GETFL) & O_ASYNC));
	test_check(write(own[1], "x", 1) == 1);
	check_signal(SIGRTMIN + 1, own[0]);
	test_check(write(pair[1], "x", 1) == 1);
	check_signal(SIGRTMIN + 2, pair[0]);
	test_check(fcntl(own[0], F_GETOWNER_UIDS, uids) == 0 && uids[0] == getuid() && uids[1] == geteuid());
	test_check(write(given[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
	test_pass();
}
