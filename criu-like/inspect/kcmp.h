/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_KCMP_H
#define THAW_INSPECT_KCMP_H

#include <errno.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * kcmp(2): do two descriptors lead to one open file? The kernel answers with an order, so that open files can be
 * sorted.
 */

/** kcmp_file() - Compare two descriptors. Return: 0 same open file, 1 less, 2 greater, or -errno */
static inline int kcmp_file(pid_t pid1, int fd1, pid_t pid2, int fd2)
{
	long ret = syscall(SYS_kcmp, pid1, pid2, KCMP_FILE, (unsigned long)fd1, (unsigned long)fd2);

	return ret < 0 ? -errno : (int)ret;
}

/** kcmp_shared() - Compare what two tasks share, KCMP_VM and the like. Return: 0 shared, 1 or 2 not, or -errno */
static inline int kcmp_shared(pid_t pid1, pid_t pid2, int what)
{
	long ret = syscall(SYS_kcmp, pid1, pid2, what, 0UL, 0UL);

	return ret < 0 ? -errno : (int)ret;
}

/**
 * kcmp_epoll_target() - Is the open file of a descriptor a target of an epoll instance?
 * @pid: process with both descriptors
 * @fd: the descriptor
 * @epoll_pid: process with the epoll descriptor @epoll_fd
 * @target: number that the target was added by
 * @skip: so many targets that were added by the same number come before
 *
 * Return: 0 yes, 1 or 2 no, or -errno (-ENOENT: no such target)
 */
static inline int kcmp_epoll_target(pid_t pid, int fd, pid_t epoll_pid, int epoll_fd, int target, unsigned skip)
{
	struct kcmp_epoll_slot slot = { .efd = (unsigned)epoll_fd, .tfd = (unsigned)target, .toff = skip };
	long ret = syscall(SYS_kcmp, pid, epoll_pid, KCMP_EPOLL_TFD, (unsigned long)fd, &slot);

	return ret < 0 ? -errno : (int)ret;
}

#endif
