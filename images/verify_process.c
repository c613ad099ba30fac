// SPDX-License-Identifier: GPL-2.0-only
/* What leads from pstree.img to the images of each process, and from those to files and pages. */
#include <stdlib.h>

#include "common/util.h"
#include "images/proto/all.h"
#include "images/verify_int.h"
#include "images/vma_status.h"

#define VMA_FILE (VMA_FILE_PRIVATE | VMA_FILE_SHARED)
#define TASK_DEAD 2 /* task_core_entry.task_state of a zombie */

/* The pages of shared memory; of the same memory only once. */
static void check_shmem(struct verify *v, uint32_t pid, const VmaEntry *vma)
{
	struct pagemap map;
	char name[64];

	if (set_has(&v->shmems, vma->shmid))
		return;
	set_add(v, &v->shmems, vma->shmid);
	if (!image_exists(v->dir, IMG_PAGEMAP_SHMEM, vma->shmid))
		fault(v, "mm-%u.img: the pages of the mapping at 0x%llx, %s, are missing", pid,
		      (unsigned long long)vma->start, image_name(IMG_PAGEMAP_SHMEM, vma->shmid, name));
	else if (check_pagemap(v, IMG_PAGEMAP_SHMEM, vma->shmid, &map))
		pagemap_free(&map);
}

static void check_vma(struct verify *v, uint32_t pid, const VmaEntry *vma, uint64_t end)
{
	unsigned long long start = vma->start;

	if (!PAGE_ALIGNED(vma->start) || !PAGE_ALIGNED(vma->end) || vma->start >= vma->end)
		fault(v, "mm-%u.img: the mapping 0x%llx-0x%llx is none", pid, start, (unsigned long long)vma->end);
	if (vma->start < end)
		fault(v, "mm-%u.img: the mapping 0x%llx-0x%llx overlaps the one before it, or comes too late", pid,
		      start, (unsigned long long)vma->end);
	if ((vma->status & VMA_FILE) && !(vma->status & VMA_SYSVIPC) && !set_has(&v->file_ids, vma->shmid))
		fault(v, "mm-%u.img: the mapping at 0x%llx is of file %llu, which is not in files.img", pid, start,
		      (unsigned long long)vma->shmid);
	if ((vma->status & VMA_ANON_SHARED) && !(vma->status & (VMA_SYSVIPC | VMA_SOCKET | VMA_FILE)))
		check_shmem(v, pid, vma);
}

/* Every run must lie in mappings, though it may go on from one into the next. */
static void check_runs(struct verify *v, uint32_t pid, const MmEntry *mm, const struct pagemap *map)
{
	size_t at = 0;

	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		uint64_t addr = run->vaddr, end = run->vaddr + run->nr_pages * PAGE_SIZE;

		while (addr < end) {
			while (at < mm->n_vmas && mm->vmas[at]->end <= addr)
				at++;
			if (at == mm->n_vmas || mm->vmas[at]->start > addr) {
				fault(v, "pagemap-%u.img: the run 0x%llx-0x%llx leaves the mappings at 0x%llx", pid,
				      (unsigned long long)run->vaddr, (unsigned long long)end,
				      (unsigned long long)addr);
				break;
			}
			addr = MIN(mm->vmas[at]->end, end);
		}
	}
}

static void check_memory(struct verify *v, uint32_t pid)
{
	MmEntry *mm = the_entry(v, IMG_MM, pid);
	struct pagemap map = { 0 };
	uint64_t end = 0;

	if (mm) {
		if (!set_has(&v->files, FILE_KEY(FD_TYPES__REG, mm->exe_file_id)))
			fault(v, "mm-%u.img: the executable, file %u, is not in files.img", pid, mm->exe_file_id);
		for (size_t i = 0; i < mm->n_vmas && !(mm->vmas[i]->status & VMA_GUARD); i++) {
			check_vma(v, pid, mm->vmas[i], end);
			end = mm->vmas[i]->end;
		}
	}
	if (check_pagemap(v, IMG_PAGEMAP, pid, &map)) {
		if (mm)
			check_runs(v, pid, mm, &map);
		pagemap_free(&map);
	}
	image_free(mm);
}

static void check_fs(struct verify *v, uint32_t pid)
{
	FsEntry *fs = the_entry(v, IMG_FS, pid);

	if (!fs)
		return;
	if (!set_has(&v->file_ids, fs->cwd_id))
		fault(v, "fs-%u.img: the working directory, file %u, is not in files.img", pid, fs->cwd_id);
	if (!set_has(&v->file_ids, fs->root_id))
		fault(v, "fs-%u.img: the root directory, file %u, is not in files.img", pid, fs->root_id);
	image_free(fs);
}

static void check_descriptor(struct verify *v, const char *name, const void *msg)
{
	const FdinfoEntry *e = msg;

	if (!set_has(&v->files, FILE_KEY(e->type, e->id)))
		fault(v, "%s: descriptor %u is of file %u of type %d, which is not in files.img", name, e->fd, e->id,
		      e->type);
}

static void check_filter(struct verify *v, uint32_t tid, const ThreadCoreEntry *tc)
{
	if (tc->has_seccomp_mode && tc->seccomp_mode == SECCOMP_MODE__filter &&
	    (!tc->has_seccomp_filter || tc->seccomp_filter >= v->nr_filters))
		fault(v, "core-%u.img: its filter %u is not in seccomp.img", tid,
		      tc->has_seccomp_filter ? tc->seccomp_filter : 0);
}

static void check_thread(struct verify *v, uint32_t tid)
{
	CoreEntry *core = the_entry(v, IMG_CORE, tid);

	if (!core)
		return;
	if (core->mtype == CORE_ENTRY__MARCH__X86_64 && !core->thread_info)
		fault(v, "core-%u.img has no registers", tid);
	if (core->thread_core)
		check_filter(v, tid, core->thread_core);
	else
		fault(v, "core-%u.img has nothing of a thread", tid);
	image_free(core);
}

/*
 * Images that hang from kernel objects: where processes share one, it is enough that the first of them has the image.
 */
static void check_objects(struct verify *v, uint32_t pid, const TaskKobjIdsEntry *ids)
{
	if (image_exists(v->dir, IMG_MM, pid) || !set_has(&v->vms, ids->vm_id))
		check_memory(v, pid);
	if (image_exists(v->dir, IMG_FS, pid) || !set_has(&v->fss, ids->fs_id))
		check_fs(v, pid);
	if (!set_has(&v->tables, ids->files_id))
		each_entry(v, IMG_FDINFO, ids->files_id, true, check_descriptor);
	set_add(v, &v->vms, ids->vm_id);
	set_add(v, &v->fss, ids->fs_id);
	set_add(v, &v->tables, ids->files_id);
}

static void check_process(struct verify *v, const char *name, const void *msg)
{
	const PstreeEntry *e = msg;
	TaskKobjIdsEntry *ids = NULL;
	CoreEntry *core;

	if (set_has(&v->pids, e->pid))
		fault(v, "%s: process %u is there twice", name, e->pid);
	if (e->ppid && !set_has(&v->pids, e->ppid))
		fault(v, "%s: the parent of process %u, %u, does not come before it", name, e->pid, e->ppid);
	set_add(v, &v->pids, e->pid);
	core = the_entry(v, IMG_CORE, e->pid);
	if (!core)
		return;
	if (!core->tc) {
		fault(v, "core-%u.img has nothing of a process", e->pid);
	} else if (core->tc->task_state != TASK_DEAD) {
		for (size_t i = 0; i < e->n_threads; i++)
			check_thread(v, e->threads[i]);
		if (!core->ids)
			ids = the_entry(v, IMG_IDS, e->pid);
		if (core->ids || ids)
			check_objects(v, e->pid, core->ids ? core->ids : ids);
	}
	image_free(ids);
	image_free(core);
}

static void check_lock(struct verify *v, const char *name, const void *msg)
{
	const FileLockEntry *e = msg;

	if (e->pid < 0 || !set_has(&v->pids, (uint64_t)e->pid))
		fault(v, "%s: the holder of a lock, process %d, is not in pstree.img", name, e->pid);
}

void check_processes(struct verify *v)
{
	each_entry(v, IMG_PSTREE, 0, true, check_process);
	if (!v->pids.nr)
		fault(v, "pstree.img has no process");
	each_entry(v, IMG_FILE_LOCKS, 0, false, check_lock);
}
