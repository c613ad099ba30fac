// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "criu-like/inspect/build_id.h"
#include "criu-like/inspect/fdinfo.h"
#include "criu-like/inspect/kcmp.h"
#include "criu-like/inspect/proc.h"

/* Read what the kernel says about an own descriptor, which is closed. */
static void look(int fd, struct fdinfo *info)
{
	int proc = proc_open(getpid());

	assert_true(fd >= 0 && proc >= 0);
	assert_int_equal(fdinfo_read(proc, fd, info), 0);
	close(proc);
	close(fd);
}

static void test_common(void **state)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct fdinfo info;

	assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
	look(fd, &info);
	assert_int_equal(info.pos, 5);
	assert_int_equal(info.flags & (O_ACCMODE | O_CLOEXEC | O_NONBLOCK), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	assert_true(info.mnt_id > 0 && info.ino && !info.nr_locks);
	fdinfo_free(&info);
}

static void test_counters(void **state)
{
	struct itimerspec its = { .it_value.tv_sec = 1000, .it_interval = { 7, 8 } };
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct fdinfo info;
	sigset_t mask;

	look(eventfd(0x1234, EFD_SEMAPHORE), &info);
	assert_int_equal(info.eventfd_count, 0x1234);
	assert_true(info.eventfd_semaphore);
	look(eventfd(0, 0), &info);
	assert_false(info.eventfd_semaphore);
	assert_int_equal(timerfd_settime(timer, 0, &its, NULL), 0);
	look(timer, &info);
	assert_int_equal(info.clockid, CLOCK_MONOTONIC);
	assert_in_range(info.it_value.tv_sec, 900, 1000);
	assert_int_equal(info.it_interval.tv_sec, 7);
	assert_int_equal(info.it_interval.tv_nsec, 8);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, 64);
	look(signalfd(-1, &mask, 0), &info);
	assert_int_equal(info.sigmask, 1ULL << 63 | 1ULL << (SIGUSR1 - 1));
}

static void test_lists(void **state)
{
	int epoll = epoll_create1(0), notify = inotify_init(), event = eventfd(0, 0), wd;
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 0xfedcba9876543210ULL };
	struct fdinfo info;

	for (int i = 0; i < 40; i++) {
		assert_int_equal(dup2(event, 100 + i), 100 + i);
		assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, 100 + i, &e), 0);
	}
	look(epoll, &info);
	assert_int_equal(info.nr_targets, 40);
	for (size_t i = 0; i < 40; i++) {
		assert_int_equal(info.targets[i].data, e.data.u64);
		assert_true(info.targets[i].events & EPOLLET && info.targets[i].fd >= 100 && info.targets[i].fd < 140);
		close(100 + (int)i);
	}
	fdinfo_free(&info);
	close(event);
	wd = inotify_add_watch(notify, "/etc", IN_CREATE | IN_DELETE);
	look(notify, &info);
	assert_int_equal(info.nr_watches, 1);
	assert_int_equal(info.watches[0].wd, wd);
	assert_int_equal(info.watches[0].mask & (IN_CREATE | IN_DELETE), IN_CREATE | IN_DELETE);
	assert_true(info.watches[0].handle_len > 0);
	fdinfo_free(&info);
}

static void check_bad(const char *line, int want)
{
	char text[256];
	struct fdinfo info;

	snprintf(text, sizeof(text), "pos:\t0\nflags:\t02\n%s\n", line);
	assert_int_equal(fdinfo_parse(text, &info), want);
	fdinfo_free(&info);
}

static void test_bad(void **state)
{
	check_bad("a line of a newer kernel: 3", 0);
	check_bad("", 0);
	check_bad("pos:\tx", -EPROTO);
	check_bad("tfd: 3 events: zz data: 1", -EPROTO);
	check_bad("tfd: 3 events: 1", -EPROTO);
	check_bad("it_value: 3, 4", -EPROTO);
	check_bad("sigmask:", -EPROTO);
	check_bad("inotify wd:1 ino:2", -EPROTO);
	check_bad("lock:\t1: FLOCK  ADVISORY  WRITE 1 fd:00:1 0", -EPROTO);
	check_bad("lock:\t1: FLOCK  ADVISORY  WRITE 1 fd:00:1 0 EOF", 0);
	check_bad("lock:\t1: LEASE  BREAKING  READ 1 fd:00:1 0 EOF", 0);
	check_bad("lock:\t1: LEASE  READ 1 fd:00:1 0 EOF", -EPROTO);
	check_bad("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:ffff fhandle-type:1 f_handle:00",
		  -EPROTO);
	check_bad("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:0011",
		  -EPROTO);
	check_bad("inotify wd:1 ino:2 sdev:3 mask:4 ignored_mask:0 fhandle-bytes:2 fhandle-type:1 f_handle:0011", 0);
}

static void test_kcmp(void **state)
{
	int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY), c = dup(a), epoll = epoll_create1(0);
	int event = eventfd(0, 0), other = eventfd(0, 0), order;
	struct epoll_event e = { .events = EPOLLIN };
	pid_t me = getpid();

	assert_int_equal(kcmp_file(me, a, me, c), 0);
	order = kcmp_file(me, a, me, b);
	assert_true(order == 1 || order == 2);
	assert_int_equal(kcmp_file(me, b, me, a), 3 - order);
	assert_int_equal(kcmp_file(me, a, me, 9999), -EBADF);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e), 0);
	assert_int_equal(kcmp_epoll_target(me, event, me, epoll, event, 0), 0);
	assert_true(kcmp_epoll_target(me, other, me, epoll, event, 0) > 0);
	assert_int_equal(kcmp_epoll_target(me, event, me, epoll, event, 1), -ENOENT);
	for (int *fd = (int[]){ a, b, c, epoll, event, other, -1 }; *fd >= 0; fd++)
		close(*fd);
}

static void test_build_id(void **state)
{
	int self = open("/proc/self/exe", O_RDONLY), text = open("/etc/passwd", O_RDONLY), dir = open("/", O_RDONLY);
	uint8_t id[BUILD_ID_MAX];

	assert_int_equal(build_id_read(self, id), 20);
	assert_int_equal(build_id_read(text, id), 0);
	assert_int_equal(build_id_read(dir, id), 0);
	assert_int_equal(build_id_read(-1, id), -EBADF);
	close(self);
	close(text);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common), cmocka_unit_test(test_counters), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_bad),    cmocka_unit_test(test_kcmp),	cmocka_unit_test(test_build_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
