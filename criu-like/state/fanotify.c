// SPDX-License-Identifier: GPL-2.0-only
/*
 * fanotify(7): marks on files and on mounts. Events that have not been read are lost, those that the restore makes are
 * dropped. While a program that must permit what others do is frozen, these others wait: it is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/watched.h"

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif
#define FAN_PRE_ACCESS_EVENT 0x100000 /* kernel 6.14 */

#define PERMISSIONS (FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM | FAN_PRE_ACCESS_EVENT)
#define KNOWN_FLAGS (FAN_MARK_IGNORED_SURV_MODIFY | FAN_MARK_EVICTABLE | FAN_MARK_IGNORE)

static bool fanotify_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[fanotify]");
}

/* Where a mount is, as mountinfo writes it. */
static int find_mount(struct seen *s, int mnt_id, FanotifyMarkEntry *e)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	char where[PATH_MAX];
	unsigned maj, min;
	size_t cap = 0;
	int id;

	if (!f)
		return file_fail(s, errno, "opening /proc/self/mountinfo");
	while (getline(&line, &cap, f) > 0)
		if (sscanf(line, "%d %*d %u:%u %*s %4095s", &id, &maj, &min, where) == 4 && id == mnt_id) {
			if (strchr(where, '\\'))
				break;
			e->s_dev = maj << 20 | min;
			e->me->path = arena_strdup(s->d->arena, where);
			return e->me->path ? 0 : no_memory(s->d->diag);
		}
	return file_refuse(s, "a fanotify group that watches a mount",
			   "the mount is not found here, or has a strange name; remove that mark");
}

static int dump_mark(struct seen *s, const struct fdinfo_watch *w, FanotifyMarkEntry *e)
{
	struct arena *arena = s->d->arena;

	fanotify_mark_entry__init(e);
	e->mflags = w->mflags;
	e->mask = w->mask;
	e->ignored_mask = w->ignored_mask;
	e->s_dev = w->dev;
	if (w->mask & PERMISSIONS)
		return file_refuse(s, "a fanotify group that permits what others do", "remove its marks");
	if (w->mflags & ~(uint32_t)KNOWN_FLAGS || (!w->handle_len && !w->mnt_id))
		return file_refuse(s, "a fanotify group that watches a whole file system", "remove that mark");
	if (w->mnt_id) {
		e->type = MARK_TYPE__MOUNT;
		e->me = arena_alloc(arena, sizeof(*e->me));
		if (!e->me)
			return no_memory(s->d->diag);
		fanotify_mount_mark_entry__init(e->me);
		e->me->mnt_id = (uint32_t)w->mnt_id;
		return find_mount(s, w->mnt_id, e);
	}
	e->type = MARK_TYPE__INODE;
	e->ie = arena_alloc(arena, sizeof(*e->ie));
	if (!e->ie)
		return no_memory(s->d->diag);
	fanotify_inode_mark_entry__init(e->ie);
	e->ie->i_ino = w->ino;
	return watched_dump(s, w, "a fanotify group", &e->ie->f_handle);
}

static int fanotify_dump(struct seen *s, FileEntry *fe)
{
	FanotifyFileEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	FanotifyMarkEntry *m = arena_array(s->d->arena, s->info.nr_watches + 1, sizeof(*m));
	struct pollfd unread = { .fd = s->lfd, .events = POLLIN };

	if (e)
		fanotify_file_entry__init(e);
	if (!e || !m || !(e->mark = arena_array(s->d->arena, s->info.nr_watches + 1, sizeof(*e->mark))))
		return no_memory(s->d->diag);
	e->id = fe->id;
	e->flags = s->flags;
	e->faflags = s->info.fanotify_flags;
	e->evflags = s->info.event_flags;
	fe->ffy = e;
	for (; e->n_mark < s->info.nr_watches; e->n_mark++, m++) {
		int ret = dump_mark(s, &s->info.watches[e->n_mark], m);

		if (ret < 0)
			return ret;
		m->id = fe->id;
		e->mark[e->n_mark] = m;
	}
	if (poll(&unread, 1, 0) == 1)
		diag_warn(s->d->diag, "descriptor %d of process %d: fanotify events that have not been read are lost",
			  s->fd, s->p->pid);
	return file_owner(s, &e->fown);
}

static int fanotify_open(struct restore *r, struct opened_file *f)
{
	const FanotifyFileEntry *e = f->entry->ffy;
	int fd = fanotify_init(e->faflags | FAN_CLOEXEC | FAN_NONBLOCK, e->evflags);

	if (fd < 0)
		return opener_fail(r, errno, f, "fanotify_init");
	f->fd = opener_keep(r, fd);
	return MIN(f->fd, 0);
}

/* A mark has a mask of events, and one of events that are not told. */
static int add_mark(struct restore *r, const struct opened_file *f, const FanotifyMarkEntry *e)
{
	unsigned add =
		FAN_MARK_ADD | (e->type == MARK_TYPE__MOUNT ? FAN_MARK_MOUNT : 0) | (e->mflags & FAN_MARK_EVICTABLE);
	unsigned ignore = (e->mflags & FAN_MARK_IGNORE ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK) |
			  (e->mflags & FAN_MARK_IGNORED_SURV_MODIFY);
	_cleanup_close_ int fd = -1;
	char found[PATH_MAX];
	const char *path = e->type == MARK_TYPE__MOUNT && e->me ? e->me->path : NULL;

	if (e->type == MARK_TYPE__INODE && e->ie) {
		int ret = watched_find(r, f, e->s_dev, e->ie->f_handle, found, &fd);

		if (ret)
			return ret;
		path = found;
	}
	if (!path || e->mflags & ~(uint32_t)KNOWN_FLAGS)
		return diag_fail(r->diag, EPROTO, "files.img: the fanotify group with id %u has a damaged mark",
				 f->entry->id);
	if ((e->mask && fanotify_mark(f->fd, add, e->mask, AT_FDCWD, path) < 0) ||
	    (e->ignored_mask && fanotify_mark(f->fd, add | ignore, e->ignored_mask, AT_FDCWD, path) < 0))
		return diag_fail(r->diag, errno, "cannot watch %s again: %s", path, strerror(errno));
	return 0;
}

/* Each event may have opened a file. */
static void drop_events(int fd)
{
	_Alignas(struct fanotify_event_metadata) char buf[4096];
	ssize_t len;

	while ((len = read(fd, buf, sizeof(buf))) > 0) {
		const struct fanotify_event_metadata *m = (void *)buf;

		for (; FAN_EVENT_OK(m, len); m = FAN_EVENT_NEXT(m, len))
			if (m->fd >= 0)
				close(m->fd);
	}
}

static int fanotify_finish(struct restore *r)
{
	int ret = 0;

	for_each_used (r, &fanotify_kind, f) {
		const FanotifyFileEntry *e = f->entry->ffy;

		for (size_t i = 0; i < e->n_mark && ret == 0; i++)
			ret = add_mark(r, f, e->mark[i]);
		drop_events(f->fd);
		if (ret == 0)
			ret = opener_setup(r, f, e->flags, e->fown);
		if (ret < 0)
			break;
	}
	return ret;
}

const struct file_kind fanotify_kind = {
	.type = FD_TYPES__FANOTIFY,
	.name = "fanotify group",
	.member = offsetof(FileEntry, ffy),
	.owner = offsetof(FanotifyFileEntry, fown),
	.flags = offsetof(FanotifyFileEntry, flags),
	.match = fanotify_match,
	.dump = fanotify_dump,
	.open = fanotify_open,
	.finish = fanotify_finish,
};
