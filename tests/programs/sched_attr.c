// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/* needs: root */
/*
 * What only sched_setattr(2) knows: a thread under SCHED_DEADLINE, one with a time slice of its own, one with
 * utilization clamps, each where the kernel allows it.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include "harness.h"

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

#define MS 1000000UL
#define NR 5

static const struct attr wanted[NR] = {
	{ .policy = 6, .flags = 1, .runtime = 2 * MS, .deadline = 50 * MS, .period = 60 * MS }, /* SCHED_DEADLINE */
	{ .policy = 0, .nice = 1, .runtime = 7 * MS },
	{ .policy = 3, .runtime = 9 * MS }, /* SCHED_BATCH */
	{ .policy = 0, .flags = 0x60, .util_min = 100, .util_max = 700 },
	{ .policy = 2, .flags = 1, .priority = 3 }, /* SCHED_RR, reset on fork */
};
static pthread_barrier_t barrier;

static struct attr now(void)
{
	struct attr a = { .size = sizeof(a) };

	test_check(!syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0));
	return a;
}

static void *thread(void *arg)
{
	long i = (long)arg;
	struct attr a = wanted[i], before, after;

	a.size = sizeof(a);
	/* What is refused here (no CPU time to reserve, no clamps in this kernel) stays as usual. */
	syscall(SYS_sched_setattr, 0, &a, 0);
	before = now();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	after = now();
	if (memcmp(&before, &after, sizeof(before)))
		test_fail("thread %ld: policy %u flags %#lx nice %d priority %u %lu %lu %lu clamps %u %u, "
			  "was %u %#lx %d %u %lu %lu %lu %u %u",
			  i, after.policy, after.flags, after.nice, after.priority, after.runtime, after.deadline,
			  after.period, after.util_min, after.util_max, before.policy, before.flags, before.nice,
			  before.priority, before.runtime, before.deadline, before.period, before.util_min,
			  before.util_max);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[NR];

	test_init(argc, argv);
	pthread_barrier_init(&barrier, NULL, NR + 1);
	for (long i = 0; i < NR; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	pthread_barrier_wait(&barrier);
	test_ready();
	test_wait();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < NR; i++)
		test_check(!pthread_join(t[i], NULL));
	test_pass();
}
