// SPDX-License-Identifier: GPL-2.0-only
/*
 * inotify(7). The kernel tells the watched inodes by file handles; their paths are found through the handles. Watch
 * numbers are given out in ascending order and not again, so a restore adds and removes watches until the wanted number
 * comes. Events that have not been read are lost, those that the restore makes are dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/watched.h"

#define WATCH_MAX (1u << 20)

static bool inotify_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:inotify");
}

static int dump_watch(struct seen *s, const struct fdinfo_watch *w, InotifyWdEntry *e)
{
	inotify_wd_entry__init(e);
	e->i_ino = w->ino;
	e->mask = w->mask;
	e->ignored_mask = w->ignored_mask;
	e->s_dev = w->dev;
	e->wd = w->wd;
	return watched_dump(s, w, "an inotify instance", &e->f_handle);
}

static int inotify_dump(struct seen *s, FileEntry *fe)
{
	InotifyFileEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	InotifyWdEntry *w = arena_array(s->d->arena, s->info.nr_watches + 1, sizeof(*w));
	int unread = 0;

	if (e)
		inotify_file_entry__init(e);
	if (!e || !w || !(e->wd = arena_array(s->d->arena, s->info.nr_watches + 1, sizeof(*e->wd))))
		return no_memory(s->d->diag);
	e->id = fe->id;
	e->flags = s->flags;
	fe->ify = e;
	for (; e->n_wd < s->info.nr_watches; e->n_wd++, w++) {
		int ret = dump_watch(s, &s->info.watches[e->n_wd], w);

		if (ret < 0)
			return ret;
		e->wd[e->n_wd] = w;
	}
	if (ioctl(s->lfd, FIONREAD, &unread) == 0 && unread)
		diag_warn(s->d->diag, "descriptor %d of process %d: inotify events that have not been read are lost",
			  s->fd, s->p->pid);
	return file_owner(s, &e->fown);
}

static int inotify_open(struct restore *r, struct opened_file *f)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return opener_fail(r, errno, f, "inotify_init1");
	f->fd = opener_keep(r, fd);
	return MIN(f->fd, 0);
}

static int by_number(const void *a, const void *b)
{
	const InotifyWdEntry *x = *(InotifyWdEntry *const *)a, *y = *(InotifyWdEntry *const *)b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

static int watch_path(struct restore *r, const struct opened_file *f, const InotifyWdEntry *e, const char *path)
{
	int wd = inotify_add_watch(f->fd, path, e->mask);

	while (wd >= 0 && (uint32_t)wd < e->wd) {
		inotify_rm_watch(f->fd, wd);
		wd = inotify_add_watch(f->fd, path, e->mask);
	}
	if (wd < 0)
		return diag_fail(r->diag, errno, "cannot watch %s again: %s", path, strerror(errno));
	if ((uint32_t)wd != e->wd)
		return diag_fail(r->diag, EPROTO,
				 "the inotify instance with id %u: watch %u cannot have its number again", f->entry->id,
				 e->wd);
	return 0;
}

static int add_watch(struct restore *r, const struct opened_file *f, const InotifyWdEntry *e)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int ret;

	if (e->wd > WATCH_MAX)
		return diag_fail(r->diag, EPROTO, "files.img: watch %u of the inotify instance with id %u is damaged",
				 e->wd, f->entry->id);
	ret = watched_find(r, f, e->s_dev, e->f_handle, path, &fd);
	return ret ? ret : watch_path(r, f, e, path);
}

/* All other files have been opened, so few events come of that. What has come is dropped. */
static int set_watches(struct restore *r, struct opened_file *f)
{
	InotifyFileEntry *e = f->entry->ify;
	char events[4096];
	int ret = 0;

	if (e->n_wd)
		qsort(e->wd, e->n_wd, sizeof(*e->wd), by_number);
	for (size_t i = 0; i < e->n_wd && ret == 0; i++)
		ret = add_watch(r, f, e->wd[i]);
	while (ret == 0 && read(f->fd, events, sizeof(events)) > 0)
		;
	return ret < 0 ? ret : opener_setup(r, f, e->flags, e->fown);
}

static int inotify_finish(struct restore *r)
{
	int ret = 0;

	for_each_used (r, &inotify_kind, f) {
		ret = set_watches(r, f);
		if (ret < 0)
			break;
	}
	return ret;
}

const struct file_kind inotify_kind = {
	.type = FD_TYPES__INOTIFY,
	.name = "inotify instance",
	.member = offsetof(FileEntry, ify),
	.owner = offsetof(InotifyFileEntry, fown),
	.flags = offsetof(InotifyFileEntry, flags),
	.match = inotify_match,
	.dump = inotify_dump,
	.open = inotify_open,
	.finish = inotify_finish,
};
