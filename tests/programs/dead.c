// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/* What is left of processes that have ended: pidfds, of one process and of another, and files and directories of /proc.
 */
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

static pid_t born(void)
{
	pid_t child = fork();

	test_check(child >= 0);
	if (!child)
		for (;;)
			pause();
	return child;
}

static void end(pid_t child)
{
	test_check(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

static int open_of(pid_t child, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d%s", child, name);
	fd = open(path, O_RDONLY);
	test_check(fd >= 0);
	return fd;
}

static void check_link(int fd, pid_t child, const char *name)
{
	char path[64], want[64], link[128] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "/proc/%d%s", child, name);
	test_check(readlink(path, link, sizeof(link) - 1) > 0);
	if (strcmp(link, want) != 0)
		test_fail("descriptor %d is %s, not %s", fd, link, want);
}

static ino_t inode(int fd)
{
	struct stat st;

	test_check(fstat(fd, &st) == 0);
	return st.st_ino;
}

static void check_pidfd(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	test_check(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0 && errno == ESRCH);
	test_check(poll(&p, 1, 0) == 1 && p.revents & POLLIN);
}

int main(int argc, char **argv)
{
	int one, again, other, dir, file, task;
	pid_t a, b;
	char c;

	test_init(argc, argv);
	a = born();
	b = born();
	one = (int)syscall(SYS_pidfd_open, a, 0);
	again = (int)syscall(SYS_pidfd_open, a, O_NONBLOCK);
	other = (int)syscall(SYS_pidfd_open, b, 0);
	dir = open_of(a, "");
	file = open_of(b, "/status");
	task = open_of(b, "/task");
	end(a);
	end(b);
	test_ready();
	test_wait();

	check_pidfd(one);
	check_pidfd(again);
	check_pidfd(other);
	test_check(fcntl(again, F_GETFL) & O_NONBLOCK && !(fcntl(one, F_GETFL) & O_NONBLOCK));
	test_check(inode(one) == inode(again) && inode(one) != inode(other));
	check_link(dir, a, " (deleted)");
	check_link(file, b, "/status");
	check_link(task, b, "/task");
	test_check(openat(dir, "status", O_RDONLY) < 0 && read(file, &c, 1) < 0 && errno == ESRCH);
	test_pass();
}
