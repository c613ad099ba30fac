// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * What CRIU's format has no place for: each thread has a CPU, an I/O priority and a timer slack of its own; the leader
 * may use all CPUs.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "harness.h"

#define NR 4
#define IO_PRIORITY(level) (2 << 13 | (level)) /* best effort */

static pthread_barrier_t barrier;

struct facts {
	cpu_set_t cpus;
	long io_priority, slack;
};

static void read_facts(struct facts *f)
{
	memset(f, 0, sizeof(*f));
	test_check(!sched_getaffinity(0, sizeof(f->cpus), &f->cpus));
	f->io_priority = syscall(SYS_ioprio_get, 1, 0);
	f->slack = prctl(PR_GET_TIMERSLACK);
}

static void compare(int who, const struct facts *a, const struct facts *b)
{
	if (!CPU_EQUAL(&a->cpus, &b->cpus))
		test_fail("thread %d: %d CPUs, was %d", who, CPU_COUNT(&b->cpus), CPU_COUNT(&a->cpus));
	if (a->io_priority != b->io_priority || a->slack != b->slack)
		test_fail("thread %d: I/O priority %#lx, timer slack %ld, was %#lx, %ld", who, b->io_priority, b->slack,
			  a->io_priority, a->slack);
}

static void keep_to_a_cpu(int who)
{
	cpu_set_t all, one;
	int cpu = -1;

	test_check(!sched_getaffinity(0, sizeof(all), &all));
	for (int left = who % CPU_COUNT(&all); left >= 0; left -= CPU_ISSET(cpu, &all) ? 1 : 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	test_check(!sched_setaffinity(0, sizeof(one), &one));
}

static void *thread(void *arg)
{
	int who = (int)(intptr_t)arg;
	struct facts before, after;

	keep_to_a_cpu(who);
	test_check(!syscall(SYS_ioprio_set, 1, 0, IO_PRIORITY(who)));
	test_check(!prctl(PR_SET_TIMERSLACK, 1000000 + who));
	read_facts(&before);
	test_check(before.io_priority == IO_PRIORITY(who) && before.slack == 1000000 + who);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	read_facts(&after);
	compare(who, &before, &after);
	return NULL;
}

int main(int argc, char **argv)
{
	struct facts before, after;
	pthread_t t[NR];

	test_init(argc, argv);
	pthread_barrier_init(&barrier, NULL, NR);
	for (intptr_t i = 1; i < NR; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	pthread_barrier_wait(&barrier);
	read_facts(&before);
	test_ready();
	test_wait();
	read_facts(&after);
	compare(0, &before, &after);
	pthread_barrier_wait(&barrier);
	for (int i = 1; i < NR; i++)
		pthread_join(t[i], NULL);
	test_pass();
}
