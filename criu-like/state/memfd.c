// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd_create(2). The inode (name, size, seals, content) is an entry of memfd.img; each open file of it, and each way
 * that it is mapped, is an entry of files.img. The content is a shared memory object like any other (shmem.c).
 *
 * CRIU takes shared anonymous memory for a memfd by the name of /dev/zero, or /anon_hugepage where it has huge pages;
 * that becomes shared anonymous memory again.
 */
#include "criu-like/state/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/files.h"
#include "criu-like/state/shmem.h"

#define PREFIX "/memfd:"
#define DELETED " (deleted)"
#define HUGETLBFS_MAGIC 0x958458f6
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

struct memfd_inode {
	MemfdInodeEntry entry;
	uint64_t dev, ino;
	uint32_t mapped_id[2]; /* entries of files.img for mappings: to read only, to write; 0: none */
};

struct memfd_table {
	struct memfd_inode **v;
	size_t nr, cap;
};

static bool memfd_match(const struct seen *s)
{
	return memfd_is_name(s->link);
}

bool memfd_is_name(const char *name)
{
	size_t len = strlen(name), tail = strlen(DELETED);

	return !strncmp(name, PREFIX, strlen(PREFIX)) && len > tail && !strcmp(name + len - tail, DELETED);
}

static int fill_inode(struct dump *d, struct memfd_inode *m, int fd, const struct stat *st, const char *link)
{
	MemfdInodeEntry *e = &m->entry;
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;

	memfd_inode_entry__init(e);
	if (seals < 0 || fstatfs(fd, &fs) < 0)
		return diag_fail(d->diag, errno, "cannot look at %s: %s", link, strerror(errno));
	if (fs.f_type == HUGETLBFS_MAGIC)
		return diag_fail(d->diag, EOPNOTSUPP, "%s is of huge pages, which Thaw cannot restore yet", link);
	e->name = arena_strdup(d->arena, link + strlen(PREFIX));
	if (!e->name)
		return no_memory(d->diag);
	e->name[strlen(e->name) - strlen(DELETED)] = '\0';
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->size = (uint64_t)st->st_size;
	e->shmid = (uint32_t)st->st_ino;
	e->seals = (uint32_t)seals;
	e->has_mode = 1;
	e->mode = st->st_mode;
	m->dev = st->st_dev;
	m->ino = st->st_ino;
	return shmem_dump_object(d, e->shmid, fd, PAGE_UP(e->size));
}

/* The inode behind @fd, noted when it is new. */
static int find_inode(struct dump *d, int fd, const char *link, struct memfd_inode **out)
{
	struct memfd_table *t = d->files->memfds;
	struct memfd_inode *m;
	struct stat st;
	int ret;

	if (fstat(fd, &st) < 0)
		return diag_fail(d->diag, errno, "cannot look at %s: %s", link, strerror(errno));
	if (!t)
		t = d->files->memfds = arena_alloc(d->arena, sizeof(*t));
	if (!t)
		return no_memory(d->diag);
	for (size_t i = 0; i < t->nr; i++)
		if (t->v[i]->dev == st.st_dev && t->v[i]->ino == st.st_ino) {
			*out = t->v[i];
			return 0;
		}
	m = arena_alloc(d->arena, sizeof(*m));
	if (!m || grow(&t->v, t->nr, &t->cap, sizeof(*t->v)))
		return no_memory(d->diag);
	ret = fill_inode(d, m, fd, &st, link);
	if (ret)
		return ret;
	t->v[t->nr++] = m;
	m->entry.inode_id = t->nr;
	*out = m;
	return 0;
}

static int new_entry(struct dump *d, FileEntry *fe, const struct memfd_inode *m, uint32_t flags)
{
	MemfdFileEntry *e = arena_alloc(d->arena, sizeof(*e));

	if (!e)
		return no_memory(d->diag);
	memfd_file_entry__init(e);
	e->id = fe->id;
	e->flags = flags;
	e->inode_id = (uint32_t)m->entry.inode_id;
	fe->memfd = e;
	return 0;
}

static int memfd_dump(struct seen *s, FileEntry *fe)
{
	struct memfd_inode *m;
	int ret = find_inode(s->d, s->lfd, s->link, &m);

	if (!ret)
		ret = new_entry(s->d, fe, m, s->flags);
	if (ret)
		return ret;
	fe->memfd->pos = s->info.pos;
	return file_owner(s, &fe->memfd->fown);
}

int memfd_dump_area(struct dump *d, const struct process *p, const struct area *a, uint32_t *id, uint32_t *fdflags)
{
	bool writes = a->shared && a->vm_flags & AREA_VM_MAYWRITE;
	_cleanup_close_ int fd = shmem_open_area(d, p, a);
	struct memfd_inode *m;
	FileEntry *fe;
	int ret = fd < 0 ? fd : find_inode(d, fd, a->name, &m);

	if (ret)
		return ret;
	*fdflags = writes ? O_RDWR : O_RDONLY;
	if (!m->mapped_id[writes]) {
		fe = file_add(d, &memfd_kind);
		if (!fe)
			return no_memory(d->diag);
		ret = new_entry(d, fe, m, *fdflags);
		if (ret)
			return ret;
		fe->memfd->fown = arena_alloc(d->arena, sizeof(*fe->memfd->fown));
		if (!fe->memfd->fown)
			return no_memory(d->diag);
		fown_entry__init(fe->memfd->fown);
		m->mapped_id[writes] = fe->id;
	}
	*id = m->mapped_id[writes];
	return 0;
}

static int memfd_write(struct dump *d)
{
	const struct memfd_table *t = d->files->memfds;
	struct image_writer *w = NULL;
	int ret = t ? image_create(d->dir, IMG_MEMFD_INODE, 0, &w, d->diag) : 0;

	for (size_t i = 0; t && !ret && i < t->nr; i++)
		ret = image_put(w, &t->v[i]->entry);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static void memfd_free_dump(struct file_table *t)
{
	if (t->memfds)
		free(t->memfds->v);
}

struct memfd_store {
	struct {
		MemfdInodeEntry *entry;
		int fd; /* -1: not made yet */
	} * v;
	size_t nr, cap;
};

static int memfd_read(struct restore *r)
{
	struct memfd_store *s = r->files->memfds = arena_alloc(r->arena, sizeof(*s));
	struct image_reader *reader = NULL;
	MemfdInodeEntry *e;
	int ret = 0, more;

	if (!s)
		return no_memory(r->diag);
	if (!image_exists(r->dir, IMG_MEMFD_INODE, 0))
		return 0;
	ret = image_open(r->dir, IMG_MEMFD_INODE, 0, &reader, r->diag);
	while (!ret && (more = image_get(reader, &e)) != 0) {
		if (more < 0) {
			ret = more;
		} else if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v))) {
			image_free(e);
			ret = no_memory(r->diag);
		} else {
			s->v[s->nr].entry = e;
			s->v[s->nr++].fd = -1;
		}
	}
	image_close(reader);
	return ret;
}

/* F_SEAL_SEAL alone is how a memfd without MFD_ALLOW_SEALING looks. */
static int make_inode(struct restore *r, const MemfdInodeEntry *e)
{
	_cleanup_close_ int fd = -1;
	int ret;

	if (!strcmp(e->name, "/dev/zero"))
		return shmem_make(r, e->shmid, PAGE_UP(e->size), 0);
	if (!strcmp(e->name, "/anon_hugepage"))
		return shmem_make(r, e->shmid, PAGE_UP(e->size), MAP_HUGETLB | (e->hugetlb_flag & ~MFD_HUGETLB));
	if (e->hugetlb_flag)
		return diag_fail(r->diag, EOPNOTSUPP, "the memfd %s has huge pages, which is not supported", e->name);
	fd = memfd_create(e->name, MFD_CLOEXEC | (e->seals == F_SEAL_SEAL ? 0 : MFD_ALLOW_SEALING));
	if (fd < 0 || ftruncate(fd, (off_t)e->size) < 0)
		return diag_fail(r->diag, errno, "cannot make the memfd %s of %llu bytes: %s", e->name,
				 (unsigned long long)e->size, strerror(errno));
	ret = shmem_fill(r, e->shmid, fd, PAGE_UP(e->size));
	if (ret)
		return ret;
	if (fchown(fd, e->uid, e->gid) < 0 || (e->has_mode && fchmod(fd, e->mode & 07777) < 0))
		return diag_fail(r->diag, errno, "cannot set owner and mode of the memfd %s: %s", e->name,
				 strerror(errno));
	return TAKE_FD(fd);
}

static int inode_fd(struct restore *r, const struct opened_file *f, const MemfdInodeEntry **entry)
{
	struct memfd_store *s = r->files->memfds;

	for (size_t i = 0; i < s->nr; i++) {
		int fd;

		if (s->v[i].entry->inode_id != f->entry->memfd->inode_id)
			continue;
		*entry = s->v[i].entry;
		if (s->v[i].fd < 0) {
			fd = make_inode(r, s->v[i].entry);
			if (fd < 0)
				return fd;
			s->v[i].fd = opener_keep(r, fd);
		}
		return s->v[i].fd;
	}
	return diag_fail(r->diag, EPROTO, "memfd.img has no inode %u, which file %u needs", f->entry->memfd->inode_id,
			 f->entry->id);
}

/* A new open file of the inode, with its own position and flags. */
static int memfd_open_mapped(struct restore *r, const struct opened_file *f, uint32_t flags)
{
	const MemfdInodeEntry *entry;
	int inode = inode_fd(r, f, &entry), fd;
	char path[32];

	if (inode < 0)
		return inode;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", inode);
	fd = open(path, (int)(flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_LARGEFILE)) | O_CLOEXEC);
	return fd < 0 ? opener_fail(r, errno, f, "open") : fd;
}

static int memfd_open(struct restore *r, struct opened_file *f)
{
	const MemfdFileEntry *e = f->entry->memfd;
	int fd = memfd_open_mapped(r, f, e->flags);

	if (fd < 0)
		return fd;
	f->fd = opener_keep(r, fd);
	if (f->fd < 0)
		return f->fd;
	if (lseek(f->fd, (off_t)e->pos, SEEK_SET) < 0)
		return opener_fail(r, errno, f, "lseek");
	return opener_setup(r, f, e->flags, e->fown);
}

/*
 * Seals come last. F_SEAL_FUTURE_WRITE lets a mapping live that was made before, so all mappings have to be there: the
 * task that has the file adds the seals.
 */
static int memfd_tell(struct restore *r, struct process *p, const FdinfoEntry *e, struct opened_file *f,
		      struct batch *b)
{
	const MemfdInodeEntry *entry;
	int fd = inode_fd(r, f, &entry);

	if (fd < 0)
		return fd;
	if (f->first == p && entry->seals && entry->seals != F_SEAL_SEAL)
		batch_call(b, 0, SYS_fcntl, e->fd, F_ADD_SEALS, entry->seals);
	return 0;
}

static size_t memfd_records(const FileEntry *e)
{
	return 1;
}

static void memfd_free_restore(struct file_opener *o)
{
	for (size_t i = 0; o->memfds && i < o->memfds->nr; i++)
		image_free(o->memfds->v[i].entry);
	if (o->memfds)
		free(o->memfds->v);
}

const struct file_kind memfd_kind = {
	.type = FD_TYPES__MEMFD,
	.name = "memfd",
	.member = offsetof(FileEntry, memfd),
	.owner = offsetof(MemfdFileEntry, fown),
	.flags = offsetof(MemfdFileEntry, flags),
	.match = memfd_match,
	.dump = memfd_dump,
	.write = memfd_write,
	.free_dump = memfd_free_dump,
	.read = memfd_read,
	.open = memfd_open,
	.open_mapped = memfd_open_mapped,
	.tell = memfd_tell,
	.records = memfd_records,
	.free_restore = memfd_free_restore,
};
