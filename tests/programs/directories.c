// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/* Working directory and umask, a parent's and a child's; a child in another root directory. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

static void check_cwd(const char *want)
{
	char buf[4096];

	test_check(getcwd(buf, sizeof(buf)) && !strcmp(buf, want));
}

int main(int argc, char **argv)
{
	char dir[4096], sub[4200];
	int go[2], status;
	struct stat st;
	pid_t child;
	char c;

	test_init(argc, argv);
	snprintf(dir, sizeof(dir), "%s.dir", argv[1]);
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	test_check((mkdir(dir, 0755) == 0 || errno == EEXIST) && (mkdir(sub, 0755) == 0 || errno == EEXIST));
	test_check(pipe(go) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		test_check(chroot(dir) == 0 && chdir("/sub") == 0);
		umask(0);
		close(go[1]);
		test_check(read(go[0], &c, 1) == 1);
		check_cwd("/sub");
		test_check(umask(022) == 0 && stat("/sub", &st) == 0 && stat("/sub/..", &st) == 0);
		_exit(stat("/proc", &st) < 0 ? 0 : 1);
	}
	umask(0137);
	test_check(chdir(sub) == 0);
	test_ready();
	test_wait();
	check_cwd(sub);
	test_check(umask(0) == 0137);
	test_check(write(go[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
	test_pass();
}
