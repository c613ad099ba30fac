// SPDX-License-Identifier: GPL-2.0-only
/* The layout of an address space: VMAs, without their content (pages.c) */
#include "criu-like/state/vma.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/state/aio.h"
#include "criu-like/state/files.h"
#include "criu-like/state/memfd.h"
#include "criu-like/state/shmem.h"
#include "criu-like/state/sysv.h"

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* Letters of smaps that an madvise(2) call made. The format keeps them as bits of their numbers. */
static const struct {
	uint64_t vm_flag;
	int advice;
} advices[] = {
	{ AREA_VM_SEQ_READ, MADV_SEQUENTIAL },	 { AREA_VM_RAND_READ, MADV_RANDOM },
	{ AREA_VM_DONTCOPY, MADV_DONTFORK },	 { AREA_VM_DONTDUMP, MADV_DONTDUMP },
	{ AREA_VM_MERGEABLE, MADV_MERGEABLE },	 { AREA_VM_HUGEPAGE, MADV_HUGEPAGE },
	{ AREA_VM_NOHUGEPAGE, MADV_NOHUGEPAGE }, { AREA_VM_WIPEONFORK, MADV_WIPEONFORK },
};

/* What stops a dump. */
static const struct {
	uint64_t vm_flag;
	const char *what;
} refused[] = {
	{ AREA_VM_UFFD_MISSING | AREA_VM_UFFD_WP | AREA_VM_UFFD_MINOR,
	  "is registered with a userfaultfd (the program's own, or of a lazy restore that is not done yet)" },
	{ AREA_VM_SHADOW_STACK, "is a shadow stack" },
	{ AREA_VM_DROPPABLE, "is droppable memory" },
	{ AREA_VM_SEALED, "is sealed" },
	{ AREA_VM_PFNMAP | AREA_VM_IO, "maps a device" },
};

static bool is_named(const struct area *a, const char *name)
{
	return !strcmp(a->name, name);
}

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* The kernel's own mappings, by rule: not a file, a name in brackets that the kernel gives. */
static uint32_t special_status(const struct area *a)
{
	if (is_named(a, "[vdso]"))
		return VMA_REGULAR | VMA_VDSO | VMA_ANON_PRIVATE;
	if (has_prefix(a->name, "[vvar"))
		return VMA_REGULAR | VMA_VVAR | VMA_ANON_PRIVATE;
	if (is_named(a, "[vsyscall]"))
		return VMA_VSYSCALL | VMA_ANON_PRIVATE;
	return 0;
}

static int refuse(struct dump *d, const struct process *p, const struct area *a, const char *why)
{
	return diag_fail(d->diag, EOPNOTSUPP,
			 "the memory at 0x%llx-0x%llx (%s) of process %d %s, which Thaw cannot restore",
			 (unsigned long long)a->start, (unsigned long long)a->end, a->name[0] ? a->name : "anonymous",
			 p->pid, why);
}

static int check_area(struct dump *d, const struct process *p, const struct area *a)
{
	if (special_status(a))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (a->vm_flags & refused[i].vm_flag)
			return refuse(d, p, a, refused[i].what);
	if (has_prefix(a->name, "anon_inode:") || has_prefix(a->name, "socket:"))
		return refuse(d, p, a, "is no file that can be opened again");
	return 0;
}

static void common_fields(const struct area *a, VmaEntry *v)
{
	vma_entry__init(v);
	v->start = a->start;
	v->end = a->end;
	v->pgoff = a->ino || sysv_is_area(a) ? a->pgoff : 0;
	v->prot = a->prot;
	v->fd = -1;
	v->flags = a->shared ? MAP_SHARED : MAP_PRIVATE;
	v->flags |= a->vm_flags & AREA_VM_GROWSDOWN ? MAP_GROWSDOWN : 0;
	v->flags |= a->vm_flags & AREA_VM_LOCKED ? MAP_LOCKED : 0;
	v->flags |= a->vm_flags & AREA_VM_NORESERVE ? MAP_NORESERVE : 0;
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (a->vm_flags & advices[i].vm_flag)
			v->madv |= 1ULL << advices[i].advice;
	v->has_madv = v->madv != 0;
}

/* Anonymous huge pages. The kernel backs them by a file of hugetlbfs, whose block size is the page's. */
static int dump_huge(struct dump *d, const struct process *p, const struct area *a, VmaEntry *v)
{
	char path[64];
	struct stat st;

	if (!has_prefix(a->name, "/anon_hugepage"))
		return refuse(d, p, a, "is a file of huge pages");
	snprintf(path, sizeof(path), "map_files/%lx-%lx", (unsigned long)a->start, (unsigned long)a->end);
	if (fstatat(p->proc_fd, path, &st, 0) < 0)
		return diag_fail(d->diag, errno, "cannot look at the huge pages at 0x%lx of process %d: %s",
				 (unsigned long)a->start, p->pid, strerror(errno));
	v->flags |=
		MAP_ANONYMOUS | MAP_HUGETLB | (uint32_t)__builtin_ctzl((unsigned long)st.st_blksize) << MAP_HUGE_SHIFT;
	v->status = VMA_REGULAR | (a->shared ? VMA_ANON_SHARED : VMA_ANON_PRIVATE);
	if (a->shared)
		return shmem_dump_area(d, p, a, &v->shmid);
	v->pgoff = 0;
	return 0;
}

static int dump_area(struct dump *d, struct process *p, const struct area *a, VmaEntry *v)
{
	uint32_t id, fdflags;
	int ret = check_area(d, p, a);

	if (ret)
		return ret;
	common_fields(a, v);
	v->status = special_status(a);
	if (v->status || (!a->ino && !sysv_is_area(a))) { /* a segment may have the number 0 */
		v->flags |= MAP_ANONYMOUS;
		if (!v->status)
			v->status = VMA_REGULAR | VMA_ANON_PRIVATE | (is_named(a, "[heap]") ? VMA_HEAP : 0);
		return 0;
	}
	if (a->vm_flags & AREA_VM_HUGETLB)
		return dump_huge(d, p, a, v);
	if (aio_is_area(a))
		return aio_dump_area(d, p, a, v);
	if (shmem_is_anonymous(a)) {
		v->flags |= MAP_ANONYMOUS;
		v->status = VMA_REGULAR | VMA_ANON_SHARED;
		return shmem_dump_area(d, p, a, &v->shmid);
	}
	if (sysv_is_area(a)) {
		v->status = VMA_REGULAR | VMA_ANON_SHARED | VMA_SYSVIPC;
		return sysv_dump_area(d, p, a, &v->shmid);
	}
	if (memfd_is_name(a->name))
		ret = memfd_dump_area(d, p, a, &id, &fdflags);
	else
		ret = files_dump_area(d, p, a, &id, &fdflags);
	if (ret)
		return ret;
	v->status = VMA_REGULAR | (a->shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE) |
		    (memfd_is_name(a->name) ? VMA_MEMFD : 0);
	v->shmid = id;
	v->has_fdflags = 1;
	v->fdflags = fdflags;
	return 0;
}

/* [vvar] and [vvar_vclock] are one object to the kernel, and one VMA in the images. */
static bool continues_vvar(const MmEntry *mm, const VmaEntry *v)
{
	const VmaEntry *last = mm->n_vmas ? mm->vmas[mm->n_vmas - 1] : NULL;

	return last && last->status == v->status && v->status & VMA_VVAR && last->end == v->start;
}

int vma_dump(struct dump *d, struct process *p)
{
	VmaEntry *vmas = arena_array(d->arena, p->nr_areas, sizeof(*vmas));

	p->mm->vmas = arena_array(d->arena, p->nr_areas, sizeof(*p->mm->vmas));
	if (!vmas || !p->mm->vmas)
		return -ENOMEM;
	for (size_t i = 0; i < p->nr_areas; i++) {
		int ret = dump_area(d, p, &p->areas[i], &vmas[i]);

		if (ret)
			return ret;
		if (continues_vvar(p->mm, &vmas[i]))
			p->mm->vmas[p->mm->n_vmas - 1]->end = vmas[i].end;
		else
			p->mm->vmas[p->mm->n_vmas++] = &vmas[i];
	}
	return 0;
}

bool vma_can_be_lazy(const VmaEntry *v)
{
	return v->status & VMA_ANON_PRIVATE && !(v->status & (VMA_VDSO | VMA_VVAR | VMA_VSYSCALL)) &&
	       !(v->flags & (MAP_LOCKED | MAP_HUGETLB | MAP_SHARED));
}

size_t vma_find(const MmEntry *mm, uint64_t addr)
{
	size_t lo = 0, hi = mm->n_vmas;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (mm->vmas[mid]->end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int vma_check(struct restore *r, const struct process *p)
{
	const uint32_t known = VMA_REGULAR | VMA_VSYSCALL | VMA_VDSO | VMA_HEAP | VMA_FILE_PRIVATE | VMA_FILE_SHARED |
			       VMA_ANON_SHARED | VMA_ANON_PRIVATE | VMA_VVAR | VMA_MEMFD | VMA_SYSVIPC | VMA_AIORING;
	uint64_t last = 0;

	for (size_t i = 0; i < p->mm->n_vmas; i++) {
		const VmaEntry *v = p->mm->vmas[i];

		if (!PAGE_ALIGNED(v->start | v->end | v->pgoff) || v->start >= v->end || v->start < last ||
		    (v->end > ARCH_TASK_SIZE && !(v->status & VMA_VSYSCALL)))
			return diag_fail(r->diag, EPROTO, "mm-%d.img is damaged: the VMA at 0x%llx-0x%llx cannot be",
					 p->pid, (unsigned long long)v->start, (unsigned long long)v->end);
		if (v->status & ~known)
			return diag_fail(
				r->diag, EOPNOTSUPP,
				"the VMA at 0x%llx of process %d is of a kind (status 0x%x) that Thaw cannot restore",
				(unsigned long long)v->start, p->pid, v->status);
		last = v->end;
	}
	return 0;
}

static void tell_advice(struct batch *b, const VmaEntry *v)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (v->madv & 1ULL << advices[i].advice)
			batch_call(b, 0, SYS_madvise, v->start, v->end - v->start, (uint64_t)advices[i].advice);
}

/* The descriptor that a VMA maps, -1 for none. */
static int source_fd(struct restore *r, const VmaEntry *v)
{
	if (v->status & VMA_ANON_SHARED)
		return shmem_fd(r, v->shmid);
	if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED)) {
		bool writes = v->status & VMA_FILE_SHARED && v->prot & PROT_WRITE;

		return files_open_mapped(r, (uint32_t)v->shmid,
					 v->has_fdflags ? v->fdflags & O_ACCMODE
					 : writes	? O_RDWR
							: O_RDONLY);
	}
	return -1;
}

/*
 * MAP_LOCKED would fill the area at once; it is locked when its content is there. MAP_ANONYMOUS goes: shared
 * anonymous memory is mapped from the descriptor that all who share it have.
 */
static int tell_vma(struct restore *r, const VmaEntry *v, struct batch *b)
{
	uint64_t flags = v->flags & ~(uint32_t)(MAP_LOCKED | MAP_ANONYMOUS);
	int fd = source_fd(r, v);

	if (fd < -1)
		return fd;
	flags |= MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);
	batch_call(b, BATCH_MUST, SYS_mmap, v->start, v->end - v->start, v->prot, flags, (uint64_t)(int64_t)fd,
		   v->pgoff);
	if (v->has_madv)
		tell_advice(b, v);
	return 0;
}

void vma_tell_locks(const struct process *p, struct batch *b)
{
	for (size_t i = 0; i < p->mm->n_vmas; i++)
		if (p->mm->vmas[i]->flags & MAP_LOCKED)
			batch_call(b, BATCH_MUST, SYS_mlock, p->mm->vmas[i]->start,
				   p->mm->vmas[i]->end - p->mm->vmas[i]->start);
}

int vma_tell(struct restore *r, struct process *p, struct batch *b, uint64_t region_start, uint64_t region_end)
{
	const uint32_t special = VMA_VDSO | VMA_VVAR | VMA_VSYSCALL | VMA_SYSVIPC | VMA_AIORING;
	int ret;

	batch_call(b, BATCH_MUST, SYS_munmap, 0, region_start);
	batch_call(b, BATCH_MUST, SYS_munmap, region_end, ARCH_TASK_SIZE - region_end);
	/* While all is free: where its range is taken, the kernel maps the vDSO elsewhere without a word. */
	for (size_t i = 0; i < p->mm->n_vmas; i++)
		if (p->mm->vmas[i]->status & (VMA_VDSO | VMA_VVAR)) {
			arch_tell_vdso(b, p->mm->vmas[i]->start); /* [vvar] lies before [vdso]: both at once */
			break;
		}
	ret = aio_tell(r, p, b);
	if (!ret)
		ret = sysv_tell(r, p, b);
	if (ret)
		return ret;
	for (size_t i = 0; i < p->mm->n_vmas; i++) {
		ret = p->mm->vmas[i]->status & special ? 0 : tell_vma(r, p->mm->vmas[i], b);

		if (ret)
			return ret;
	}
	return 0;
}
