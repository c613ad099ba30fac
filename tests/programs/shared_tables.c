// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Processes that share their descriptors without being threads, over three generations, with a lock and an epoll
 * instance among them; and a pair beside them that shares a table of its own.
 */
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

enum { MAIN, CHILD, GRANDCHILD, OWN, OWN_CHILD, NR };

static struct shared {
	pid_t pid[NR];
	int ready, step, number;
} volatile *shared;

static void await(volatile int *what, int value)
{
	while (*what < value)
		sched_yield();
}

/* Return: is it the new process that returns? */
static bool make(int which, uint64_t flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	test_check(pid >= 0);
	if (pid)
		shared->pid[which] = pid;
	return !pid;
}

static void check_shared(int what, int a, int b, bool same)
{
	long ret = syscall(SYS_kcmp, shared->pid[a], shared->pid[b], what, 0, 0);

	if (ret < 0 || (ret == 0) != same)
		test_fail("processes %d and %d: kcmp(%d) says %ld", a, b, what, ret);
}

static void __attribute__((noreturn)) grandchild(void)
{
	int fds[2];

	shared->ready++;
	await(&shared->step, 1);
	test_check(pipe(fds) == 0 && write(fds[1], "from below", 10) == 10);
	shared->number = fds[0];
	await(&shared->step, 2);
	_exit(3);
}

static void __attribute__((noreturn)) child(void)
{
	int status;

	if (make(GRANDCHILD, CLONE_FILES))
		grandchild();
	shared->ready++;
	await(&shared->step, 1);
	test_check(waitpid(shared->pid[GRANDCHILD], &status, 0) == shared->pid[GRANDCHILD] && status == 3 << 8);
	_exit(4);
}

static void __attribute__((noreturn)) own(void)
{
	int status;

	close(0);
	if (make(OWN_CHILD, CLONE_FILES)) {
		shared->ready++;
		await(&shared->step, 1);
		test_check(open("/dev/null", O_RDONLY) == 0);
		await(&shared->step, 2);
		_exit(5);
	}
	await(&shared->step, 1);
	while (fcntl(0, F_GETFD) < 0)
		sched_yield();
	test_check(waitpid(shared->pid[OWN_CHILD], &status, 0) == shared->pid[OWN_CHILD] && status == 5 << 8);
	_exit(6);
}

int main(int argc, char **argv)
{
	struct flock lock = { .l_type = F_WRLCK, .l_start = 3, .l_len = 4 };
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 7 };
	int file, epoll, watched[2], status;
	char buf[32], name[4096];

	test_init(argc, argv);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	snprintf(name, sizeof(name), "%s.locked", argv[1]);
	file = open(name, O_RDWR | O_CREAT, 0600);
	test_check(file >= 0 && fcntl(file, F_SETLK, &lock) == 0 && pipe(watched) == 0);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	test_check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, watched[0], &e) == 0);
	shared->pid[MAIN] = getpid();
	if (make(OWN, 0)) {
		test_forked();
		own();
	}
	if (make(CHILD, CLONE_FILES))
		child();
	await(&shared->ready, 3);
	test_ready();
	test_wait();

	check_shared(KCMP_FILES, MAIN, CHILD, true);
	check_shared(KCMP_FILES, MAIN, GRANDCHILD, true);
	check_shared(KCMP_FILES, MAIN, OWN, false);
	check_shared(KCMP_FILES, OWN, OWN_CHILD, true);
	check_shared(KCMP_FS, MAIN, CHILD, false);
	shared->step = 1;
	await(&shared->number, 1);
	test_check(read(shared->number, buf, sizeof(buf)) == 10 && !memcmp(buf, "from below", 10));
	test_check(write(watched[1], "x", 1) == 1 && epoll_wait(epoll, &e, 1, 10000) == 1 && e.data.u64 == 7);
	lock.l_type = F_RDLCK;
	test_check(fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_WRLCK);
	shared->step = 2;
	test_check(waitpid(shared->pid[CHILD], &status, 0) == shared->pid[CHILD] && status == 4 << 8);
	test_check(waitpid(shared->pid[OWN], &status, 0) == shared->pid[OWN] && status == 6 << 8);
	test_pass();
}
