// SPDX-License-Identifier: GPL-2.0-only
/*
 * eventfd(2). The format has no field for EFD_SEMAPHORE. It stands as the lowest bit of the flags, which is free there:
 * an eventfd is always open for reading and writing, and F_SETFL takes no notice of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

static bool eventfd_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[eventfd]");
}

static int eventfd_dump(struct seen *s, FileEntry *fe)
{
	EventfdFileEntry *e = arena_alloc(s->d->arena, sizeof(*e));

	if (!e)
		return no_memory(s->d->diag);
	eventfd_file_entry__init(e);
	e->id = fe->id;
	e->flags = s->flags | (s->info.eventfd_semaphore ? EFD_SEMAPHORE : 0);
	e->counter = s->info.eventfd_count;
	fe->efd = e;
	return file_owner(s, &e->fown);
}

static int eventfd_open(struct restore *r, struct opened_file *f)
{
	const EventfdFileEntry *e = f->entry->efd;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | (int)(e->flags & EFD_SEMAPHORE)), ret;

	if (fd < 0)
		return opener_fail(r, errno, f, "eventfd");
	f->fd = opener_keep(r, fd);
	if (f->fd < 0)
		return f->fd;
	ret = e->counter ? full_write(f->fd, &e->counter, sizeof(e->counter)) : 0;
	if (ret < 0)
		return opener_fail(r, -ret, f, "setting the counter");
	return opener_setup(r, f, e->flags, e->fown);
}

const struct file_kind eventfd_kind = {
	.type = FD_TYPES__EVENTFD,
	.name = "eventfd",
	.member = offsetof(FileEntry, efd),
	.owner = offsetof(EventfdFileEntry, fown),
	.flags = offsetof(EventfdFileEntry, flags),
	.match = eventfd_match,
	.dump = eventfd_dump,
	.open = eventfd_open,
};
