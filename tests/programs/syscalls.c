// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/*
 * System calls that the dump interrupts: each of a row of threads is in another one. Those with a time-out must end
 * neither early nor with EINTR, and not much later than the time that was left; the others end when they are answered.
 * (epoll_wait and sigtimedwait give EINTR after any stop, so they may here: signal(7).)
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"

#define WAIT_MS 1500
#define SLACK_MS 8000

static int ends[2], epoll_fd; /* a pipe that says something only after the restore */
static uint32_t futex_word;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const struct timespec wait_time = { WAIT_MS / 1000, WAIT_MS % 1000 * 1000000L };

static long in_nanosleep(void)
{
	struct timespec left;

	return nanosleep(&wait_time, &left);
}

static long in_clock_nanosleep(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += wait_time.tv_nsec;
	until.tv_sec += wait_time.tv_sec + until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static long in_poll(void)
{
	struct pollfd p = { .fd = -1 };

	return poll(&p, 1, WAIT_MS);
}

static long in_select(void)
{
	struct timeval tv = { WAIT_MS / 1000, WAIT_MS % 1000 * 1000L };

	return select(0, NULL, NULL, NULL, &tv);
}

static long in_futex(void)
{
	long r = syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);

	return r < 0 && errno == ETIMEDOUT ? 0 : r;
}

static long in_read(void)
{
	char c;

	return read(ends[0], &c, 1) == 1 ? 0 : -1;
}

static long in_pipe_poll(void)
{
	struct pollfd p = { .fd = ends[0], .events = POLLIN };

	return poll(&p, 1, -1) == 1 ? 0 : -1;
}

static long in_epoll(void)
{
	struct epoll_event e;
	int n;

	do {
		n = epoll_wait(epoll_fd, &e, 1, -1);
	} while (n < 0 && errno == EINTR);
	return n == 1 && e.data.u64 == 0x1234 ? 0 : -1;
}

static const struct waiter {
	const char *name;
	long (*call)(void);
	bool timed;
} waiters[] = {
	{ "nanosleep", in_nanosleep, true },
	{ "clock_nanosleep", in_clock_nanosleep, true },
	{ "poll", in_poll, true },
	{ "select", in_select, true },
	{ "futex", in_futex, true },
	{ "read", in_read, false },
	{ "poll of a pipe", in_pipe_poll, false },
	{ "epoll_wait", in_epoll, false },
};

#define NR (sizeof(waiters) / sizeof(waiters[0]))

static pid_t tids[NR];

static void *waiter_run(void *arg)
{
	const struct waiter *w = arg;
	int64_t start = now_ms(), took;
	long r;

	__atomic_store_n(&tids[w - waiters], gettid(), __ATOMIC_SEQ_CST);
	r = w->call();
	took = now_ms() - start;
	if (r)
		test_fail("%s returned %ld (%s) after %ld ms", w->name, r, strerror(errno), took);
	if (w->timed && took < WAIT_MS - 5)
		test_fail("%s ended after %ld ms, too early", w->name, took);
	if (w->timed && took > WAIT_MS + SLACK_MS)
		test_fail("%s ended after %ld ms, too late", w->name, took);
	return NULL;
}

/* A thread is in its system call when the kernel says that it sleeps. */
static void wait_asleep(size_t nr)
{
	char path[64], text[256], state = 0;

	while (!__atomic_load_n(&tids[nr], __ATOMIC_SEQ_CST))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tids[nr]);
	while (state != 'S') {
		FILE *f = fopen(path, "r");

		test_check(f && fgets(text, sizeof(text), f));
		fclose(f);
		state = strrchr(text, ')')[2];
		sched_yield();
	}
}

int main(int argc, char **argv)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0x1234 };
	pthread_t thread[NR];

	test_init(argc, argv);
	test_check(!pipe(ends));
	epoll_fd = epoll_create1(0);
	test_check(epoll_fd >= 0 && !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ends[0], &e));
	for (size_t i = 0; i < NR; i++)
		test_check(!pthread_create(&thread[i], NULL, waiter_run, (void *)&waiters[i]));
	for (size_t i = 0; i < NR; i++)
		wait_asleep(i);
	test_ready();
	test_wait();
	/* The reader takes one byte; what is left ends the waits of the other two. */
	test_check(write(ends[1], "abc", 3) == 3);
	for (size_t i = 0; i < NR; i++)
		test_check(!pthread_join(thread[i], NULL));
	test_pass();
}
