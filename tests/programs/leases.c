// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/* Leases, of both kinds: they are there, they tell their owner when somebody else opens the file, by the signal asked
 * for. */
#include <sys/wait.h>

#include "harness.h"

static char name[2][4096];

static int leased(int i, int flags, int type, int sig)
{
	int fd;

	snprintf(name[i], sizeof(name[i]), "%s.lease%d", test_result_path, i);
	fd = open(name[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
	test_check(fd >= 0 && close(fd) == 0);
	fd = open(name[i], flags);
	test_check(fd >= 0 && fcntl(fd, F_SETSIG, sig) == 0 && fcntl(fd, F_SETLEASE, type) == 0);
	return fd;
}

/* A child that opens the file waits until the lease is gone. */
static void break_lease(int i, int fd, int sig)
{
	siginfo_t info;
	sigset_t set;
	int status;
	pid_t child = fork();

	test_check(child >= 0);
	if (!child) {
		close(fd);
		_exit(open(name[i], O_RDWR) < 0);
	}
	sigemptyset(&set);
	sigaddset(&set, sig);
	test_check(sigwaitinfo(&set, &info) == sig && info.si_fd == fd);
	test_check(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	test_check(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int reads, writes;

	test_init(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	reads = leased(0, O_RDONLY, F_RDLCK, SIGRTMIN);
	writes = leased(1, O_RDWR, F_WRLCK, SIGRTMIN + 1);
	test_ready();
	test_wait();

	test_check(fcntl(reads, F_GETLEASE) == F_RDLCK && fcntl(writes, F_GETLEASE) == F_WRLCK);
	break_lease(0, reads, SIGRTMIN);
	break_lease(1, writes, SIGRTMIN + 1);
	test_pass();
}
