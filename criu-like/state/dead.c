// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/dead.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/ghost.h"
#include "criu-like/state/tree.h"

int dead_note(struct dump *d, uint32_t id, pid_t pid)
{
	return ghost_note_remap(d, id, (uint32_t)pid, REMAP_TYPE__PROCFS);
}

int dead_read(struct restore *r, uint32_t pid)
{
	if (!pid || pid > INT32_MAX)
		return diag_fail(r->diag, EPROTO, "remap-fpath.img: a dead process with the pid %u", pid);
	return idmap_put(&r->files->dead, pid, r) < 0 ? no_memory(r->diag) : 0;
}

/* CRIU writes one note for each process, whichever of its files it is for. */
pid_t dead_pid(const struct restore *r, const RegFileEntry *e)
{
	pid_t pid = reg_file_proc_pid(e->name);

	return pid > 0 && idmap_get(&r->files->dead, (uint64_t)pid) ? pid : 0;
}

/* A child whose end tells nobody. @pid: the number that it shall have, 0: any. Return: its pid, or -errno */
static pid_t make(struct restore *r, pid_t pid)
{
	struct clone_args args = { .set_tid = pid ? (uintptr_t)&pid : 0, .set_tid_size = pid != 0 };

	return tree_clone(r, &args);
}

static void end(const pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

#define _cleanup_end_ __attribute__((cleanup(end)))

int dead_open(struct restore *r, const RegFileEntry *e, pid_t pid, uint32_t flags)
{
	_cleanup_end_ pid_t child = make(r, pid);
	int fd;

	if (child < 0)
		return diag_fail(
			r->diag, -child,
			"cannot open %s, of a process that has ended: its pid %d cannot be had for a moment: %s",
			e->name, pid, strerror(-child));
	fd = open(e->name, (int)(flags | O_CLOEXEC | O_NOCTTY));
	return fd < 0 ? diag_fail(r->diag, errno, "cannot open %s again: %s", e->name, strerror(errno)) : fd;
}

static bool is_same(const struct opened_file *f, const struct opened_file *g)
{
	return g->entry->pidfd->nspid < 0 && g->entry->pidfd->ino == f->entry->pidfd->ino;
}

int dead_open_pidfds(struct restore *r, struct opened_file *f)
{
	_cleanup_end_ pid_t child = make(r, 0);

	if (child < 0)
		return opener_fail(r, -child, f, "clone3");
	for_each_used (r, &pidfd_kind, g) {
		int fd;

		if (!is_same(f, g))
			continue;
		fd = (int)syscall(SYS_pidfd_open, child, g->entry->pidfd->flags & (O_NONBLOCK | O_EXCL));
		if (fd < 0)
			return opener_fail(r, errno, g, "pidfd_open");
		g->fd = opener_keep(r, fd);
		if (g->fd < 0)
			return g->fd;
	}
	return 0;
}
