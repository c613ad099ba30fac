// SPDX-License-Identifier: GPL-2.0-only
/*
 * timerfd_create(2). The images hold the time that was left, whatever clock and flags the timer was set with. It is set
 * again in the task, at the last moment, so that little of it passes during the restore; as an absolute time, the
 * flags' other meaning (the timer follows when the clock is set) would need the clock's value then.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/state/file_kind.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

static bool timerfd_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[timerfd]");
}

static int timerfd_dump(struct seen *s, FileEntry *fe)
{
	TimerfdEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	const struct timespec *value = &s->info.it_value, *interval = &s->info.it_interval;

	if (!e)
		return no_memory(s->d->diag);
	timerfd_entry__init(e);
	e->id = fe->id;
	e->flags = s->flags;
	e->clockid = (uint32_t)s->info.clockid;
	e->ticks = s->info.ticks;
	e->settime_flags = s->info.settime_flags;
	e->vsec = (uint64_t)value->tv_sec;
	e->vnsec = (uint64_t)value->tv_nsec;
	e->isec = (uint64_t)interval->tv_sec;
	e->insec = (uint64_t)interval->tv_nsec;
	fe->tfd = e;
	return file_owner(s, &e->fown);
}

static int timerfd_open(struct restore *r, struct opened_file *f)
{
	const TimerfdEntry *e = f->entry->tfd;
	int fd = timerfd_create((int)e->clockid, TFD_CLOEXEC);

	if (fd < 0)
		return opener_fail(r, errno, f, "timerfd_create");
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, e->flags, e->fown);
}

static int timerfd_tell(struct restore *r, struct process *p, const FdinfoEntry *fde, struct opened_file *f,
			struct batch *b)
{
	const TimerfdEntry *e = f->entry->tfd;
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)e->vsec, .tv_nsec = (long)e->vnsec },
		.it_interval = { .tv_sec = (time_t)e->isec, .tv_nsec = (long)e->insec },
	};
	bool set = e->vsec || e->vnsec || e->isec || e->insec;

	if (f->first != p)
		return 0;
	if (set && !e->vsec && !e->vnsec)
		its.it_value.tv_nsec = 1; /* it was just about to expire */
	if (set)
		batch_call(b, BATCH_MUST, SYS_timerfd_settime, fde->fd, 0, batch_data(b, &its, sizeof(its)), 0);
	if (e->ticks)
		batch_call(b, BATCH_MUST, SYS_ioctl, fde->fd, TFD_IOC_SET_TICKS,
			   batch_data(b, &e->ticks, sizeof(e->ticks)));
	return 0;
}

static size_t timerfd_records(const FileEntry *fe)
{
	return 2;
}

const struct file_kind timerfd_kind = {
	.type = FD_TYPES__TIMERFD,
	.name = "timerfd",
	.member = offsetof(FileEntry, tfd),
	.owner = offsetof(TimerfdEntry, fown),
	.flags = offsetof(TimerfdEntry, flags),
	.match = timerfd_match,
	.dump = timerfd_dump,
	.open = timerfd_open,
	.tell = timerfd_tell,
	.records = timerfd_records,
};
