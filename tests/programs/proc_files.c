// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice leave-running user new-pidns */
/*
 * Open files of /proc that belong to processes of the tree, as monitors and careless forks have them: the own maps,
 * read in part and by two descriptors; the own directory; a child's status; one that is written to; one of pid 1.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

static void check_link(int fd, const char *want)
{
	char path[64], target[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, target, sizeof(target) - 1);
	test_check(len > 0);
	target[len] = '\0';
	if (strcmp(target, want) != 0)
		test_fail("descriptor %d leads to %s, not %s", fd, target, want);
}

int main(int argc, char **argv)
{
	char path[64], child_path[64], start[32] = "", again[32] = "", text[4096];
	int maps, maps2, dir, status, score, init, fds[2];
	struct stat st;
	pid_t child;
	ssize_t n;

	test_init(argc, argv);
	test_check(pipe(fds) == 0);
	child = fork();
	if (!child) {
		test_forked();
		close(fds[1]);
		_exit(read(fds[0], text, 1) != 0);
	}
	close(fds[0]);
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	test_check(maps >= 0 && pread(maps, start, sizeof(start) - 1, 0) == sizeof(start) - 1);
	test_check(lseek(maps, 10, SEEK_SET) == 10);
	maps2 = dup(maps);
	dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
	snprintf(child_path, sizeof(child_path), "/proc/%d/status", child);
	status = open(child_path, O_RDONLY);
	score = open("/proc/self/oom_score_adj", O_WRONLY);
	init = open("/proc/1/comm", O_RDONLY);
	test_check(maps2 >= 0 && dir >= 0 && status >= 0 && score >= 0 && init >= 0);
	test_ready();
	test_wait();
	snprintf(path, sizeof(path), "/proc/%d/maps", getpid());
	check_link(maps, path);
	check_link(maps2, path);
	check_link(status, child_path);
	test_check(fcntl(maps, F_GETFD) == FD_CLOEXEC && fcntl(maps2, F_GETFD) == 0);
	test_check(lseek(maps2, 0, SEEK_CUR) == 10 && lseek(maps, 0, SEEK_SET) == 0);
	test_check(read(maps2, again, 20) == 20 && !memcmp(again, start, 20));
	test_check(lseek(maps, 0, SEEK_CUR) == 20 && lseek(maps, 10, SEEK_SET) == 10);
	test_check(fstatat(dir, "cmdline", &st, 0) == 0 && S_ISREG(st.st_mode));
	n = pread(status, text, sizeof(text) - 1, 0);
	test_check(n > 0);
	text[n] = '\0';
	snprintf(path, sizeof(path), "\nPid:\t%d\n", child);
	test_check(strstr(text, path));
	test_check(write(score, "0", 1) == 1 && fcntl(score, F_GETFL) % 4 == O_WRONLY && read(init, text, 1) == 1);
	test_check(lseek(init, 0, SEEK_SET) == 0);
	close(fds[1]);
	test_check(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status));
	test_pass();
}
