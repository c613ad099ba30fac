/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_FDINFO_H
#define THAW_INSPECT_FDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* What /proc/PID/fdinfo/N says (proc_pid_fdinfo(5)). */

struct fdinfo_target {
	int fd; /* as the program gave it to epoll_ctl(2); may be closed since */
	uint32_t events;
	uint64_t data;
	uint64_t pos, ino;
	uint32_t dev; /* as the kernel prints it: major << 20 | minor */
};

#define FDINFO_HANDLE_MAX 128

/* A watch of inotify(7), or a mark of fanotify(7). */
struct fdinfo_watch {
	uint32_t wd;	 /* inotify */
	int mnt_id;	 /* fanotify: the mount that it is on; 0: a file, or with no handle a file system */
	uint32_t mflags; /* fanotify: FAN_MARK_* */
	uint64_t ino;
	uint32_t dev, mask, ignored_mask;
	int handle_type;
	size_t handle_len;
	uint8_t handle[FDINFO_HANDLE_MAX];
};

enum fdinfo_lock_kind {
	FDINFO_LOCK_POSIX,
	FDINFO_LOCK_FLOCK,
	FDINFO_LOCK_OFD,
	FDINFO_LOCK_LEASE,
	FDINFO_LOCK_OTHER,
};

struct fdinfo_lock {
	enum fdinfo_lock_kind kind; /* OTHER: delegations, and what newer kernels may have */
	bool write;
	bool breaking;	    /* lease: its holder has been asked to give it up */
	int64_t start, end; /* inclusive; end -1: to the end of the file */
};

struct fdinfo {
	uint64_t pos;
	uint32_t flags; /* O_*; O_CLOEXEC is the descriptor's, all others the open file's */
	int mnt_id;
	uint64_t ino;
	uint64_t eventfd_count;
	bool eventfd_semaphore;
	uint64_t sigmask; /* signalfd: bit N - 1 for signal N */
	int clockid;	  /* timerfd */
	uint64_t ticks;
	uint32_t settime_flags;
	struct timespec it_value, it_interval;
	struct fdinfo_target *targets; /* epoll; malloc'ed */
	size_t nr_targets, cap_targets;
	struct fdinfo_watch *watches; /* malloc'ed */
	size_t nr_watches;
	uint32_t fanotify_flags, event_flags; /* as fanotify_init(2) takes them */
	pid_t pid;			      /* pidfd: in the reader's namespace, -1 when it has been reaped */
	struct fdinfo_lock *locks;	      /* of this open file, and of the process on the same inode; malloc'ed */
	size_t nr_locks;
};

/**
 * fdinfo_parse() - Parse the text of an fdinfo file
 * @text: changed while parsing
 * @out: filled; free with fdinfo_free(), also after a failure
 *
 * Return: 0, -EPROTO for a line that it should understand and does not, or -ENOMEM
 */
int fdinfo_parse(char *text, struct fdinfo *out);

/** fdinfo_read() - Read and parse fdinfo/@fd under @proc_fd. Return: 0, or -errno; free with fdinfo_free() */
int fdinfo_read(int proc_fd, int fd, struct fdinfo *out);

/** fdinfo_free() - Free what it holds */
void fdinfo_free(struct fdinfo *info);

#endif
