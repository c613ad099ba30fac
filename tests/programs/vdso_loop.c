// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager*5 lazy leave-running twice user */
/*
 * Threads that are in the vDSO most of the time: the clocks must not go back, nor may a call fail, wherever in the code
 * the dump has met them. tests/e2e/often dumps it many times.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "harness.h"

#define THREADS 3

static const clockid_t clocks[THREADS] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE };
static volatile bool stop;
static volatile uint64_t calls[THREADS];

static void *thread(void *arg)
{
	long who = (long)arg;
	int64_t last = 0;

	while (!stop) {
		struct timespec ts = { 0 };
		unsigned cpu;
		int64_t now;

		test_check(!clock_gettime(clocks[who], &ts));
		now = ts.tv_sec * 1000000000L + ts.tv_nsec;
		if (now < last || ts.tv_nsec < 0 || ts.tv_nsec >= 1000000000L)
			test_fail("clock %d goes from %ld to %ld", (int)clocks[who], last, now);
		last = now;
		test_check(!getcpu(&cpu, NULL) && cpu < 8192);
		calls[who]++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t before[THREADS];
	pthread_t t[THREADS];

	test_init(argc, argv);
	for (long i = 0; i < THREADS; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	for (int i = 0; i < THREADS; i++)
		while (!calls[i])
			sched_yield();
	test_ready();
	test_wait();
	for (int i = 0; i < THREADS; i++)
		before[i] = calls[i];
	for (int i = 0; i < THREADS; i++)
		while (calls[i] == before[i])
			sched_yield();
	stop = true;
	for (int i = 0; i < THREADS; i++)
		test_check(!pthread_join(t[i], NULL));
	test_pass();
}
