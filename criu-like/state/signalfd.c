// SPDX-License-Identifier: GPL-2.0-only
/* signalfd(2) */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/state/file_kind.h"

static bool signalfd_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[signalfd]");
}

static int signalfd_dump(struct seen *s, FileEntry *fe)
{
	SignalfdEntry *e = arena_alloc(s->d->arena, sizeof(*e));

	if (!e)
		return no_memory(s->d->diag);
	signalfd_entry__init(e);
	e->id = fe->id;
	e->flags = s->flags;
	e->sigmask = s->info.sigmask;
	fe->sgfd = e;
	return file_owner(s, &e->fown);
}

static int signalfd_open(struct restore *r, struct opened_file *f)
{
	const SignalfdEntry *e = f->entry->sgfd;
	uint64_t mask = e->sigmask;
	int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC);

	if (fd < 0)
		return opener_fail(r, errno, f, "signalfd");
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, e->flags, e->fown);
}

const struct file_kind signalfd_kind = {
	.type = FD_TYPES__SIGNALFD,
	.name = "signalfd",
	.member = offsetof(FileEntry, sgfd),
	.owner = offsetof(SignalfdEntry, fown),
	.flags = offsetof(SignalfdEntry, flags),
	.match = signalfd_match,
	.dump = signalfd_dump,
	.open = signalfd_open,
};
