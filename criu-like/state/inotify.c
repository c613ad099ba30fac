// SPDX-License-Identifier: GPL-2.0-only
/*
 * inotify(7). The kernel tells the watched inodes by file handles; their paths are found through the handles. Watch
 * numbers are given out in ascending order and not again, so a restore adds and removes watches until the wanted number
 * comes. Events that have not been read are lost, those that the restore makes are dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

#define HANDLE_WORDS 16 /* fh_entry.handle always has so many */
#define WATCH_MAX (1u << 20)

static bool inotify_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:inotify");
}

/* A descriptor of some directory that is mounted from the device. Return: it, or -errno */
static int open_mount(uint32_t dev)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	char where[PATH_MAX];
	unsigned maj, min;
	size_t cap = 0;

	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0) {
		struct stat st;
		int fd;

		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min, where) != 3 || (maj << 20 | min) != dev)
			continue;
		fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && fstat(fd, &st) == 0 && (major(st.st_dev) << 20 | minor(st.st_dev)) == dev)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -ENODEV;
}

/* Open an inode by its handle, O_PATH. Return: a descriptor, or -errno */
static int open_handle(uint32_t dev, int type, const void *bytes, size_t len)
{
	_Alignas(struct file_handle) uint8_t buf[sizeof(struct file_handle) + FDINFO_HANDLE_MAX];
	struct file_handle *h = (struct file_handle *)buf;
	_cleanup_close_ int mount = open_mount(dev);
	int fd;

	if (mount < 0)
		return mount;
	h->handle_bytes = (unsigned)len;
	h->handle_type = type;
	memcpy(h->f_handle, bytes, len);
	fd = open_by_handle_at(mount, h, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int find_path(struct seen *s, const struct fdinfo_watch *w, char *path)
{
	_cleanup_close_ int fd = open_handle(w->dev, w->handle_type, w->handle, w->handle_len);
	char link[32];
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return file_fail(s, -fd, "opening a watched file by its handle");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX - 1);
	if (len < 0)
		return file_fail(s, errno, "reading the name of a watched file");
	path[len] = '\0';
	if (stat(path, &st) < 0 || st.st_ino != w->ino)
		return file_refuse(s, "an inotify instance that watches a deleted file", "remove that watch");
	return 0;
}

static int dump_watch(struct seen *s, const struct fdinfo_watch *w, InotifyWdEntry *e)
{
	FhEntry *h = arena_alloc(s->d->arena, sizeof(*h));
	char path[PATH_MAX];
	int ret = find_path(s, w, path);

	if (ret < 0)
		return ret;
	if (!h)
		return no_memory(s->d->diag);
	fh_entry__init(h);
	inotify_wd_entry__init(e);
	e->i_ino = w->ino;
	e->mask = w->mask;
	e->ignored_mask = w->ignored_mask;
	e->s_dev = w->dev;
	e->wd = w->wd;
	e->f_handle = h;
	h->bytes = (uint32_t)w->handle_len;
	h->type = (uint32_t)w->handle_type;
	h->n_handle = HANDLE_WORDS;
	h->handle = arena_array(s->d->arena, HANDLE_WORDS, sizeof(*h->handle));
	h->path = arena_strdup(s->d->arena, path);
	if (!h->handle || !h->path)
		return no_memory(s->d->diag);
	memcpy(h->handle, w->handle, w->handle_len);
	return 0;
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

/* By its path, or where the images have none by its handle. */
static int add_watch(struct restore *r, const struct opened_file *f, const InotifyWdEntry *e)
{
	const FhEntry *h = e->f_handle;
	_cleanup_close_ int fd = -1;
	char link[32];

	if (e->wd > WATCH_MAX || h->bytes > MIN(h->n_handle * sizeof(uint64_t), FDINFO_HANDLE_MAX))
		return diag_fail(r->diag, EPROTO, "files.img: watch %u of the inotify instance with id %u is damaged",
				 e->wd, f->entry->id);
	if (h->path)
		return watch_path(r, f, e, h->path);
	fd = open_handle(e->s_dev, (int)h->type, h->handle, h->bytes);
	if (fd < 0)
		return opener_fail(r, -fd, f, "opening a watched file by its handle");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return watch_path(r, f, e, link);
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
