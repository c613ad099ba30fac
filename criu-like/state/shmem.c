// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared memory objects: shared anonymous memory (mmap(2) with MAP_SHARED | MAP_ANONYMOUS), and what memfds hold.
 *
 * The kernel keeps it in an unlinked file of its own; its inode number is the object's number in the images. The pages
 * are read from the object itself, through /proc/PID/map_files: a page table shows only what one process has touched.
 * In a restore the restorer makes each object, fills it, and lets all tasks inherit a descriptor of it to map. With
 * --lazy-pages Thaw's own server fills it instead, if nobody can get at it but by the VMAs that are registered: a
 * read(2) from an object whose pages are missing gives zeroes and waits for nobody. So memfds, which have descriptors,
 * and segments of System V, which anybody may attach, are filled here.
 */
#include "criu-like/state/shmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/files.h"
#include "criu-like/state/page_out.h"
#include "criu-like/state/vma.h"
#include "images/shared.h"
#include "images/pagestore.h"
#include "lazy-pages/wire/restore_socket.h"

/* In the number of an object of huge pages: their file system counts inodes by itself. */
#define HUGE_OBJECT (1ULL << 32)

#define HUGE_FLAGS (MAP_HUGETLB | (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT)

struct shmem_dump {
	struct {
		uint64_t shmid;
		uint64_t size; /* bytes; of anonymous objects only what is mapped counts */
		int fd;
	} * v;
	size_t nr, cap;
};

bool shmem_is_anonymous(const struct area *a)
{
	return a->shared && !strcmp(a->name, "/dev/zero (deleted)");
}

int shmem_open_area(struct dump *d, const struct process *p, const struct area *a)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)a->start, (unsigned long long)a->end);
	fd = openat(p->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_fail(d->diag, errno,
				 "cannot open the shared memory at 0x%llx of process %d: %s (map_files needs "
				 "CAP_CHECKPOINT_RESTORE)",
				 (unsigned long long)a->start, p->pid, strerror(errno));
	return fd;
}

int shmem_dump_object(struct dump *d, uint64_t shmid, int fd, uint64_t size)
{
	struct shmem_dump *s = d->shmem;
	size_t i = 0;

	if (!s)
		s = d->shmem = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	while (i < s->nr && s->v[i].shmid != shmid)
		i++;
	if (i == s->nr) {
		if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v)))
			return -ENOMEM;
		s->v[i].shmid = shmid;
		s->v[i].size = 0;
		s->v[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (s->v[i].fd < 0)
			return diag_fail(d->diag, errno, "cannot duplicate a descriptor: %s", strerror(errno));
		s->nr++;
	}
	s->v[i].size = MAX(s->v[i].size, size);
	return 0;
}

int shmem_dump_area(struct dump *d, const struct process *p, const struct area *a, uint64_t *shmid)
{
	_cleanup_close_ int fd = shmem_open_area(d, p, a);

	*shmid = a->ino;
	if (a->vm_flags & AREA_VM_HUGETLB)
		*shmid |= HUGE_OBJECT;
	return fd < 0 ? fd : shmem_dump_object(d, *shmid, fd, a->pgoff + (a->end - a->start));
}

/* The pieces that hold data, from lseek(2). */
static int find_data(int fd, uint64_t end, struct copy_range **ranges, size_t *nr)
{
	size_t cap = 0;
	off_t at = 0;

	while ((uint64_t)at < end) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if (grow(ranges, *nr, &cap, sizeof(**ranges)))
			return -ENOMEM;
		if ((uint64_t)data < end)
			(*ranges)[(*nr)++] = (struct copy_range){ .start = PAGE_DOWN(data),
								  .end = MIN(PAGE_UP(hole), end),
								  .flags = PE_PRESENT,
								  .skip_zero = true };
		at = hole;
	}
	return 0;
}

static int dump_object(struct dump *d, int fd, uint64_t shmid, uint64_t mapped)
{
	struct pagemap map = { .pages_id = ++d->last_pages_id };
	_cleanup_free_ struct copy_range *ranges = NULL;
	struct page_copy copy = { .is_file = true, .fd = fd, .map = &map };
	char what[64];
	int ret = find_data(fd, mapped, &ranges, &copy.nr);

	snprintf(what, sizeof(what), "shared object %llu", (unsigned long long)shmid);
	copy.what = what;
	copy.ranges = ranges;
	if (ret)
		return diag_fail(d->diag, -ret, "cannot find the data of %s: %s", what, strerror(-ret));
	for (size_t i = 0; i < copy.nr; i++)
		d->stats.shpages_scanned += (ranges[i].end - ranges[i].start) / PAGE_SIZE;
	ret = page_out_run(d, IMG_PAGEMAP_SHMEM, shmid, &copy);
	d->stats.shpages_written += map.nr_present;
	pagemap_free(&map);
	return ret;
}

int shmem_dump_pages(struct dump *d)
{
	struct shmem_dump *s = d->shmem;

	for (size_t i = 0; s && i < s->nr; i++) {
		int ret = dump_object(d, s->v[i].fd, s->v[i].shmid, s->v[i].size);

		if (ret)
			return ret;
	}
	return 0;
}

void shmem_dump_free(struct dump *d)
{
	for (size_t i = 0; d->shmem && i < d->shmem->nr; i++)
		close(d->shmem->v[i].fd);
	if (d->shmem)
		free(d->shmem->v);
	free(d->shmem);
	d->shmem = NULL;
}

/* Objects with fewer pages are filled at once. */
#define LAZY_MIN_PAGES 64

struct shared_object {
	uint64_t shmid, size;
	uint32_t flags;	      /* MAP_* of huge pages */
	bool locked, trimmed; /* some VMA of it is locked, or ends before its end */
	bool lazy;	      /* a lazy-pages server fills it */
	int fd;
};

struct shmem_restore {
	struct shared_object *v;
	size_t nr, cap;
};

static int note_vma(struct shmem_restore *s, const VmaEntry *v)
{
	uint64_t size = v->pgoff + (v->end - v->start);
	size_t i = 0;

	while (i < s->nr && s->v[i].shmid != v->shmid)
		i++;
	if (i == s->nr) {
		if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v)))
			return -ENOMEM;
		s->v[s->nr++] = (struct shared_object){ .shmid = v->shmid, .flags = v->flags & HUGE_FLAGS, .fd = -1 };
	}
	s->v[i].size = MAX(s->v[i].size, size);
	s->v[i].locked |= v->flags & MAP_LOCKED;
	return 0;
}

/* Does the next VMA go on with the same object? */
static bool goes_on(const MmEntry *mm, size_t i)
{
	const VmaEntry *v = mm->vmas[i], *next = i + 1 < mm->n_vmas ? mm->vmas[i + 1] : NULL;

	return next && shared_is_anonymous(next) && next->shmid == v->shmid && next->start == v->end &&
	       next->pgoff == v->pgoff + (v->end - v->start);
}

/* A VMA that ends before its object does can grow, and a lazy-pages server would not know where it leads then. */
static void note_trimmed(struct shmem_restore *s, const MmEntry *mm)
{
	for (size_t i = 0; mm && i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];

		for (size_t k = 0; k < s->nr && shared_is_anonymous(v); k++)
			if (s->v[k].shmid == v->shmid && v->pgoff + (v->end - v->start) < s->v[k].size)
				s->v[k].trimmed |= !goes_on(mm, i);
	}
}

/* Can a lazy-pages server fill the object, and is it worth it? */
static int choose_lazy(struct restore *r, struct shared_object *o)
{
	struct pagemap map;
	int ret;

	if (!r->lazy_kin || o->flags & MAP_HUGETLB || o->locked || o->trimmed)
		return 0;
	ret = pagemap_read_whole(r->dir, IMG_PAGEMAP_SHMEM, o->shmid, &map, r->diag);
	if (ret)
		return ret;
	o->lazy = map.nr_present >= LAZY_MIN_PAGES;
	for (size_t i = 0; i < map.nr; i++)
		if (map.runs[i].flags & PE_PARENT || map.runs[i].vaddr + map.runs[i].nr_pages * PAGE_SIZE > o->size)
			o->lazy = false;
	pagemap_free(&map);
	return 0;
}

int shmem_fill_memory(struct restore *r, uint64_t shmid, uint64_t size, void *mem)
{
	uint8_t *bytes = mem;
	struct pagemap map;
	struct page_store *store = NULL;
	int ret = pagemap_read_whole(r->dir, IMG_PAGEMAP_SHMEM, shmid, &map, r->diag);

	if (ret)
		return ret;
	ret = page_store_open(r->dir, &map, &store, r->diag);
	for (size_t i = 0; !ret && i < map.nr; i++) {
		const struct page_run *run = &map.runs[i];
		const void *data;

		if (!(run->flags & PE_PRESENT))
			continue;
		if (run->vaddr >= size || run->nr_pages > (size - run->vaddr) / PAGE_SIZE) {
			ret = diag_fail(r->diag, EPROTO,
					"pagemap-shmem-%llu.img is damaged: no VMA maps its pages at 0x%llx",
					(unsigned long long)shmid, (unsigned long long)run->vaddr);
			break;
		}
		ret = page_store_get(store, run, 0, run->nr_pages, bytes + run->vaddr, &data, r->diag);
		if (!ret && data != bytes + run->vaddr)
			memcpy(bytes + run->vaddr, data, run->nr_pages * PAGE_SIZE);
	}
	page_store_close(store);
	pagemap_free(&map);
	return ret;
}

/* A descriptor of the object that @mem maps, out of the way of those that the tasks will have. */
static int descriptor_of(struct restore *r, const void *mem, uint64_t size)
{
	_cleanup_close_ int fd = -1;
	char path[96];
	int new;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)mem, (unsigned long)mem + size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return diag_fail(r->diag, errno,
				 "cannot open shared memory: %s (map_files needs CAP_CHECKPOINT_RESTORE)",
				 strerror(errno));
	new = files_dup(r, fd);
	return new < 0 ? diag_fail(r->diag, -new, "no descriptor for shared memory: %s", strerror(-new)) : new;
}

/* As shmem_make(), empty if @lazy. */
static int make(struct restore *r, uint64_t shmid, uint64_t size, uint32_t flags, bool lazy)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | (int)flags, -1, 0);
	int ret;

	if (mem == MAP_FAILED)
		return diag_fail(r->diag, errno, "cannot make shared memory of %llu bytes%s: %s",
				 (unsigned long long)size, flags & MAP_HUGETLB ? " in huge pages" : "",
				 strerror(errno));
	ret = lazy ? 0 : shmem_fill_memory(r, shmid, size, mem);
	if (!ret)
		ret = descriptor_of(r, mem, size);
	munmap(mem, size);
	return ret;
}

int shmem_make(struct restore *r, uint64_t shmid, uint64_t size, uint32_t flags)
{
	return make(r, shmid, size, flags, false);
}

int shmem_fill(struct restore *r, uint64_t shmid, int fd, uint64_t size)
{
	void *mem;
	int ret;

	if (!size)
		return 0;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return diag_fail(r->diag, errno, "cannot map shared memory of %llu bytes", (unsigned long long)size);
	ret = shmem_fill_memory(r, shmid, size, mem);
	munmap(mem, size);
	return ret;
}

int shmem_restore(struct restore *r)
{
	struct shmem_restore *s = r->shmem = calloc(1, sizeof(*s));
	int ret = s ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		const MmEntry *mm = r->tree.procs[i]->mm;

		for (size_t k = 0; mm && !ret && k < mm->n_vmas; k++)
			if (shared_is_anonymous(mm->vmas[k]))
				ret = note_vma(s, mm->vmas[k]);
	}
	for (size_t i = 0; !ret && i < r->tree.nr; i++)
		note_trimmed(s, r->tree.procs[i]->mm);
	for (size_t i = 0; !ret && i < s->nr; i++) {
		struct shared_object *o = &s->v[i];

		ret = choose_lazy(r, o);
		if (!ret)
			o->fd = make(r, o->shmid, o->size, o->flags, o->lazy);
		ret = ret ?: MIN(o->fd, 0);
	}
	return ret;
}

bool shmem_is_lazy(const struct restore *r, const VmaEntry *v)
{
	for (size_t i = 0; shared_is_anonymous(v) && i < r->shmem->nr; i++)
		if (r->shmem->v[i].shmid == v->shmid)
			return r->shmem->v[i].lazy;
	return false;
}

int shmem_hand_over(struct restore *r)
{
	for (size_t i = 0; i < r->shmem->nr; i++) {
		const struct shared_object *o = &r->shmem->v[i];
		int ret = o->lazy ? restore_socket_send_object(r->lazy_conn, o->shmid, o->fd) : 0;

		if (ret)
			return diag_fail(r->diag, -ret, "the lazy-pages server does not take shared memory %llu: %s",
					 (unsigned long long)o->shmid, strerror(-ret));
	}
	return 0;
}

int shmem_fd(struct restore *r, uint64_t shmid)
{
	for (size_t i = 0; i < r->shmem->nr; i++)
		if (r->shmem->v[i].shmid == shmid)
			return r->shmem->v[i].fd;
	return diag_fail(r->diag, EPROTO, "no image holds the shared memory %llu", (unsigned long long)shmid);
}

void shmem_close(struct restore *r)
{
	for (size_t i = 0; r->shmem && i < r->shmem->nr; i++)
		cleanup_close(&r->shmem->v[i].fd);
	if (r->shmem)
		free(r->shmem->v);
	free(r->shmem);
	r->shmem = NULL;
}
