// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/* eventfd, timerfd, signalfd: counters, semaphore, time left, interval and ticks, mask, flags. */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "harness.h"

static uint64_t get(int fd)
{
	uint64_t n = 0;

	test_check(read(fd, &n, sizeof(n)) == sizeof(n));
	return n;
}

static int timer(clockid_t clock, int flags, long seconds, long interval)
{
	struct itimerspec its = { .it_value.tv_sec = seconds, .it_interval.tv_sec = interval };
	struct timespec now;
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	if (flags & TFD_TIMER_ABSTIME) {
		clock_gettime(clock, &now);
		its.it_value.tv_sec += now.tv_sec;
	}
	test_check(fd >= 0 && timerfd_settime(fd, flags, &its, NULL) == 0);
	return fd;
}

static void check_left(int fd, long most, long interval)
{
	struct itimerspec its;

	test_check(timerfd_gettime(fd, &its) == 0);
	test_check(its.it_value.tv_sec <= most && its.it_value.tv_sec > most - 100 &&
		   its.it_interval.tv_sec == interval);
}

int main(int argc, char **argv)
{
	int plain, semaphore, full, relative, absolute, disarmed, soon, expired, sig;
	struct itimerspec fast = { .it_value.tv_nsec = 1, .it_interval.tv_sec = 1000 }, its;
	struct signalfd_siginfo info;
	sigset_t mask;

	test_init(argc, argv);
	plain = eventfd(7, EFD_CLOEXEC);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	full = eventfd(0, EFD_NONBLOCK);
	test_check(plain >= 0 && semaphore >= 0 && full >= 0);
	test_check(write(full, &(uint64_t){ UINT64_MAX - 1 }, 8) == 8);
	relative = timer(CLOCK_MONOTONIC, 0, 1000, 2000);
	absolute = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME, 3000, 0);
	disarmed = timer(CLOCK_BOOTTIME, 0, 0, 0);
	soon = timer(CLOCK_MONOTONIC, 0, 3, 0);
	expired = timer(CLOCK_MONOTONIC, 0, 0, 0);
	test_check(timerfd_settime(expired, 0, &fast, NULL) == 0);
	test_check(poll(&(struct pollfd){ .fd = expired, .events = POLLIN }, 1, -1) == 1);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	test_check(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
	sig = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	test_check(sig >= 0);
	test_ready();
	test_wait();
	test_check(fcntl(plain, F_GETFD) == FD_CLOEXEC && get(plain) == 7);
	test_check(fcntl(semaphore, F_GETFL) & O_NONBLOCK);
	for (int i = 0; i < 3; i++)
		test_check(get(semaphore) == 1);
	test_check(read(semaphore, &mask, sizeof(mask)) < 0 && errno == EAGAIN);
	test_check(write(full, &(uint64_t){ 1 }, 8) < 0 && errno == EAGAIN && get(full) == UINT64_MAX - 1);
	check_left(relative, 1000, 2000);
	check_left(absolute, 3000, 0);
	test_check(timerfd_gettime(disarmed, &its) == 0 && !its.it_value.tv_sec && !its.it_value.tv_nsec);
	test_check(get(expired) == 1);
	check_left(expired, 1000, 1000);
	test_check(poll(&(struct pollfd){ .fd = soon, .events = POLLIN }, 1, 20000) == 1 && get(soon) == 1);
	test_check(fcntl(sig, F_GETFD) == FD_CLOEXEC && fcntl(sig, F_GETFL) & O_NONBLOCK);
	test_check(read(sig, &info, sizeof(info)) < 0 && errno == EAGAIN);
	test_check(kill(getpid(), SIGRTMIN + 3) == 0 && kill(getpid(), SIGUSR1) == 0);
	test_check(read(sig, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
	test_check(read(sig, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == (uint32_t)SIGRTMIN + 3);
	test_pass();
}
