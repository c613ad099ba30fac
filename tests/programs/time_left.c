// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * System calls with a relative time-out go on with the time that was left: interrupted in the middle, they must end
 * neither early nor as much later as if they had begun anew. The program is ready when half of the time is over. What
 * passes until it goes on is the dump's and restore's, and is not counted. One more sleeps until a signal handler runs,
 * and is told what is left.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"

#define WAIT_MS 3000
#define READY_MS 1500
#define SLACK_MS 700 /* for a busy machine; begun anew they would take READY_MS longer */

static int64_t ready_at, back_at;
static pthread_barrier_t barrier;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const struct timespec wait_time = { WAIT_MS / 1000, WAIT_MS % 1000 * 1000000L };

static long in_nanosleep(void)
{
	return syscall(SYS_nanosleep, &wait_time, NULL);
}

static long in_nanosleep_rest(void)
{
	struct timespec left = { 0 };

	return syscall(SYS_nanosleep, &wait_time, &left);
}

static long in_nanosleep_same(void)
{
	struct timespec time = wait_time;

	return syscall(SYS_nanosleep, &time, &time);
}

static long in_clock_nanosleep(void)
{
	return clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL);
}

static long in_clock_nanosleep_rest(void)
{
	struct timespec left = { 0 };

	return clock_nanosleep(CLOCK_BOOTTIME, 0, &wait_time, &left);
}

static long in_poll(void)
{
	struct pollfd p = { .fd = -1 };

	return poll(&p, 1, WAIT_MS);
}

static long in_ppoll(void)
{
	return ppoll(NULL, 0, &wait_time, NULL);
}

static long in_futex(void)
{
	static uint32_t word;
	long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);

	return r < 0 && errno == ETIMEDOUT ? 0 : r;
}

/* Given the time when to end. */
static long in_futex_until(clockid_t clock, int op)
{
	static uint32_t words[2];
	struct timespec end;
	long r;

	clock_gettime(clock, &end);
	end.tv_sec += wait_time.tv_sec;
	r = syscall(SYS_futex, &words[clock], op, 0, &end, NULL, FUTEX_BITSET_MATCH_ANY);
	return r < 0 && errno == ETIMEDOUT ? 0 : r;
}

static long in_futex_until_monotonic(void)
{
	return in_futex_until(CLOCK_MONOTONIC, FUTEX_WAIT_BITSET_PRIVATE);
}

static long in_futex_until_realtime(void)
{
	return in_futex_until(CLOCK_REALTIME, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME);
}

static const struct waiter {
	const char *name;
	long (*call)(void);
	bool until; /* given its end, which may be over when the program is back */
} waiters[] = {
	{ "nanosleep", in_nanosleep, false },
	{ "nanosleep that says what is left", in_nanosleep_rest, false },
	{ "nanosleep that says so in place", in_nanosleep_same, false },
	{ "clock_nanosleep", in_clock_nanosleep, false },
	{ "clock_nanosleep that says what is left", in_clock_nanosleep_rest, false },
	{ "poll", in_poll, false },
	{ "ppoll", in_ppoll, false },
	{ "futex", in_futex, false },
	{ "futex with an end", in_futex_until_monotonic, true },
	{ "futex with an end by CLOCK_REALTIME", in_futex_until_realtime, true },
};

#define NR (sizeof(waiters) / sizeof(waiters[0]))

static void *waiter_run(void *arg)
{
	const struct waiter *w = arg;
	int64_t start, took, back, at_most = WAIT_MS + SLACK_MS;
	long r;

	pthread_barrier_wait(&barrier);
	start = now_ms();
	r = w->call();
	took = now_ms() - start;
	back = __atomic_load_n(&back_at, __ATOMIC_SEQ_CST);
	if (w->until && !back)
		back = now_ms();
	at_most += back - __atomic_load_n(&ready_at, __ATOMIC_SEQ_CST);
	if (r)
		test_fail("%s returned %ld (%s) after %ld ms", w->name, r, strerror(errno), took);
	if (took < WAIT_MS - 1)
		test_fail("%s ended after %ld ms, too early", w->name, took);
	if (took > at_most)
		test_fail("%s ended after %ld ms, more than %ld", w->name, took, at_most);
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *interrupted_run(void *arg)
{
	struct timespec left = { 0 };
	int64_t ms, at_most = WAIT_MS - READY_MS + 1;
	long r;

	(void)arg;
	pthread_barrier_wait(&barrier);
	r = syscall(SYS_nanosleep, &wait_time, &left);
	ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
	if (r != -1 || errno != EINTR)
		test_fail("a sleep returned %ld (%s) when a signal was handled", r, strerror(errno));
	if (ms > at_most || ms < at_most - SLACK_MS)
		test_fail("a sleep has %ld ms left, not nearly %ld", ms, at_most);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t interrupted;
	const struct timespec ready_time = { READY_MS / 1000, READY_MS % 1000 * 1000000L };
	pthread_t thread[NR];

	test_init(argc, argv);
	test_check(!sigaction(SIGUSR1, &sa, NULL));
	pthread_barrier_init(&barrier, NULL, NR + 2);
	test_check(!pthread_create(&interrupted, NULL, interrupted_run, NULL));
	for (size_t i = 0; i < NR; i++)
		test_check(!pthread_create(&thread[i], NULL, waiter_run, (void *)&waiters[i]));
	pthread_barrier_wait(&barrier);
	test_check(!nanosleep(&ready_time, NULL));
	__atomic_store_n(&ready_at, now_ms(), __ATOMIC_SEQ_CST);
	test_ready();
	test_wait();
	__atomic_store_n(&back_at, now_ms(), __ATOMIC_SEQ_CST);
	test_check(!pthread_kill(interrupted, SIGUSR1) && !pthread_join(interrupted, NULL));
	for (size_t i = 0; i < NR; i++)
		test_check(!pthread_join(thread[i], NULL));
	test_pass();
}
