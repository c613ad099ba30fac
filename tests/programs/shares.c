// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trees that are refused, by what TEST_SHARES in the environment names; run by tests/e2e/tree. Each must go on as if
 * nothing had happened.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#define STACK_BYTES 65536

static volatile int step;
static int gate[2];

static int child(void *arg)
{
	step++;
	while (step < 3)
		sched_yield();
	return 4;
}

static int child_of_vfork(void *arg)
{
	char c;

	step++;
	return read(gate[0], &c, 1) == 1 ? 4 : 5;
}

static void *after_main(void *arg)
{
	while (step < 1)
		sched_yield();
	test_ready();
	test_wait();
	test_pass();
}

/* The vfork() parent waits in the kernel; another thread is told to verify. */
static void *let_vfork_end(void *arg)
{
	while (step < 1)
		sched_yield();
	test_ready();
	test_wait();
	test_check(write(gate[1], "x", 1) == 1);
	return NULL;
}

int main(int argc, char **argv)
{
	char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *what = getenv("TEST_SHARES");
	int status, pid;
	pthread_t thread;

	test_init(argc, argv);
	test_check(what && stack != MAP_FAILED && !pipe(gate));
	if (!strcmp(what, "main")) {
		test_check(!pthread_create(&thread, NULL, after_main, NULL));
		step = 1;
		syscall(SYS_exit, 0);
	}
	if (!strcmp(what, "vfork")) {
		test_check(!pthread_create(&thread, NULL, let_vfork_end, NULL));
		pid = clone(child_of_vfork, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
		test_check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 4 << 8);
		test_pass();
	}
	if (!strcmp(what, "descriptors")) { /* of two siblings, and not their parent's */
		char c;
		int made[2];

		test_check(!pipe(made) && (pid = fork()) >= 0);
		if (!pid) {
			test_check(clone(child_of_vfork, stack + STACK_BYTES, CLONE_PARENT | CLONE_FILES, NULL) > 0);
			test_check(write(made[1], "x", 1) == 1);
			_exit(child_of_vfork(NULL));
		}
		test_check(read(made[0], &c, 1) == 1);
		test_ready();
		test_wait();
		test_check(write(gate[1], "xx", 2) == 2);
		for (int i = 0; i < 2; i++)
			test_check(wait(&status) > 0 && status == 4 << 8);
		test_pass();
	}
	pid = clone(child, stack + STACK_BYTES, CLONE_VM | SIGCHLD, NULL);
	test_check(pid > 0);
	while (step < 1)
		sched_yield();
	test_ready();
	test_wait();
	step = 3;
	test_check(waitpid(pid, &status, 0) == pid && status == 4 << 8);
	test_pass();
}
