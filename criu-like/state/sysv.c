// SPDX-License-Identifier: GPL-2.0-only
/*
 * System V shared memory.
 *
 * The kernel shows an attached segment as a mapping whose inode number is the segment's number. Dumped processes leave
 * their segments behind (unless they were removed while attached); a restore takes such a segment if nobody is attached
 * and fills it again, or makes one with the same number: /proc/sys/kernel/shm_next_id says which comes next. Tasks
 * attach by shmat(2), so that shmdt(2) and the count of attachments are right.
 */
#include "criu-like/state/sysv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/shmem.h"
#include "criu-like/state/vma.h"

#define IPC_IMAGE 1 /* the number in the image's name: an IPC namespace of the dump, here always the host's */
#ifndef SHM_DEST
#define SHM_DEST 01000 /* removed, lives until the last detaches */
#endif

struct sysv_dump {
	IpcShmEntry **v;
	size_t nr, cap;
};

bool sysv_is_area(const struct area *a)
{
	return a->shared && !a->dev_major && !strncmp(a->name, "/SYSV", 5);
}

static int same_namespace(struct dump *d, const struct process *p)
{
	struct stat own, its;

	if (stat("/proc/self/ns/ipc", &own) < 0 || fstatat(p->proc_fd, "ns/ipc", &its, 0) < 0)
		return diag_fail(d->diag, errno, "cannot look at the IPC namespace of process %d", p->pid);
	if (own.st_ino != its.st_ino)
		return diag_fail(d->diag, EOPNOTSUPP,
				 "process %d attaches shared memory of another IPC namespace; dump it from inside that",
				 p->pid);
	return 0;
}

static IpcShmEntry *new_entry(struct dump *d, const struct shmid_ds *ds, int shmid)
{
	IpcShmEntry *e = arena_alloc(d->arena, sizeof(*e));
	IpcDescEntry *desc = arena_alloc(d->arena, sizeof(*desc));

	if (!e || !desc)
		return NULL;
	ipc_shm_entry__init(e);
	ipc_desc_entry__init(desc);
	desc->id = (uint32_t)shmid;
	desc->key = (uint32_t)ds->shm_perm.__key;
	desc->uid = ds->shm_perm.uid;
	desc->gid = ds->shm_perm.gid;
	desc->cuid = ds->shm_perm.cuid;
	desc->cgid = ds->shm_perm.cgid;
	desc->mode = ds->shm_perm.mode;
	e->desc = desc;
	e->size = ds->shm_segsz;
	e->has_in_pagemaps = e->in_pagemaps = 1;
	return e;
}

int sysv_dump_area(struct dump *d, const struct process *p, const struct area *a, uint64_t *shmid)
{
	struct sysv_dump *s = d->sysv;
	_cleanup_close_ int fd = -1;
	struct shmid_ds ds;
	int ret;

	*shmid = a->ino;
	if (!s)
		s = d->sysv = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < s->nr; i++)
		if (s->v[i]->desc->id == a->ino)
			return 0;
	ret = same_namespace(d, p);
	if (ret)
		return ret;
	if (shmctl((int)a->ino, IPC_STAT, &ds) < 0)
		return diag_fail(d->diag, errno, "cannot look at the shared memory segment %llu of process %d: %s",
				 (unsigned long long)a->ino, p->pid, strerror(errno));
	fd = shmem_open_area(d, p, a);
	if (fd < 0)
		return fd;
	if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v)) || !(s->v[s->nr] = new_entry(d, &ds, (int)a->ino)))
		return -ENOMEM;
	s->nr++;
	return shmem_dump_object(d, a->ino, fd, PAGE_UP(ds.shm_segsz));
}

int sysv_write(struct dump *d)
{
	struct image_writer *w = NULL;
	int ret = 0;

	if (!d->sysv || !d->sysv->nr)
		return 0;
	ret = image_create(d->dir, IMG_IPC_SHM, IPC_IMAGE, &w, d->diag);
	for (size_t i = 0; !ret && i < d->sysv->nr; i++)
		ret = image_put(w, d->sysv->v[i]);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

void sysv_dump_free(struct dump *d)
{
	if (d->sysv)
		free(d->sysv->v);
	free(d->sysv);
	d->sysv = NULL;
}

struct segment {
	IpcShmEntry *entry;
	void *mem; /* where we have it attached; NULL: not */
	bool made;
};

struct sysv_restore {
	struct segment *v;
	size_t nr, cap;
};

/* Make a segment with the number that it had. Return: 0, or -errno with a sentence */
static int make_segment(struct restore *r, const IpcShmEntry *e)
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/shm_next_id", O_WRONLY | O_CLOEXEC);
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", e->desc->id), id;

	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return diag_fail(r->diag, errno, "cannot choose the number of a shared memory segment: %s (%s)",
				 strerror(errno),
				 "/proc/sys/kernel/shm_next_id needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN");
	id = shmget((key_t)e->desc->key, e->size, IPC_CREAT | IPC_EXCL | (int)(e->desc->mode & 0777));
	if (id < 0)
		return diag_fail(r->diag, errno, "cannot make the shared memory segment %u (key 0x%x): %s", e->desc->id,
				 e->desc->key,
				 errno == EEXIST ? "another one has that key; remove it with ipcrm" : strerror(errno));
	if (id != (int)e->desc->id) {
		shmctl(id, IPC_RMID, NULL);
		return diag_fail(r->diag, EBUSY, "the kernel gave shared memory segment %u the number %d", e->desc->id,
				 id);
	}
	return 0;
}

static int take_segment(struct restore *r, struct segment *s)
{
	const IpcShmEntry *e = s->entry;
	struct shmid_ds ds;
	int ret;

	if (shmctl((int)e->desc->id, IPC_STAT, &ds) == 0) {
		if (ds.shm_nattch || ds.shm_segsz != e->size || (uint32_t)ds.shm_perm.__key != e->desc->key)
			return diag_fail(r->diag, EBUSY,
					 "the shared memory segment %u is %s; restore in another IPC namespace",
					 e->desc->id, ds.shm_nattch ? "attached by others" : "another one than it was");
	} else {
		ret = make_segment(r, e);
		if (ret)
			return ret;
		s->made = true;
	}
	s->mem = shmat((int)e->desc->id, NULL, 0);
	if (s->mem == (void *)-1) {
		s->mem = NULL;
		return diag_fail(r->diag, errno, "cannot attach the shared memory segment %u: %s", e->desc->id,
				 strerror(errno));
	}
	memset(s->mem, 0, e->size);
	ret = shmem_fill_memory(r, e->desc->id, PAGE_UP(e->size), s->mem);
	if (ret)
		return ret;
	shmctl((int)e->desc->id, IPC_STAT, &ds);
	ds.shm_perm.uid = e->desc->uid;
	ds.shm_perm.gid = e->desc->gid;
	ds.shm_perm.mode = (unsigned short)(e->desc->mode & 0777);
	if (shmctl((int)e->desc->id, IPC_SET, &ds) < 0)
		return diag_fail(r->diag, errno, "cannot give the shared memory segment %u to its owner: %s",
				 e->desc->id, strerror(errno));
	return 0;
}

static int read_segments(struct restore *r, struct sysv_restore *s)
{
	struct image_reader *reader = NULL;
	int ret = image_open(r->dir, IMG_IPC_SHM, IPC_IMAGE, &reader, r->diag), more = 1;

	while (!ret && more) {
		if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v))) {
			ret = -ENOMEM;
			break;
		}
		s->v[s->nr] = (struct segment){ 0 };
		more = image_get(reader, &s->v[s->nr].entry);
		ret = MIN(more, 0);
		s->nr += more > 0;
		if (more > 0 && (!s->v[s->nr - 1].entry->in_pagemaps || s->v[s->nr - 1].entry->has_hugetlb_flag))
			ret = diag_fail(r->diag, EOPNOTSUPP,
					"shared memory segment %u is stored in a way that Thaw cannot read",
					s->v[s->nr - 1].entry->desc->id);
	}
	image_close(reader);
	return ret;
}

int sysv_restore(struct restore *r)
{
	struct sysv_restore *s;
	int ret;

	if (!image_exists(r->dir, IMG_IPC_SHM, IPC_IMAGE))
		return 0;
	s = r->sysv = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	ret = read_segments(r, s);
	for (size_t i = 0; !ret && i < s->nr; i++)
		ret = take_segment(r, &s->v[i]);
	return ret;
}

static const IpcShmEntry *find_segment(const struct restore *r, uint64_t shmid)
{
	for (size_t i = 0; r->sysv && i < r->sysv->nr; i++)
		if (r->sysv->v[i].entry->desc->id == shmid)
			return r->sysv->v[i].entry;
	return NULL;
}

/* A segment that was split (by mprotect, munmap) is attached once, and cut as it was. */
static bool attached_before(const MmEntry *mm, size_t i)
{
	const VmaEntry *v = mm->vmas[i];

	for (size_t k = i; k-- > 0 && mm->vmas[k]->shmid == v->shmid && mm->vmas[k]->status & VMA_SYSVIPC;)
		if (mm->vmas[k]->start - mm->vmas[k]->pgoff == v->start - v->pgoff)
			return true;
	return false;
}

int sysv_tell(struct restore *r, const struct process *p, struct batch *b)
{
	const MmEntry *mm = p->mm;

	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];
		const IpcShmEntry *e;
		uint64_t base = v->start - v->pgoff, at = base, end;

		if (!(v->status & VMA_SYSVIPC) || attached_before(mm, i))
			continue;
		e = find_segment(r, v->shmid);
		if (!e)
			return diag_fail(r->diag, EPROTO, "no image holds the shared memory segment %llu of process %d",
					 (unsigned long long)v->shmid, p->pid);
		end = base + PAGE_UP(e->size);
		batch_call(b, BATCH_MUST, SYS_shmat, v->shmid, base, v->prot & PROT_EXEC ? SHM_EXEC : 0);
		for (size_t k = i; k < mm->n_vmas && mm->vmas[k]->start < end; k++) {
			const VmaEntry *w = mm->vmas[k];

			if (w->status & VMA_SYSVIPC && w->shmid == v->shmid && w->start - w->pgoff == base) {
				if (w->start > at)
					batch_call(b, BATCH_MUST, SYS_munmap, at, w->start - at);
				batch_call(b, BATCH_MUST, SYS_mprotect, w->start, w->end - w->start, w->prot);
				at = w->end;
			}
		}
		if (at < end)
			batch_call(b, BATCH_MUST, SYS_munmap, at, end - at);
	}
	return 0;
}

size_t sysv_tell_detach(const struct restore *r, struct batch *b)
{
	size_t nr = r->sysv ? r->sysv->nr : 0;

	for (size_t i = 0; b && i < nr; i++)
		if (r->sysv->v[i].mem)
			batch_call(b, BATCH_MUST, SYS_shmdt, (uintptr_t)r->sysv->v[i].mem);
	return nr;
}

void sysv_close(struct restore *r, bool failed)
{
	for (size_t i = 0; r->sysv && i < r->sysv->nr; i++) {
		struct segment *s = &r->sysv->v[i];

		if ((failed && s->made) || (!failed && s->entry->desc->mode & SHM_DEST))
			shmctl((int)s->entry->desc->id, IPC_RMID, NULL);
		if (s->mem)
			shmdt(s->mem);
		image_free(s->entry);
	}
	if (r->sysv)
		free(r->sysv->v);
	free(r->sysv);
	r->sysv = NULL;
}
