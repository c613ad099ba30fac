// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"

#define HANDLE_WORDS 16 /* fh_entry.handle always has so many */

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

static int find_path(struct seen *s, const struct fdinfo_watch *w, const char *what, char *path)
{
	_cleanup_close_ int fd = open_handle(w->dev, w->handle_type, w->handle, w->handle_len);
	char link[32], deleted[64];
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return file_fail(s, -fd, "opening a watched file by its handle");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, PATH_MAX - 1);
	if (len < 0)
		return file_fail(s, errno, "reading the name of a watched file");
	path[len] = '\0';
	if (stat(path, &st) == 0 && st.st_ino == w->ino)
		return 0;
	snprintf(deleted, sizeof(deleted), "%s that watches a deleted file", what);
	return file_refuse(s, deleted, "remove that watch");
}

int watched_dump(struct seen *s, const struct fdinfo_watch *w, const char *what, FhEntry **out)
{
	FhEntry *h = arena_alloc(s->d->arena, sizeof(*h));
	char path[PATH_MAX];
	int ret = find_path(s, w, what, path);

	if (ret < 0)
		return ret;
	if (!h)
		return no_memory(s->d->diag);
	fh_entry__init(h);
	h->bytes = (uint32_t)w->handle_len;
	h->type = (uint32_t)w->handle_type;
	h->n_handle = HANDLE_WORDS;
	h->handle = arena_array(s->d->arena, HANDLE_WORDS, sizeof(*h->handle));
	h->path = arena_strdup(s->d->arena, path);
	if (!h->handle || !h->path)
		return no_memory(s->d->diag);
	memcpy(h->handle, w->handle, w->handle_len);
	*out = h;
	return 0;
}

/* By its path, or where the images have none by its handle. */
int watched_find(struct restore *r, const struct opened_file *f, uint32_t dev, const FhEntry *h, char *path, int *fd)
{
	*fd = -1;
	if (h->bytes > MIN(h->n_handle * sizeof(uint64_t), FDINFO_HANDLE_MAX) ||
	    (h->path && strlen(h->path) >= PATH_MAX))
		return diag_fail(r->diag, EPROTO, "files.img: the %s with id %u has a damaged watch", f->kind->name,
				 f->entry->id);
	if (h->path) {
		strcpy(path, h->path);
		return 0;
	}
	*fd = open_handle(dev, (int)h->type, h->handle, h->bytes);
	if (*fd < 0)
		return opener_fail(r, -*fd, f, "opening a watched file by its handle");
	snprintf(path, PATH_MAX, "/proc/self/fd/%d", *fd);
	return 0;
}
