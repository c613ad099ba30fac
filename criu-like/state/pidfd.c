// SPDX-License-Identifier: GPL-2.0-only
/*
 * pidfd_open(2), for processes of the tree, and for those that are no more (dead.h). Those of the tree are born after
 * the restorer has opened all files, so each task opens its own; until then something else holds the descriptors. (Of
 * what open files share, a pidfd has only O_NONBLOCK.)
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/state/dead.h"

static bool pidfd_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[pidfd]") || !strncmp(s->link, "pidfd:", 6);
}

static int pidfd_dump(struct seen *s, FileEntry *fe)
{
	PidfdEntry *e = arena_alloc(s->d->arena, sizeof(*e));

	if (!e)
		return no_memory(s->d->diag);
	pidfd_entry__init(e);
	e->id = fe->id;
	e->ino = (uint32_t)s->st.st_ino;
	e->flags = s->flags & (O_NONBLOCK | O_EXCL); /* as pidfd_open(2) takes them */
	e->nspid = s->info.pid;
	fe->pidfd = e;
	for (size_t i = 0; i < s->d->tree.nr; i++)
		if (s->d->tree.procs[i]->pid == s->info.pid)
			return file_owner(s, &e->fown);
	if (s->info.pid < 0)
		return file_owner(s, &e->fown);
	return file_refuse(s, "a pidfd", "its process is not in the tree; close it, or dump the tree that has it");
}

static int pidfd_open_first(struct restore *r, struct opened_file *f)
{
	return f->entry->pidfd->nspid < 0 ? dead_open_pidfds(r, f) : opener_placeholder(r, f);
}

static int pidfd_tell(struct restore *r, struct process *p, const FdinfoEntry *fde, struct opened_file *f,
		      struct batch *b)
{
	const PidfdEntry *e = f->entry->pidfd;
	size_t made;

	if (e->nspid < 0)
		return 0;
	made = batch_call(b, BATCH_MUST, SYS_pidfd_open, (uint64_t)e->nspid, e->flags & (O_NONBLOCK | O_EXCL));

	opener_tell_made(p, fde, made, b);
	return 0;
}

static size_t pidfd_records(const FileEntry *fe)
{
	return 2;
}

const struct file_kind pidfd_kind = {
	.type = FD_TYPES__PIDFD,
	.name = "pidfd",
	.member = offsetof(FileEntry, pidfd),
	.owner = offsetof(PidfdEntry, fown),
	.flags = offsetof(PidfdEntry, flags),
	.match = pidfd_match,
	.dump = pidfd_dump,
	.open = pidfd_open_first,
	.tell = pidfd_tell,
	.records = pidfd_records,
};
