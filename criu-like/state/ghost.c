// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/ghost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/dead.h"
#include "criu-like/state/link_remap.h"

#define CHUNK_MAX 65536

/* Dump: a deleted file. */
struct ghost {
	struct ghost *next;
	uint32_t id;
	struct stat st;
	const char *name;
	const char *path; /* where it can be opened as long as the process is frozen */
};

struct remap {
	struct remap *next;
	RemapFilePathEntry entry;
};

struct ghost_table {
	struct idmap by_ino; /* mixed with the device -> struct ghost; a clash makes two copies, and is refused */
	struct ghost *all, **last;
	struct remap *remaps, **last_remap;
	uint32_t last_id;
};

static struct ghost_table *get_table(struct file_table *t)
{
	struct ghost_table *g = t->ghosts ? t->ghosts : calloc(1, sizeof(*g));

	if (g && !t->ghosts) {
		g->last = &g->all;
		g->last_remap = &g->remaps;
	}
	t->ghosts = g;
	return g;
}

static struct ghost *new_ghost(struct dump *d, const struct process *p, const char *link, const char *name,
			       const struct stat *st)
{
	struct ghost_table *t = d->files->ghosts;
	struct ghost *g = arena_alloc(d->arena, sizeof(*g));
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, link);
	if (!g || !(g->path = arena_strdup(d->arena, path)) || !(g->name = arena_strdup(d->arena, name)))
		return NULL;
	g->id = ++t->last_id;
	g->st = *st;
	*t->last = g;
	t->last = &g->next;
	return g;
}

static int add_remap(struct dump *d, uint32_t id, uint32_t remap_id, RemapType type)
{
	struct ghost_table *t = d->files->ghosts;
	struct remap *m = arena_alloc(d->arena, sizeof(*m));

	if (!m)
		return no_memory(d->diag);
	remap_file_path_entry__init(&m->entry);
	m->entry.orig_id = id;
	m->entry.remap_id = remap_id;
	m->entry.has_remap_type = true;
	m->entry.remap_type = type;
	*t->last_remap = m;
	t->last_remap = &m->next;
	return 0;
}

int ghost_note_remap(struct dump *d, uint32_t id, uint32_t remap_id, RemapType type)
{
	return get_table(d->files) ? add_remap(d, id, remap_id, type) : no_memory(d->diag);
}

int ghost_note_linked(struct dump *d, uint32_t id, uint32_t link_id)
{
	return ghost_note_remap(d, id, link_id, REMAP_TYPE__LINKED);
}

int ghost_note(struct dump *d, const struct process *p, const char *link, const char *name, const struct stat *st,
	       uint32_t id)
{
	struct ghost_table *t = get_table(d->files);
	uint64_t key = st->st_ino ^ (uint64_t)st->st_dev << 44;
	struct ghost *g;

	if (!t)
		return no_memory(d->diag);
	if (d->opt->ghost_limit && (uint64_t)st->st_blocks * 512 > d->opt->ghost_limit)
		return diag_fail(
			d->diag, EFBIG,
			"%s of process %d is the deleted file %s with %llu bytes: raise --ghost-limit, or close it",
			link, p->pid, name, (unsigned long long)st->st_blocks * 512);
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISFIFO(st->st_mode))
		return diag_fail(d->diag, ENOTSUP, "%s of process %d is %s, a deleted device or link: close it", link,
				 p->pid, name);
	g = idmap_get(&t->by_ino, key);
	if (g && (g->st.st_ino != st->st_ino || g->st.st_dev != st->st_dev))
		return diag_fail(d->diag, ENOTSUP, "two deleted files, %s and %s, cannot be told apart: close one",
				 name, g->name);
	if (!g && (!(g = new_ghost(d, p, link, name, st)) || idmap_put(&t->by_ino, key, g) < 0))
		return no_memory(d->diag);
	return add_remap(d, id, g->id, REMAP_TYPE__GHOST);
}

static int ghost_fail(struct dump *d, const struct ghost *g, int code)
{
	return diag_fail(d->diag, code, "cannot copy the deleted file %s: %s", g->name, strerror(code));
}

static int write_run(struct dump *d, const struct ghost *g, struct image_writer *w, int fd, off_t off, off_t end)
{
	uint8_t buf[CHUNK_MAX];

	while (off < end) {
		GhostChunkEntry e = GHOST_CHUNK_ENTRY__INIT;
		ssize_t n = full_pread(fd, buf, (size_t)MIN(end - off, (off_t)CHUNK_MAX), off);
		int ret;

		if (n <= 0)
			return ghost_fail(d, g, n < 0 ? (int)-n : EIO);
		e.len = (uint64_t)n;
		e.off = (uint64_t)off;
		ret = image_put(w, &e);
		if (ret == 0)
			ret = image_put_raw(w, buf, (size_t)n);
		if (ret < 0)
			return ret;
		off += n;
	}
	return 0;
}

/* All that is no hole. */
static int write_content(struct dump *d, const struct ghost *g, struct image_writer *w)
{
	_cleanup_close_ int fd = open(g->path, O_RDONLY | O_CLOEXEC);
	off_t off = 0, end;

	if (fd < 0)
		return ghost_fail(d, g, errno);
	while ((off = lseek(fd, off, SEEK_DATA)) >= 0) {
		int ret;

		end = lseek(fd, off, SEEK_HOLE);
		if (end < 0)
			return ghost_fail(d, g, errno);
		ret = write_run(d, g, w, fd, off, end);
		if (ret < 0)
			return ret;
		off = end;
	}
	return errno == ENXIO ? 0 : ghost_fail(d, g, errno);
}

static int write_entries(struct dump *d, const struct ghost *g, struct image_writer *w)
{
	const struct stat *st = &g->st;
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval atim = TIMEVAL__INIT, mtim = TIMEVAL__INIT;
	int ret;

	e.uid = st->st_uid;
	e.gid = st->st_gid;
	e.mode = st->st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = (uint32_t)(major(st->st_dev) << 20 | minor(st->st_dev));
	e.ino = st->st_ino;
	atim.tv_sec = (uint64_t)st->st_atim.tv_sec;
	atim.tv_usec = (uint64_t)st->st_atim.tv_nsec / 1000;
	mtim.tv_sec = (uint64_t)st->st_mtim.tv_sec;
	mtim.tv_usec = (uint64_t)st->st_mtim.tv_nsec / 1000;
	e.atim = &atim;
	e.mtim = &mtim;
	e.has_chunks = e.has_size = e.chunks = S_ISREG(st->st_mode);
	e.size = e.has_size ? (uint64_t)st->st_size : 0;
	ret = image_put(w, &e);
	return ret < 0 || !e.chunks ? ret : write_content(d, g, w);
}

static int write_remaps(struct dump *d, const struct remap *m, struct image_writer *w)
{
	int ret = 0;

	for (; m && ret == 0; m = m->next)
		ret = image_put(w, &m->entry);
	return ret;
}

static int end_image(struct image_writer *w, int ret)
{
	if (ret == 0)
		return image_finish(w);
	image_abandon(w);
	return ret;
}

int ghost_write(struct dump *d)
{
	const struct ghost_table *t = d->files->ghosts;
	struct image_writer *w;
	int ret;

	if (!t)
		return 0;
	for (const struct ghost *g = t->all; g; g = g->next) {
		ret = image_create(d->dir, IMG_GHOST_FILE, g->id, &w, d->diag);
		if (ret == 0)
			ret = end_image(w, write_entries(d, g, w));
		if (ret < 0)
			return ret;
	}
	ret = image_create(d->dir, IMG_REMAP_FPATH, 0, &w, d->diag);
	return ret < 0 ? ret : end_image(w, write_remaps(d, t->remaps, w));
}

void ghost_free_dump(struct file_table *t)
{
	if (t->ghosts)
		idmap_free(&t->ghosts->by_ino);
	free(t->ghosts);
}

/* Restore: a deleted file. Several entries of files.img may lead to it. */
struct ghost_again {
	uint32_t id;
	int fd; /* once it has been made */
};

static int read_remap(struct restore *r, const RemapFilePathEntry *m, struct idmap *by_ghost)
{
	struct ghost_again *g = idmap_get(by_ghost, m->remap_id);

	if (!m->has_remap_type || m->remap_type == REMAP_TYPE__LINKED)
		return link_remap_read(r, m->orig_id, m->remap_id);
	if (m->remap_type == REMAP_TYPE__PROCFS)
		return dead_read(r, m->remap_id);
	if (!g) {
		g = arena_alloc(r->arena, sizeof(*g));
		if (!g || idmap_put(by_ghost, m->remap_id, g) < 0)
			return no_memory(r->diag);
		*g = (struct ghost_again){ .id = m->remap_id, .fd = -1 };
	}
	return idmap_put(&r->files->ghosts, m->orig_id, g) < 0 ? no_memory(r->diag) : 0;
}

int ghost_read(struct restore *r)
{
	struct idmap by_ghost = { 0 };
	struct image_reader *reader;
	RemapFilePathEntry *m;
	int ret;

	if (!image_exists(r->dir, IMG_REMAP_FPATH, 0))
		return 0;
	ret = image_open(r->dir, IMG_REMAP_FPATH, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &m)) > 0) {
		ret = read_remap(r, m, &by_ghost);
		image_free(m);
		if (ret < 0)
			break;
	}
	image_close(reader);
	idmap_free(&by_ghost);
	return ret;
}

bool ghost_has(const struct restore *r, uint32_t id)
{
	return idmap_get(&r->files->ghosts, id) != NULL;
}

/* Make a new file of the kind at @path. Return: a descriptor, or -errno */
static int make_at(const char *path, const GhostFileEntry *e)
{
	int fd, err;

	if (S_ISREG(e->mode))
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	else if ((S_ISDIR(e->mode) ? mkdir(path, 0700) : mkfifo(path, 0600)) < 0)
		return -errno;
	else
		fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	err = errno;
	if (!S_ISREG(e->mode))
		remove(path);
	return -err;
}

/* The file at its old name, so that /proc shows that, or beside it if the name has been taken; and deleted again. */
static int make_deleted(struct restore *r, const RegFileEntry *reg, const GhostFileEntry *e)
{
	char path[PATH_MAX];
	int fd = -EEXIST;

	for (unsigned i = 0; fd == -EEXIST && i < 1000; i++) {
		int len = i ? snprintf(path, sizeof(path), "%s.thaw-%u", reg->name, i)
			    : snprintf(path, sizeof(path), "%s", reg->name);

		fd = len < (int)sizeof(path) ? make_at(path, e) : -ENAMETOOLONG;
	}
	if (fd < 0)
		return diag_fail(r->diag, -fd, "cannot make the deleted file %s again: %s", reg->name, strerror(-fd));
	if (lchown(path, e->uid, e->gid) < 0 || chmod(path, e->mode & 07777) < 0 || remove(path) < 0) {
		int code = errno;

		remove(path);
		close(fd);
		return diag_fail(r->diag, code, "cannot make the deleted file %s again: %s", reg->name, strerror(code));
	}
	return fd;
}

static int fill_chunk(struct restore *r, struct image_reader *reader, int fd, const GhostChunkEntry *e, uint64_t size)
{
	uint8_t buf[CHUNK_MAX];
	uint64_t done = 0;

	if (e->len > size || e->off > size - e->len)
		return diag_fail(r->diag, EPROTO, "a piece of a deleted file is beyond its end (offset %llu)",
				 (unsigned long long)e->off);
	while (done < e->len) {
		size_t n = (size_t)MIN(e->len - done, (uint64_t)CHUNK_MAX);
		int ret = image_get_raw(reader, buf, n);

		if (ret < 0)
			return ret;
		ret = full_pwrite(fd, buf, n, (off_t)(e->off + done));
		if (ret < 0)
			return diag_fail(r->diag, -ret, "cannot fill a deleted file: %s", strerror(-ret));
		done += n;
	}
	return 0;
}

static int fill_pieces(struct restore *r, struct image_reader *reader, int fd, uint64_t size)
{
	GhostChunkEntry *chunk;
	int ret;

	if (ftruncate(fd, (off_t)size) < 0)
		return diag_fail(r->diag, errno, "cannot fill a deleted file: %s", strerror(errno));
	while ((ret = image_get(reader, &chunk)) > 0) {
		ret = fill_chunk(r, reader, fd, chunk, size);
		image_free(chunk);
		if (ret < 0)
			return ret;
	}
	return ret;
}

/* The content comes in pieces, or all the rest of the image is the content. */
static int fill(struct restore *r, struct image_reader *reader, int fd, const GhostFileEntry *e)
{
	GhostChunkEntry whole = GHOST_CHUNK_ENTRY__INIT;
	int ret;

	whole.len = image_raw_left(reader);
	ret = e->chunks ? fill_pieces(r, reader, fd, e->size) : fill_chunk(r, reader, fd, &whole, whole.len);
	if (ret == 0 && e->atim && e->mtim) {
		const struct timespec times[2] = {
			{ (time_t)e->atim->tv_sec, (long)e->atim->tv_usec * 1000 },
			{ (time_t)e->mtim->tv_sec, (long)e->mtim->tv_usec * 1000 },
		};

		futimens(fd, times);
	}
	return ret;
}

static int make(struct restore *r, struct ghost_again *g, const RegFileEntry *reg, struct image_reader *reader)
{
	GhostFileEntry *e;
	int ret = image_get(reader, &e), fd;

	if (ret <= 0)
		return ret < 0 ? ret
			       : diag_fail(r->diag, EPROTO, "the image of the deleted file %s is empty", reg->name);
	fd = make_deleted(r, reg, e);
	if (fd >= 0)
		fd = opener_keep(r, fd);
	ret = fd >= 0 && S_ISREG(e->mode) ? fill(r, reader, fd, e) : MIN(fd, 0);
	image_free(e);
	if (ret == 0)
		g->fd = fd;
	return ret;
}

int ghost_open(struct restore *r, const RegFileEntry *e, uint32_t flags)
{
	struct ghost_again *g = idmap_get(&r->files->ghosts, e->id);
	struct image_reader *reader;
	char path[32];
	int fd;

	if (g->fd < 0) {
		int ret = image_open(r->dir, IMG_GHOST_FILE, g->id, &reader, r->diag);

		if (ret == 0) {
			ret = make(r, g, e, reader);
			image_close(reader);
		}
		if (ret < 0)
			return ret;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->fd);
	fd = open(path, (int)((flags & ~(uint32_t)O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY));
	return fd < 0 ? diag_fail(r->diag, errno, "cannot open the deleted file %s: %s", e->name, strerror(errno)) : fd;
}

void ghost_free_restore(struct file_opener *o)
{
	idmap_free(&o->ghosts);
	idmap_free(&o->links);
	idmap_free(&o->dead);
}
