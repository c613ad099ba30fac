// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/* Processes that share working directory and umask without being threads, over three generations; one beside does not.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

static volatile int *ready, *step;

static pid_t make(uint64_t flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	test_check(pid >= 0);
	if (!pid)
		test_forked();
	return pid;
}

static void __attribute__((noreturn)) wait_and_move(const char *to, mode_t mask)
{
	++*ready;
	while (*step < 1)
		sched_yield();
	umask(mask);
	_exit(chdir(to) ? 9 : 4);
}

static void __attribute__((noreturn)) child(void)
{
	int status;
	pid_t below = make(CLONE_FS);

	if (!below)
		wait_and_move("/proc/sys", 0123);
	_exit(waitpid(below, &status, 0) == below && status == 4 << 8 ? 3 : 9);
}

int main(int argc, char **argv)
{
	pid_t sharing, own;
	char name[4096];
	int status;

	test_init(argc, argv);
	ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(ready != MAP_FAILED && chdir("/proc") == 0);
	step = ready + 1;
	umask(027);
	sharing = make(CLONE_FS);
	if (!sharing)
		child();
	own = make(0);
	if (!own)
		wait_and_move("/tmp", 0777);
	while (*ready < 2)
		sched_yield();
	test_ready();
	test_wait();

	test_check(getcwd(name, sizeof(name)) && !strcmp(name, "/proc"));
	test_check(umask(027) == 027);
	*step = 1;
	test_check(waitpid(own, &status, 0) == own && status == 4 << 8);
	test_check(waitpid(sharing, &status, 0) == sharing && status == 3 << 8);
	test_check(getcwd(name, sizeof(name)) && !strcmp(name, "/proc/sys"));
	test_check(umask(027) == 0123);
	test_pass();
}
