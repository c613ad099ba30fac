// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"

/*
 * The kernel has no call that locks a file against fallocate(2). But write(2) holds the inode's lock, as fallocate()
 * must, and it holds it while it waits for a page of the memory that it writes from. So a thread writes from a page
 * that is registered with a userfaultfd and never comes. The fault shows that the lock is taken; to let go, the page
 * is made inaccessible, and the write ends with EFAULT, having written nothing.
 *
 * When the process dies, so does the write, and the lock is free.
 */

struct hold {
	int fd;
	int uffd;
	char *trap;
	pthread_t thread;
	bool held;
	bool ended; /* the thread is through */
	int error;  /* errno of its write */
};

static void *holder(void *arg)
{
	struct hold *h = arg;

	h->error = pwrite(h->fd, h->trap, 1, 0) < 0 ? errno : 0;
	__atomic_store_n(&h->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static int register_trap(struct hold *h)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range.len = PAGE_SIZE, .mode = UFFDIO_REGISTER_MODE_MISSING };

	h->trap = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h->trap == MAP_FAILED) {
		h->trap = NULL;
		return -errno;
	}
	reg.range.start = (uintptr_t)h->trap;
	h->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (h->uffd < 0 || ioctl(h->uffd, UFFDIO_API, &api) || ioctl(h->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

int hold_new(int fd, struct diag *diag, struct hold **out)
{
	struct hold *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return diag_fail(diag, ENOMEM, "out of memory for shared memory");
	h->fd = fd;
	h->uffd = -1;
	ret = register_trap(h);
	if (ret) {
		hold_free(h);
		return diag_fail(diag, -ret, "cannot watch over shared memory with userfaultfd: %s", strerror(-ret));
	}
	*out = h;
	return 0;
}

int hold_uffd(const struct hold *h)
{
	return h->uffd;
}

int hold_take(struct hold *h, struct diag *diag)
{
	struct pollfd p = { h->uffd, POLLIN, 0 };
	struct uffd_msg msg;
	int ret;

	if (h->held)
		return __atomic_load_n(&h->ended, __ATOMIC_ACQUIRE)
			       ? diag_fail(diag, h->error ?: EIO, "lost the hold on shared memory: %s",
					   strerror(h->error))
			       : 0;
	h->ended = false;
	ret = pthread_create(&h->thread, NULL, holder, h);
	if (ret)
		return diag_fail(diag, ret, "cannot start a thread: %s", strerror(ret));
	while (read(h->uffd, &msg, sizeof(msg)) != (ssize_t)sizeof(msg)) {
		if (__atomic_load_n(&h->ended, __ATOMIC_ACQUIRE)) {
			pthread_join(h->thread, NULL);
			return diag_fail(diag, h->error ?: EIO, "cannot hold shared memory: %s", strerror(h->error));
		}
		poll(&p, 1, 10);
	}
	h->held = true;
	return 0;
}

void hold_drop(struct hold *h)
{
	struct uffdio_range range = { (uintptr_t)h->trap, PAGE_SIZE };

	if (!h->held)
		return;
	mprotect(h->trap, PAGE_SIZE, PROT_NONE);
	ioctl(h->uffd, UFFDIO_WAKE, &range);
	pthread_join(h->thread, NULL);
	mprotect(h->trap, PAGE_SIZE, PROT_READ);
	h->held = false;
}

void hold_free(struct hold *h)
{
	if (!h)
		return;
	hold_drop(h);
	if (h->uffd >= 0)
		close(h->uffd);
	if (h->trap)
		munmap(h->trap, PAGE_SIZE);
	free(h);
}
