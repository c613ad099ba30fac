// SPDX-License-Identifier: GPL-2.0-only
/*
 * The content of private memory.
 *
 * Dump: PAGEMAP_SCAN says which pages differ from what backs them; they are copied through /proc/PID/mem, which leaves
 * pages that a fork shares shared (process_vm_readv would copy each in the target).
 * Restore: pages of registered areas go in by UFFDIO_COPY, which neither zeroes them first nor cares for protection;
 * the others (changed pages of private file mappings, areas that cannot be registered) are written through
 * /proc/PID/mem.
 */
#include "criu-like/state/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/restore.h"
#include "criu-like/state/guards.h"
#include "criu-like/state/aio.h"
#include "criu-like/state/page_out.h"
#include "criu-like/state/uffd.h"
#include "criu-like/state/vma.h"
#include "images/pagestore.h"

#define JOB (2UL << 20)		   /* bytes a restoring thread fills at once */
#define WORTH_A_THREAD (8UL << 20) /* bytes */
#define TEXT_MAX (8UL << 20)	   /* execve(2) takes less */

struct range_list {
	struct copy_range *v;
	size_t nr, cap;
	uint64_t *guards; /* pairs of start and end */
	size_t nr_guards, cap_guards;
};

static int add_guard(struct range_list *list, const struct page_range *range)
{
	int ret = grow(&list->guards, list->nr_guards + 1, &list->cap_guards, sizeof(*list->guards));

	if (!ret) {
		list->guards[list->nr_guards++] = range->start;
		list->guards[list->nr_guards++] = range->end;
	}
	return ret;
}

static int add_range(struct range_list *list, uint64_t start, uint64_t end, uint32_t flags, bool skip_zero)
{
	int ret = grow(&list->v, list->nr, &list->cap, sizeof(*list->v));

	if (!ret)
		list->v[list->nr++] = (struct copy_range){ start, end, flags, skip_zero };
	return ret;
}

/*
 * Arguments and environment: /proc/PID/cmdline and environ read them in a way that does not wait for a userfaultfd, and
 * find nothing where a page is missing.
 */
static void text_ranges(const MmEntry *mm, uint64_t ranges[2][2])
{
	ranges[0][0] = PAGE_DOWN(mm->mm_arg_start);
	ranges[0][1] = MIN(PAGE_UP(mm->mm_arg_end), ranges[0][0] + TEXT_MAX);
	ranges[1][0] = PAGE_DOWN(mm->mm_env_start);
	ranges[1][1] = MIN(PAGE_UP(mm->mm_env_end), ranges[1][0] + TEXT_MAX);
}

/* Is the page at @at such a page? @until is brought down to where that changes. */
static bool is_text(const MmEntry *mm, uint64_t at, uint64_t *until)
{
	uint64_t ranges[2][2];

	text_ranges(mm, ranges);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (at >= ranges[i][0] && at < ranges[i][1]) {
			*until = MIN(*until, ranges[i][1]);
			return true;
		}
		if (at < ranges[i][0])
			*until = MIN(*until, ranges[i][0]);
	}
	return false;
}

/* A server that is not of Thaw's may not bear that such a page is there already: so it is not for a server at all. */
static int add_scanned(struct range_list *list, const MmEntry *mm, const struct page_range *found, uint32_t flags,
		       bool skip_zero)
{
	uint64_t at = found->start;
	int ret = 0;

	while (!ret && at < found->end) {
		uint64_t to = found->end;
		bool text = flags & PE_LAZY && is_text(mm, at, &to);

		ret = add_range(list, at, to, text ? PE_PRESENT : flags, skip_zero);
		at = to;
	}
	return ret;
}

/* What of a VMA has to be kept. The vDSO always, so that another kernel can be told from this one. */
static int scan_vma(const struct dump *d, const MmEntry *mm, int pagemap_fd, const VmaEntry *v, struct range_list *list)
{
	_cleanup_free_ struct page_range *found = NULL;
	bool file = v->status & VMA_FILE_PRIVATE;
	uint32_t flags = !vma_can_be_lazy(v) ? PE_PRESENT : d->opt->lazy ? PE_LAZY : PE_PRESENT | PE_LAZY;
	size_t nr = 0, cap = 0;
	int ret;

	if (v->status & VMA_VDSO)
		return add_range(list, v->start, v->end, PE_PRESENT, false);
	if (v->status & VMA_AIORING)
		return add_range(list, v->start, v->end, PE_PRESENT, false);
	if (!(v->status & (VMA_FILE_PRIVATE | VMA_ANON_PRIVATE)) || v->status & (VMA_VVAR | VMA_VSYSCALL))
		return 0;
	ret = pagemap_scan(pagemap_fd, v->start, v->end, file, &found, &nr, &cap);
	for (size_t i = 0; !ret && i < nr; i++)
		ret = found[i].guard ? add_guard(list, &found[i]) : add_scanned(list, mm, &found[i], flags, !file);
	return ret;
}

static int scan_process(struct dump *d, struct process *p, struct range_list *list)
{
	_cleanup_close_ int fd = openat(p->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return diag_fail(d->diag, errno, "cannot open the pagemap of process %d: %s", p->pid, strerror(errno));
	for (size_t i = 0; i < p->mm->n_vmas; i++) {
		int ret = scan_vma(d, p->mm, fd, p->mm->vmas[i], list);

		if (ret)
			return diag_fail(d->diag, -ret,
					 "cannot scan the pages of process %d: %s (PAGEMAP_SCAN needs kernel 6.7)",
					 p->pid, strerror(-ret));
	}
	return 0;
}

/* What is not in the images: kept as a pagemap with all of its pages present. */
static int pages_to_serve(struct process *p, const struct pagemap *map)
{
	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];

		if (!(run->flags & PE_PRESENT) &&
		    pagemap_append(&p->pagemap, run->vaddr, run->nr_pages, PE_LAZY | PE_PRESENT))
			return -ENOMEM;
	}
	return 0;
}

int pages_dump(struct dump *d, struct process *p)
{
	struct pagemap map = { .pages_id = ++d->last_pages_id };
	struct page_copy copy = { .fd = p->mem_fd, .map = &map };
	struct range_list list = { 0 };
	char what[32];
	int ret = scan_process(d, p, &list);

	snprintf(what, sizeof(what), "process %d", p->pid);
	copy.what = what;
	copy.ranges = list.v;
	copy.nr = list.nr;
	if (!ret)
		ret = guards_note(d, p, list.guards, list.nr_guards);
	if (!ret)
		ret = page_out_run(d, IMG_PAGEMAP, (uint64_t)p->pid, &copy);
	for (size_t i = 0; i < list.nr; i++)
		d->stats.pages_scanned += (list.v[i].end - list.v[i].start) / PAGE_SIZE;
	for (size_t i = 0; i < map.nr; i++)
		d->stats.pages_lazy += map.runs[i].flags & PE_LAZY ? map.runs[i].nr_pages : 0;
	d->stats.pages_written += map.nr_present;
	if (!ret)
		diag_info(d->diag, "Wrote %llu pages of process %d in %zu runs", (unsigned long long)map.nr_present,
			  p->pid, map.nr);
	if (!ret && d->opt->lazy)
		ret = pages_to_serve(p, &map);
	pagemap_free(&map);
	free(list.v);
	free(list.guards);
	return ret;
}

/* A piece of a run that lies in one VMA. */
struct job {
	const struct page_run *run;
	uint64_t skip, nr; /* pages */
	bool by_uffd;
};

struct filler {
	struct restore *r;
	struct process *p;
	struct page_store *store;
	struct job *jobs;
	size_t nr, cap;
	uint64_t pages;
	atomic_size_t next;
	atomic_int error;
};

static int check_vdso(struct filler *f, const struct job *job, const void *data)
{
	uint64_t addr = job->run->vaddr + job->skip * PAGE_SIZE;
	size_t len = job->nr * PAGE_SIZE;
	_cleanup_free_ void *now = malloc(len);

	if (!now)
		return -ENOMEM;
	if (full_pread(f->p->mem_fd, now, len, (off_t)addr) != (ssize_t)len || memcmp(now, data, len) != 0)
		return diag_fail(
			f->r->diag, EOPNOTSUPP,
			"process %d was dumped on another kernel (its vDSO at 0x%llx differs); restore it on that one",
			f->p->pid, (unsigned long long)addr);
	return 0;
}

static int do_job(struct filler *f, const struct job *job, void *buf)
{
	uint64_t addr = job->run->vaddr + job->skip * PAGE_SIZE;
	const VmaEntry *v = f->p->mm->vmas[vma_find(f->p->mm, addr)];
	const void *data;
	int ret = page_store_get(f->store, job->run, job->skip, job->nr, buf, &data, f->r->diag);

	if (ret)
		return ret;
	if (v->status & VMA_VDSO)
		return check_vdso(f, job, data);
	if (v->status & VMA_AIORING)
		return aio_fill(f->r, f->p, v, addr, data, job->nr * PAGE_SIZE);
	if (job->by_uffd)
		ret = uffd_copy(f->p->uffd, addr, data, job->nr * PAGE_SIZE);
	else
		ret = full_pwrite(f->p->mem_fd, data, job->nr * PAGE_SIZE, (off_t)addr);
	if (ret)
		return diag_fail(f->r->diag, -ret, "cannot fill the memory of process %d at 0x%llx: %s", f->p->pid,
				 (unsigned long long)addr, strerror(-ret));
	return 0;
}

static void *fill_worker(void *arg)
{
	struct filler *f = arg;
	_cleanup_free_ void *buf = aligned_alloc(PAGE_SIZE, JOB);
	size_t i;

	if (!buf)
		f->error = -ENOMEM;
	while (!f->error && (i = f->next++) < f->nr) {
		int ret = restore_interrupted(f->r) ?: do_job(f, &f->jobs[i], buf);

		if (ret)
			f->error = ret;
	}
	return NULL;
}

static int add_job(struct filler *f, const struct page_run *run, uint64_t from, uint64_t to, bool by_uffd)
{
	for (uint64_t at = from; at < to; at += JOB) {
		int ret = grow(&f->jobs, f->nr, &f->cap, sizeof(*f->jobs));

		if (ret)
			return ret;
		f->jobs[f->nr++] = (struct job){ .run = run,
						 .skip = (at - run->vaddr) / PAGE_SIZE,
						 .nr = MIN(to - at, JOB) / PAGE_SIZE,
						 .by_uffd = by_uffd };
		f->pages += f->jobs[f->nr - 1].nr;
	}
	return 0;
}

/* Those pages of arguments and environment that no run holds are zero. */
static int zero_text(struct filler *f)
{
	uint64_t ranges[2][2];

	text_ranges(f->p->mm, ranges);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (uint64_t at = ranges[i][0]; at < ranges[i][1]; at += PAGE_SIZE) {
			size_t run = pagemap_find(&f->p->pagemap, at), vma = vma_find(f->p->mm, at);
			bool there = run < f->p->pagemap.nr && f->p->pagemap.runs[run].vaddr <= at &&
				     f->p->pagemap.runs[run].flags & (PE_PRESENT | PE_LAZY);
			bool mapped = vma < f->p->mm->n_vmas && f->p->mm->vmas[vma]->start <= at;
			int ret = !there && mapped && uffd_covers(f->p, vma) ? uffd_zero(f->p->uffd, at) : 0;

			if (ret)
				return diag_fail(f->r->diag, -ret, "cannot fill the memory of process %d at 0x%llx: %s",
						 f->p->pid, (unsigned long long)at, strerror(-ret));
		}
	}
	return 0;
}

/* Cut a run at the borders of VMAs, and where it is to be filled at once. */
static int add_run(struct filler *f, const struct page_run *run, bool lazy)
{
	const MmEntry *mm = f->p->mm;
	uint64_t at = run->vaddr, end = run->vaddr + run->nr_pages * PAGE_SIZE;

	while (at < end) {
		size_t i = vma_find(mm, at);
		uint64_t to;
		bool now, huge;
		int ret;

		if (i == mm->n_vmas || mm->vmas[i]->start > at)
			return diag_fail(f->r->diag, EPROTO, "pagemap-%d.img is damaged: there is no VMA at 0x%llx",
					 f->p->pid, (unsigned long long)at);
		to = MIN(end, mm->vmas[i]->end);
		now = f->r->own_server && is_text(mm, at, &to) && run->flags & PE_PRESENT;
		huge = mm->vmas[i]->flags & MAP_HUGETLB && run->flags & PE_PRESENT;
		if (lazy && !now && (run->flags & PE_LAZY || huge) && uffd_covers(f->p, i))
			ret = 0;
		else if (!(run->flags & PE_PRESENT))
			ret = diag_fail(f->r->diag, EOPNOTSUPP,
					"the pages at 0x%llx of process %d are not in these images (restore it with "
					"--lazy-pages)",
					(unsigned long long)at, f->p->pid);
		else
			ret = add_job(f, run, at, to, uffd_covers(f->p, i));
		if (ret)
			return ret;
		at = to;
	}
	return 0;
}

static int run_jobs(struct filler *f)
{
	pthread_t second;
	bool two = f->pages * PAGE_SIZE >= WORTH_A_THREAD && !pthread_create(&second, NULL, fill_worker, f);

	fill_worker(f);
	if (two)
		pthread_join(second, NULL);
	return f->error;
}

int pages_restore(struct restore *r, struct process *p, bool lazy)
{
	struct filler f = { .r = r, .p = p };
	int ret = 0;

	for (size_t i = 0; !ret && i < p->pagemap.nr; i++)
		if (p->pagemap.runs[i].flags & (PE_PRESENT | PE_LAZY))
			ret = add_run(&f, &p->pagemap.runs[i], lazy);
	if (!ret)
		ret = page_store_open(r->dir, &p->pagemap, &f.store, r->diag);
	if (!ret)
		ret = run_jobs(&f);
	if (!ret && lazy)
		ret = zero_text(&f);
	if (!ret)
		diag_info(r->diag, "Filled %llu pages of process %d", (unsigned long long)f.pages, p->pid);
	page_store_close(f.store);
	free(f.jobs);
	return ret;
}
