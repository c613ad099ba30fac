// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Timers of setitimer and timer_create: their numbers, intervals, what is left, whom they signal; then that they fire.
 * One whose signal is pending when the program is dumped must fire again once that is taken.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "harness.h"

#define LONG_S 100000 /* no test takes so long */
#define GAPS 20

static pthread_barrier_t barrier;
static volatile pid_t thread_tid;

struct event {
	union sigval value;
	int signo, notify, tid;
	int pad[11];
};

static int create(clockid_t clock, int notify, int signo, int tid)
{
	struct event ev = { .value.sival_int = 1000 + signo, .signo = signo, .notify = notify, .tid = tid };
	int id;

	test_check(!syscall(SYS_timer_create, clock, &ev, &id));
	return id;
}

static void arm(int id, time_t value_s, long interval_ns)
{
	struct itimerspec its = { .it_value = { value_s, value_s ? 0 : 1 }, .it_interval = { 0, interval_ns } };

	test_check(!syscall(SYS_timer_settime, id, 0, &its, NULL));
}

static void take(int sig, int id)
{
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, sig);
	test_check(sigwaitinfo(&set, &info) == sig);
	if (id >= 0 && (info.si_code != SI_TIMER || info.si_timerid != id || info.si_value.sival_int != 1000 + sig))
		test_fail("signal %d: code %d timer %d value %d, should be of timer %d", sig, info.si_code,
			  info.si_timerid, info.si_value.sival_int, id);
}

static void *thread(void *arg)
{
	thread_tid = gettid();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	take(SIGRTMIN + 2, (int)(intptr_t)arg);
	return NULL;
}

static void check_left(int id, time_t value_s, long interval_ns)
{
	struct itimerspec its;

	test_check(!syscall(SYS_timer_gettime, id, &its));
	if (its.it_interval.tv_sec || its.it_interval.tv_nsec != interval_ns || its.it_value.tv_sec > value_s ||
	    its.it_value.tv_sec < value_s - 1000)
		test_fail("timer %d: %ld.%09ld s left of %ld, interval %ld ns of %ld", id, its.it_value.tv_sec,
			  its.it_value.tv_nsec, value_s, its.it_interval.tv_nsec, interval_ns);
}

static void check_itimers(void)
{
	struct itimerval it;

	test_check(!getitimer(ITIMER_PROF, &it));
	if (it.it_interval.tv_sec != 5 || it.it_interval.tv_usec != 6 || it.it_value.tv_sec < LONG_S - 1000)
		test_fail("ITIMER_PROF: %ld s left, interval %ld.%06ld", it.it_value.tv_sec, it.it_interval.tv_sec,
			  it.it_interval.tv_usec);
	test_check(!getitimer(ITIMER_VIRTUAL, &it));
	test_check(!it.it_value.tv_sec && !it.it_value.tv_usec && !it.it_interval.tv_usec);
	/* Pending since before the dump; and again and again. */
	for (int i = 0; i < 3; i++)
		take(SIGALRM, -1);
}

int main(int argc, char **argv)
{
	struct itimerval quick = { .it_interval = { 0, 20000 }, .it_value = { 0, 1 } };
	struct itimerval prof = { .it_interval = { 5, 6 }, .it_value = { LONG_S, 0 } };
	int plain, late, silent, pending, to_thread;
	sigset_t set, now;
	pthread_t t;

	test_init(argc, argv);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	plain = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 0);
	for (int i = 0; i < GAPS; i++)
		test_check(!syscall(SYS_timer_delete, create(CLOCK_REALTIME, SIGEV_NONE, 0, 0)));
	late = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGRTMIN + 1, 0);
	silent = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_NONE, 0, 0);
	pending = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3, 0);
	test_check(!pthread_create(&t, NULL, thread, (void *)(intptr_t)(pending + 1)));
	pthread_barrier_wait(&barrier);
	to_thread = create(CLOCK_REALTIME, SIGEV_THREAD_ID, SIGRTMIN + 2, thread_tid);
	test_check(to_thread == pending + 1);
	arm(plain, LONG_S, 30);
	arm(late, LONG_S, 0);
	arm(silent, LONG_S, 0);
	arm(pending, 0, 20000000);
	arm(to_thread, LONG_S, 40);
	test_check(!setitimer(ITIMER_REAL, &quick, NULL));
	test_check(!setitimer(ITIMER_PROF, &prof, NULL));
	do {
		sigpending(&now);
	} while (!sigismember(&now, SIGALRM) || !sigismember(&now, SIGRTMIN + 3));
	test_ready();
	test_wait();
	check_itimers();
	check_left(plain, LONG_S, 30);
	check_left(late, LONG_S, 0);
	check_left(silent, LONG_S, 0);
	check_left(to_thread, LONG_S, 40);
	for (int i = 0; i < 3; i++)
		take(SIGRTMIN + 3, pending);
	arm(plain, 0, 0);
	take(SIGRTMIN, plain);
	arm(to_thread, 0, 0);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	test_check(!syscall(SYS_timer_delete, late));
	/* New numbers go on behind the old ones. */
	for (int i = 0; i < 3; i++) {
		int id = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);

		test_check(id != plain && id != silent && id != pending && id != to_thread);
	}
	test_pass();
}
