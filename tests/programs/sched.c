// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/* needs: root */
/*
 * Scheduling policy, priority and nice value, another for each thread.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "harness.h"

#define NR 6

static const struct {
	int policy, priority, nice;
} wanted[NR] = {
	{ SCHED_OTHER, 0, 3 },
	{ SCHED_BATCH, 0, 19 },
	{ SCHED_IDLE, 0, 0 },
	{ SCHED_FIFO, 1, 2 },
	{ SCHED_RR | SCHED_RESET_ON_FORK, 2, 0 },
	{ SCHED_OTHER, 0, -5 },
};
static pthread_barrier_t barrier;

static void set(int i)
{
	struct sched_param param = { .sched_priority = wanted[i].priority };

	if (setpriority(PRIO_PROCESS, 0, wanted[i].nice) || sched_setscheduler(0, wanted[i].policy, &param))
		test_skip("cannot set policy %d: %s", wanted[i].policy, strerror(errno));
}

static void verify(int i)
{
	struct sched_param param;
	int policy = sched_getscheduler(0), nice = getpriority(PRIO_PROCESS, 0);

	test_check(!sched_getparam(0, &param));
	if (policy != wanted[i].policy || param.sched_priority != wanted[i].priority || nice != wanted[i].nice)
		test_fail("thread %d: policy %#x priority %d nice %d, was %#x %d %d", i, policy, param.sched_priority,
			  nice, wanted[i].policy, wanted[i].priority, wanted[i].nice);
}

static void *thread(void *arg)
{
	int i = (int)(intptr_t)arg;

	set(i);
	verify(i);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	verify(i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[NR];

	test_init(argc, argv);
	pthread_barrier_init(&barrier, NULL, NR);
	for (intptr_t i = 1; i < NR; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	set(0);
	pthread_barrier_wait(&barrier);
	test_ready();
	test_wait();
	verify(0);
	pthread_barrier_wait(&barrier);
	for (int i = 1; i < NR; i++)
		pthread_join(t[i], NULL);
	test_pass();
}
