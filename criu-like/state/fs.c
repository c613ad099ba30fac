// SPDX-License-Identifier: GPL-2.0-only
/* Working directory, root directory and umask. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/files.h"

int fs_dump(struct dump *d, struct process *p)
{
	FsEntry *fs = arena_alloc(d->arena, sizeof(*fs));
	int ret;

	if (!fs)
		return no_memory(d->diag);
	fs_entry__init(fs);
	ret = files_dump_link(d, p, "cwd", &fs->cwd_id);
	if (ret == 0)
		ret = files_dump_link(d, p, "root", &fs->root_id);
	if (ret < 0)
		return ret;
	fs->has_umask = true;
	fs->umask = p->status.umask;
	p->fs = fs;
	return 0;
}

int fs_tell(struct restore *r, struct process *p, struct batch *b)
{
	const struct opened_file *root, *cwd;

	if (!p->fs)
		return diag_fail(r->diag, EPROTO, "the images have no working directory for process %d", p->pid);
	if (p->fs_of)
		return 0;
	root = opener_file(r, p->fs->root_id);
	cwd = opener_file(r, p->fs->cwd_id);
	if (strcmp(root->entry->reg->name, "/") != 0) {
		batch_call(b, BATCH_MUST, SYS_fchdir, (uint64_t)root->fd);
		batch_call(b, BATCH_MUST, SYS_chroot, batch_string(b, "."));
	}
	batch_call(b, BATCH_MUST, SYS_fchdir, (uint64_t)cwd->fd);
	if (p->fs->has_umask)
		batch_call(b, BATCH_MUST, SYS_umask, p->fs->umask);
	return 0;
}
