// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice leave-running user */
/* Descriptors at the very limit, as valgrind has them, beside low ones; pipes, files and shared memory among them. */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "harness.h"

int main(int argc, char **argv)
{
	struct rlimit l;
	int top, fds[2], event;
	uint64_t *shared, value = 0;
	struct stat st, st2;
	char c;

	test_init(argc, argv);
	test_check(getrlimit(RLIMIT_NOFILE, &l) == 0);
	l.rlim_cur = l.rlim_max;
	test_check(setrlimit(RLIMIT_NOFILE, &l) == 0);
	top = (int)l.rlim_max - 1;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	*shared = 7;
	test_check(pipe(fds) == 0 && dup2(fds[1], top) == top && close(fds[1]) == 0 && write(top, "a", 1) == 1);
	event = eventfd(5, 0);
	test_check(event >= 0 && dup2(event, top - 2) == top - 2 && close(event) == 0);
	test_check(dup2(STDOUT_FILENO, top - 1) == top - 1 && fcntl(top - 1, F_SETFD, FD_CLOEXEC) == 0);
	test_ready();
	test_wait();
	test_check(read(fds[0], &c, 1) == 1 && c == 'a' && write(top, "b", 1) == 1 && read(fds[0], &c, 1) == 1);
	test_check(write(top, "a", 1) == 1 && *shared == 7);
	test_check(read(top - 2, &value, 8) == 8 && value == 5 && write(top - 2, &value, 8) == 8);
	test_check(fstat(STDOUT_FILENO, &st) == 0 && fstat(top - 1, &st2) == 0 && st.st_ino == st2.st_ino);
	test_check(fcntl(top - 1, F_GETFD) == FD_CLOEXEC && fcntl(top, F_GETFD) == 0);
	test_check(fcntl(top - 3, F_GETFD) < 0 && fcntl(1000, F_GETFD) < 0 && fcntl(fds[0] + 1, F_GETFD) < 0);
	test_pass();
}
