// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/*
 * The time: what the vDSO says must be what the kernel says, for each clock, and it must not have gone back. A vDSO or
 * one of its data pages at the wrong place, or restored from an image as if it were memory, shows here.
 */
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "harness.h"

#define TRIES 1000

static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
				    CLOCK_MONOTONIC_COARSE };
#define NR (sizeof(clocks) / sizeof(clocks[0]))

static int64_t from_vdso(clockid_t clock)
{
	struct timespec ts;

	test_check(!clock_gettime(clock, &ts));
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static int64_t from_kernel(clockid_t clock)
{
	struct timespec ts;

	test_check(!syscall(SYS_clock_gettime, clock, &ts));
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void verify(clockid_t clock, int64_t since)
{
	for (int i = 0; i < TRIES; i++) {
		int64_t a = from_kernel(clock), b = from_vdso(clock), c = from_kernel(clock);

		if (b < a || b > c)
			test_fail("clock %d: the vDSO says %ld ns less than the kernel before, %ld ns more than after",
				  clock, a - b, b - c);
		if (b < since)
			test_fail("clock %d went back by %ld ns", clock, since - b);
		since = b;
	}
}

int main(int argc, char **argv)
{
	int64_t before[NR];
	struct timeval tv;
	unsigned cpu;

	test_init(argc, argv);
	for (size_t i = 0; i < NR; i++)
		before[i] = from_vdso(clocks[i]);
	test_ready();
	test_wait();
	for (size_t i = 0; i < NR; i++)
		verify(clocks[i], before[i]);
	test_check(!gettimeofday(&tv, NULL) && tv.tv_sec >= before[0] / 1000000000L);
	test_check(time(NULL) >= before[0] / 1000000000L);
	test_check(!getcpu(&cpu, NULL) && cpu < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
	test_pass();
}
