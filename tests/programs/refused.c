// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program with something that no dump can take, by what TEST_REFUSED in the environment names; run by
 * tests/e2e/refused. It goes on as if nothing had happened.
 */
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "harness.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif
#define PAGE 4096UL

static long must(long ret, const char *what)
{
	if (ret < 0)
		test_skip("%s: %s", what, strerror(errno));
	return ret;
}

static void io_uring(void)
{
	struct io_uring_params params = { 0 };

	must(syscall(SYS_io_uring_setup, 4, &params), "io_uring_setup");
}

/* The ring itself has been closed, its memory is there. */
static void io_uring_memory(void)
{
	struct io_uring_params params = { 0 };
	int fd = (int)must(syscall(SYS_io_uring_setup, 4, &params), "io_uring_setup");

	test_check(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING) != MAP_FAILED);
	close(fd);
}

static void sealed(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(syscall(SYS_mseal, p, PAGE, 0), "mseal");
}

static void droppable(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	must(p == MAP_FAILED ? -1 : 0, "MAP_DROPPABLE");
}

static void perf(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .disabled = 1 };

	must(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "perf_event_open");
}

static void tun(void)
{
	must(open("/dev/net/tun", O_RDWR), "/dev/net/tun");
}

static void fuse(void)
{
	must(open("/dev/fuse", O_RDWR), "/dev/fuse");
}

static void namespace(void)
{
	must(open("/proc/self/ns/net", O_RDONLY), "/proc/self/ns/net");
}

static int fanotify(unsigned class)
{
	return (int)must(fanotify_init(class, O_RDONLY), "fanotify_init");
}

static void permission(void)
{
	must(fanotify_mark(fanotify(FAN_CLASS_CONTENT), FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "/dev/shm"),
	     "fanotify_mark");
}

static void filesystem(void)
{
	must(fanotify_mark(fanotify(FAN_CLASS_NOTIF), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD,
			   "/dev/shm"),
	     "fanotify_mark");
}

static void notifier(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), "seccomp");
}

/* A child that opens the file waits for it. */
static void lease(void)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%s.lease", test_result_path);
	fd = open(name, O_RDONLY | O_CREAT, 0600);
	test_check(fd >= 0 && fcntl(fd, F_SETSIG, SIGUSR1) == 0);
	signal(SIGUSR1, SIG_IGN);
	must(fcntl(fd, F_SETLEASE, F_RDLCK), "F_SETLEASE");
	test_check(open(name, O_WRONLY | O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
}

static socklen_t abstract(struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX, .sun_path = "\0thaw-test-refused" };
	return offsetof(struct sockaddr_un, sun_path) + 18;
}

/* A connection to a listener that has not accepted it, with data in it. */
static void unaccepted(void)
{
	struct sockaddr_un a;
	socklen_t len = abstract(&a);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	test_check(listener >= 0 && client >= 0 && bind(listener, (void *)&a, len) == 0 && listen(listener, 3) == 0);
	test_check(connect(client, (void *)&a, len) == 0 && write(client, "x", 1) == 1);
}

static void pidfd_outside(void)
{
	must(syscall(SYS_pidfd_open, getppid(), 0), "pidfd_open");
}

static void pidfd_in_flight(void)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { "x", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], pidfd = (int)must(syscall(SYS_pidfd_open, getpid(), 0), "pidfd_open");

	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
	test_check(sendmsg(pair[0], &msg, 0) == 1);
}

static const struct {
	const char *name;
	void (*make)(void);
} kinds[] = {
	{ "io_uring", io_uring },
	{ "io_uring-memory", io_uring_memory },
	{ "sealed", sealed },
	{ "droppable", droppable },
	{ "perf", perf },
	{ "tun", tun },
	{ "fuse", fuse },
	{ "namespace", namespace },
	{ "permission", permission },
	{ "filesystem", filesystem },
	{ "notifier", notifier },
	{ "lease", lease },
	{ "unaccepted", unaccepted },
	{ "pidfd-outside", pidfd_outside },
	{ "pidfd-in-flight", pidfd_in_flight },
};

int main(int argc, char **argv)
{
	const char *what = getenv("TEST_REFUSED");

	test_init(argc, argv);
	for (size_t i = 0; what && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, what) != 0)
			continue;
		kinds[i].make();
		test_ready();
		test_wait();
		test_pass();
	}
	test_fail("TEST_REFUSED is %s", what ? what : "not set");
}
