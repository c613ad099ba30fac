// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice new-pidns-lazy */
/*
 * A tree that is never at rest: workers that start children all the time, which start threads, execute this program
 * anew, from the main thread or from another, or start children themselves, and end. Each worker waits for what it
 * started and counts; a child that is lost, or a wait that fails, is a failure.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define WORKERS 4

static volatile struct shared {
	long started[WORKERS], ended[WORKERS];
	int stop;
	char why[128];
} * shared;

static void *idle(void *arg)
{
	sched_yield();
	return arg;
}

static void *execute(void *self)
{
	char *const again[] = { self, "end", NULL };

	execv("/proc/self/exe", again);
	_exit(9);
}

static void __attribute__((noreturn)) short_life(long nr, char *self)
{
	pthread_t thread[3];
	int status;

	switch (nr % 5) {
	case 0:
		execute(self);
		break;
	case 1:
		for (int i = 0; i < 3; i++)
			pthread_create(&thread[i], NULL, idle, NULL);
		for (int i = 0; i < 3; i++)
			pthread_join(thread[i], NULL);
		break;
	case 2:
		if (!fork())
			_exit(3);
		if (wait(&status) < 0 || status != 3 << 8)
			_exit(8);
		break;
	case 3: /* the others end on their own, or by the execution of the program */
		pthread_create(&thread[0], NULL, idle, NULL);
		pthread_create(&thread[1], NULL, execute, self);
		pthread_create(&thread[2], NULL, idle, NULL);
		for (;;)
			pause();
	}
	_exit(5);
}

static void __attribute__((noreturn)) work(int nr, char *self)
{
	while (!shared->stop) {
		pid_t pid = fork();
		int status;

		if (!pid)
			short_life(shared->started[nr], self);
		if (pid < 0)
			_exit(7);
		shared->started[nr]++;
		if (waitpid(pid, &status, 0) != pid || status != 5 << 8) {
			snprintf((char *)shared->why, sizeof(shared->why), "worker %d: child %d ended with %#x: %s", nr,
				 pid, status, strerror(errno));
			_exit(6);
		}
		shared->ended[nr]++;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	long before[WORKERS];
	pid_t pid[WORKERS];
	int status;

	if (argc == 2)
		return 5;
	test_init(argc, argv);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	for (int i = 0; i < WORKERS; i++) {
		pid[i] = fork();
		test_check(pid[i] >= 0);
		if (!pid[i]) {
			test_forked();
			work(i, argv[0]);
		}
	}
	for (int i = 0; i < WORKERS; i++)
		while (shared->ended[i] < 8)
			sched_yield();
	test_ready();
	test_wait();
	for (int i = 0; i < WORKERS; i++)
		before[i] = shared->ended[i];
	for (int i = 0; i < WORKERS; i++)
		while (shared->ended[i] < before[i] + 8 && !shared->why[0])
			sched_yield();
	shared->stop = 1;
	for (int i = 0; i < WORKERS; i++) {
		test_check(waitpid(pid[i], &status, 0) == pid[i]);
		if (status)
			test_fail("worker %d ended with %#x; %s", i, status, shared->why);
		test_check(shared->started[i] == shared->ended[i]);
	}
	test_pass();
}
