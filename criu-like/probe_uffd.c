// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/util.h"

/* Newer than some distributions' headers: linux/userfaultfd.h (6.6, 6.7) and linux/fs.h (6.7). */
#ifndef UFFDIO_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
struct uffdio_poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

#ifndef PAGEMAP_SCAN
struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct page_region {
	uint64_t start, end, categories;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_PRESENT (1 << 3)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
#endif

struct page {
	void *addr;
};

static void page_unmap(struct page *p)
{
	if (p->addr != MAP_FAILED)
		munmap(p->addr, PAGE_SIZE);
}

#define _cleanup_page_ __attribute__((cleanup(page_unmap)))

static struct page page_map(int flags)
{
	return (struct page){ mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0) };
}

/* As the restored tasks open theirs: faults of the kernel on the task's behalf must be seen too. */
static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), err = errno;

	if (fd < 0) {
		_cleanup_close_ int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

		if (dev < 0)
			return -err;
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			return -errno;
	}
	if (ioctl(fd, UFFDIO_API, &api) < 0) {
		err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

static int uffd_register(int uffd, void *addr, uint64_t mode)
{
	struct uffdio_register reg = { .range = { (uintptr_t)addr, PAGE_SIZE }, .mode = mode };

	return ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 ? -errno : 0;
}

static int fill_a_page(int map_flags, uint64_t features)
{
	static const char content[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))) = "thaw";
	_cleanup_page_ struct page p = page_map(map_flags);
	_cleanup_close_ int uffd = uffd_open(features);
	struct uffdio_copy copy = { .src = (uintptr_t)content, .len = PAGE_SIZE };
	int ret;

	if (uffd < 0)
		return uffd;
	if (p.addr == MAP_FAILED)
		return -ENOMEM;
	ret = uffd_register(uffd, p.addr, UFFDIO_REGISTER_MODE_MISSING);
	if (ret < 0)
		return ret;
	copy.dst = (uintptr_t)p.addr;
	if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
		return -errno;
	return memcmp(p.addr, content, PAGE_SIZE) == 0 ? 0 : -EIO;
}

int probe_uffd(void)
{
	return fill_a_page(MAP_PRIVATE, 0);
}

int probe_uffd_shmem(void)
{
	return fill_a_page(MAP_SHARED, UFFD_FEATURE_MISSING_SHMEM);
}

int probe_uffd_events(void)
{
	_cleanup_close_ int uffd =
		uffd_open(UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP);

	return uffd < 0 ? uffd : 0;
}

int probe_uffd_event_fork(void)
{
	_cleanup_close_ int uffd = uffd_open(UFFD_FEATURE_EVENT_FORK);

	return uffd < 0 ? uffd : 0;
}

int probe_uffd_poison(void)
{
	_cleanup_page_ struct page p = page_map(MAP_PRIVATE);
	_cleanup_close_ int uffd = uffd_open(UFFD_FEATURE_POISON);
	struct uffdio_poison poison = { .range = { (uintptr_t)p.addr, PAGE_SIZE } };
	int ret;

	if (uffd < 0)
		return uffd;
	if (p.addr == MAP_FAILED)
		return -ENOMEM;
	ret = uffd_register(uffd, p.addr, UFFDIO_REGISTER_MODE_MISSING);
	if (ret < 0)
		return ret;
	return ioctl(uffd, UFFDIO_POISON, &poison) < 0 ? -errno : 0;
}

/* Return: ranges found in the page, or -errno */
static int scan_page(const void *addr, uint64_t flags, uint64_t category)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct page_region found;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + PAGE_SIZE,
		.vec = (uintptr_t)&found,
		.vec_len = 1,
		.category_mask = category,
		.return_mask = category,
	};
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, PAGEMAP_SCAN, &arg);
	return ret < 0 ? -errno : ret;
}

int probe_pagemap_scan(void)
{
	_cleanup_page_ struct page p = page_map(MAP_PRIVATE);
	int ret;

	if (p.addr == MAP_FAILED)
		return -ENOMEM;
	*(volatile char *)p.addr = 1;
	ret = scan_page(p.addr, 0, PAGE_IS_PRESENT);
	return ret < 0 ? ret : ret == 1 ? 0 : -EIO;
}

/* A page is protected, written, and found written. */
int probe_wp_async(void)
{
	_cleanup_page_ struct page p = page_map(MAP_PRIVATE);
	_cleanup_close_ int uffd = uffd_open(UFFD_FEATURE_WP_ASYNC);
	int ret;

	if (uffd < 0)
		return uffd;
	if (p.addr == MAP_FAILED)
		return -ENOMEM;
	ret = uffd_register(uffd, p.addr, UFFDIO_REGISTER_MODE_WP);
	if (ret < 0)
		return ret;
	*(volatile char *)p.addr = 1;
	ret = scan_page(p.addr, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
	if (ret >= 0)
		ret = scan_page(p.addr, PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
	if (ret != 0)
		return ret < 0 ? ret : -EIO;
	*(volatile char *)p.addr = 2;
	ret = scan_page(p.addr, PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
	return ret < 0 ? ret : ret == 1 ? 0 : -EIO;
}
