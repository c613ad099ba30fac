// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Stopped children beside running ones: by SIGSTOP, by SIGTSTP as a shell's job, with threads. They are stopped still,
 * by the same signal, and go on with SIGCONT.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

enum { BY_STOP, BY_TSTP, WITH_THREADS, RUNNING, NR };

static volatile struct shared {
	long count[NR]; /* grows while the child runs */
	int nr_ready;
} * shared;

static void *count(void *arg)
{
	while (1) {
		__atomic_fetch_add(&shared->count[(intptr_t)arg], 1, __ATOMIC_SEQ_CST);
		sched_yield();
	}
	return NULL;
}

static pid_t start(intptr_t nr)
{
	pid_t pid = fork();
	pthread_t thread;

	test_check(pid >= 0);
	if (pid)
		return pid;
	test_forked();
	setpgid(0, 0);
	for (int i = 0; nr == WITH_THREADS && i < 5; i++)
		pthread_create(&thread, NULL, count, (void *)nr);
	__atomic_fetch_add(&shared->nr_ready, 1, __ATOMIC_SEQ_CST);
	count((void *)nr);
	_exit(1);
}

static void await_count(int nr, long more_than)
{
	while (shared->count[nr] <= more_than)
		sched_yield();
}

static char state_of(pid_t pid)
{
	char path[32], text[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	test_check(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strrchr(text, ')')[2];
}

int main(int argc, char **argv)
{
	static const int stop[] = { SIGSTOP, SIGTSTP, SIGSTOP };
	long before[NR];
	pid_t pid[NR];
	int status;

	test_init(argc, argv);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	for (intptr_t i = 0; i < NR; i++)
		pid[i] = start(i);
	while (shared->nr_ready < NR)
		sched_yield();
	for (int i = 0; i < RUNNING; i++) {
		await_count(i, 0);
		test_check(!kill(pid[i], stop[i]));
		test_check(waitpid(pid[i], &status, WUNTRACED) == pid[i]);
		test_check(WIFSTOPPED(status) && WSTOPSIG(status) == stop[i]);
	}
	for (int i = 0; i < NR; i++)
		before[i] = shared->count[i];
	test_ready();
	test_wait();

	await_count(RUNNING, before[RUNNING]);
	for (int i = 0; i < RUNNING; i++) {
		while (state_of(pid[i]) != 'T') /* on its way from the tracer's stop into its own */
			sched_yield();
		if (shared->count[i] != before[i])
			test_fail("child %d has run: %ld, was %ld", i, shared->count[i], before[i]);
		if (waitpid(pid[i], &status, WUNTRACED | WNOHANG) == pid[i] && WSTOPSIG(status) != stop[i])
			test_fail("child %d was stopped by signal %d", i, WSTOPSIG(status));
		test_check(!kill(pid[i], SIGCONT));
		test_check(waitpid(pid[i], &status, WCONTINUED) == pid[i] && WIFCONTINUED(status));
		await_count(i, before[i]);
	}
	for (int i = 0; i < NR; i++) {
		test_check(!kill(pid[i], SIGKILL));
		test_check(waitpid(pid[i], &status, 0) == pid[i]);
	}
	test_pass();
}
