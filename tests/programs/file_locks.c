// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user new-pidns */
/*
 * Locks: flock, on an open file that a child shares; POSIX locks on ranges, with a second descriptor of the file; locks
 * of an open file (OFD). A child outside the lock finds them held.
 */
#include <sys/file.h>
#include <sys/wait.h>

#include "harness.h"

static char name[3][4096];

static int reopen(int i)
{
	int fd = open(name[i], O_RDWR);

	test_check(fd >= 0);
	return fd;
}

/* What stands in the way of a lock: F_UNLCK for nothing. */
static int hindrance(int fd, int command, short type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	test_check(fcntl(fd, command, &l) == 0);
	return l.l_type;
}

/* In another process: all locks are held. */
static void check_held(void)
{
	int status;
	pid_t child = fork();

	test_check(child >= 0);
	if (!child) {
		int a = reopen(0), b = reopen(1), c = reopen(2);

		test_check(flock(a, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && flock(a, LOCK_SH | LOCK_NB) < 0);
		test_check(hindrance(b, F_GETLK, F_WRLCK, 15, 1) == F_WRLCK);
		test_check(hindrance(b, F_GETLK, F_RDLCK, 0, 10) == F_UNLCK);
		test_check(hindrance(b, F_GETLK, F_RDLCK, 200, 1) == F_UNLCK);
		test_check(hindrance(b, F_GETLK, F_WRLCK, 200, 1) == F_RDLCK);
		test_check(hindrance(c, F_OFD_GETLK, F_RDLCK, 5, 0) == F_WRLCK);
		test_check(hindrance(c, F_OFD_GETLK, F_RDLCK, 0, 5) == F_UNLCK);
		_exit(0);
	}
	test_check(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	struct flock write_some = { .l_type = F_WRLCK, .l_start = 10, .l_len = 10 };
	struct flock read_rest = { .l_type = F_RDLCK, .l_start = 100 };
	struct flock ofd = { .l_type = F_WRLCK, .l_start = 5 };
	int fd[3], second, go[2], status;
	pid_t child;
	char c;

	test_init(argc, argv);
	for (int i = 0; i < 3; i++) {
		snprintf(name[i], sizeof(name[i]), "%s.lock%d", argv[1], i);
		fd[i] = open(name[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
		test_check(fd[i] >= 0);
	}
	test_check(flock(fd[0], LOCK_EX) == 0);
	second = reopen(1);
	test_check(fcntl(fd[1], F_SETLK, &write_some) == 0 && fcntl(second, F_SETLK, &read_rest) == 0);
	test_check(fcntl(fd[2], F_OFD_SETLK, &ofd) == 0);
	test_check(pipe(go) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		close(go[1]);
		_exit(read(go[0], &c, 1) == 1 && flock(fd[0], LOCK_UN) == 0 ? 0 : 1);
	}
	test_ready();
	test_wait();
	check_held();
	test_check(write(go[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
	test_check(flock(reopen(0), LOCK_EX | LOCK_NB) == 0); /* the child has given back what it shares */
	test_pass();
}
