// SPDX-License-Identifier: GPL-2.0-only
/*
 * File locks: flock(2), and those of fcntl_locking(2) that belong to the open file (OFD) or to the process (POSIX);
 * leases, F_SETLEASE(2const).
 *
 * Those of an open file are taken by the restorer, before the tasks inherit the file. A process loses its POSIX locks
 * on a file when it closes any descriptor of it: so they are taken in the task, last of all. Leases too: their signals
 * tell the descriptor that they were taken by.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "criu-like/state/file_kind.h"

/* file_lock_entry.flag */
#define LOCK_ENTRY_POSIX 1
#define LOCK_ENTRY_FLOCK 2
#define LOCK_ENTRY_OFD 4
#define LOCK_ENTRY_LEASE 8

static void append(struct file_lock **first, struct file_lock **last, struct file_lock *l)
{
	*(*last ? &(*last)->next : first) = l;
	*last = l;
}

/* A process's lock shows at each of its descriptors of the file. */
static bool noted(const struct seen *s, const FileLockEntry *e)
{
	for (const struct file_lock *l = s->d->files->locks; l; l = l->next)
		if (l->entry.flag == e->flag && l->entry.pid == e->pid && l->ino == s->st.st_ino &&
		    l->dev == s->st.st_dev && l->entry.start == e->start && l->entry.len == e->len)
			return true;
	return false;
}

static int note(struct seen *s, const struct fdinfo_lock *from)
{
	static const uint32_t flags[] = { LOCK_ENTRY_POSIX, LOCK_ENTRY_FLOCK, LOCK_ENTRY_OFD, LOCK_ENTRY_LEASE };
	struct file_lock *l = arena_alloc(s->d->arena, sizeof(*l));
	FileLockEntry *e = &l->entry;

	if (!l)
		return no_memory(s->d->diag);
	file_lock_entry__init(e);
	e->flag = flags[from->kind];
	e->type = from->write ? F_WRLCK : F_RDLCK;
	e->pid = s->p->pid;
	e->fd = s->fd;
	e->start = from->start;
	e->len = from->end < 0 ? 0 : from->end - from->start + 1;
	l->dev = s->st.st_dev;
	l->ino = s->st.st_ino;
	if (!noted(s, e))
		append(&s->d->files->locks, &s->d->files->last_lock, l);
	return 0;
}

int file_locks_note(struct seen *s, bool known)
{
	for (size_t i = 0; i < s->info.nr_locks; i++) {
		const struct fdinfo_lock *l = &s->info.locks[i];
		int ret;

		if (l->kind == FDINFO_LOCK_OTHER)
			return file_refuse(s, "a file with a delegation", "let the program give it up");
		if (l->breaking)
			return file_refuse(s, "a file with a lease that somebody waits for",
					   "dump again when the program has given it up");
		if (known && l->kind != FDINFO_LOCK_POSIX)
			continue;
		if (s->flight)
			return file_refuse(s, "a locked file that no process has open",
					   "dump again when the program has received it");
		ret = note(s, l);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int file_locks_write(struct dump *d)
{
	struct image_writer *w;
	int ret;

	if (!d->files->locks)
		return 0;
	ret = image_create(d->dir, IMG_FILE_LOCKS, 0, &w, d->diag);
	if (ret < 0)
		return ret;
	for (const struct file_lock *l = d->files->locks; l && ret == 0; l = l->next)
		ret = image_put(w, &l->entry);
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static int read_lock(struct restore *r, const FileLockEntry *e)
{
	struct file_lock *l = arena_alloc(r->arena, sizeof(*l));

	if (!l)
		return no_memory(r->diag);
	if ((e->flag != LOCK_ENTRY_POSIX && e->flag != LOCK_ENTRY_FLOCK && e->flag != LOCK_ENTRY_OFD &&
	     e->flag != LOCK_ENTRY_LEASE) ||
	    e->type > F_WRLCK)
		return diag_fail(r->diag, ENOTSUP,
				 "filelocks.img: descriptor %d of process %d has a lock of kind %u, type %u, "
				 "which is not supported",
				 e->fd, e->pid, e->flag, e->type);
	l->entry = *e;
	append(&r->files->locks, &r->files->last_lock, l);
	return 0;
}

int file_locks_read(struct restore *r)
{
	struct image_reader *reader;
	FileLockEntry *e;
	int ret;

	if (!image_exists(r->dir, IMG_FILE_LOCKS, 0))
		return 0;
	ret = image_open(r->dir, IMG_FILE_LOCKS, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &e)) > 0) {
		ret = read_lock(r, e);
		image_free(e);
		if (ret < 0)
			break;
	}
	image_close(reader);
	return ret;
}

static struct flock range(const FileLockEntry *e)
{
	return (struct flock){ .l_type = (short)e->type, .l_whence = SEEK_SET, .l_start = e->start, .l_len = e->len };
}

static const struct opened_file *locked_file(const struct restore *r, const FileLockEntry *e)
{
	for (size_t i = 0; i < r->tree.nr; i++) {
		const FdinfoEntry *fd = r->tree.procs[i]->pid == e->pid ? process_fd(r->tree.procs[i], e->fd) : NULL;

		if (fd)
			return opener_file(r, fd->id);
	}
	return NULL;
}

int file_locks_finish(struct restore *r)
{
	for (const struct file_lock *l = r->files->locks; l; l = l->next) {
		const FileLockEntry *e = &l->entry;
		const struct opened_file *f = locked_file(r, e);
		struct flock lock = range(e);
		int ret = 0;

		if (!f)
			return diag_fail(r->diag, EPROTO, "filelocks.img: process %d has no descriptor %d", e->pid,
					 e->fd);
		if (e->flag == LOCK_ENTRY_FLOCK)
			ret = flock(f->fd, (e->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB);
		else if (e->flag == LOCK_ENTRY_OFD)
			ret = fcntl(f->fd, F_OFD_SETLK, &lock);
		if (ret < 0)
			return diag_fail(
				r->diag, errno,
				"cannot lock the file of descriptor %d of process %d again (%s): another process may "
				"have locked it",
				e->fd, e->pid, strerror(errno));
	}
	return 0;
}

/* Those of a process that shares its descriptors are all of these processes'. */
static bool is_holder(const struct restore *r, const struct process *p, const FileLockEntry *e)
{
	const struct process *q = tree_find(&r->tree, e->pid);

	return q && (q == p || q->files_of == p);
}

void file_locks_tell(struct restore *r, const struct process *p, struct batch *b)
{
	for (const struct file_lock *l = r->files->locks; l; l = l->next) {
		struct flock lock = range(&l->entry);

		if (l->entry.flag == LOCK_ENTRY_POSIX && is_holder(r, p, &l->entry))
			batch_call(b, BATCH_MUST, SYS_fcntl, (uint64_t)l->entry.fd, F_SETLK,
				   batch_data(b, &lock, sizeof(lock)));
		if (l->entry.flag == LOCK_ENTRY_LEASE && is_holder(r, p, &l->entry))
			batch_call(b, BATCH_MUST, SYS_fcntl, (uint64_t)l->entry.fd, F_SETLEASE, l->entry.type);
	}
}
