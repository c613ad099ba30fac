// SPDX-License-Identifier: GPL-2.0-only
/*
 * The userfaultfd of a restored task (userfaultfd(2), ioctl_userfaultfd(2)).
 *
 * The task makes it, since it belongs to the memory of its maker; the restorer fetches it with pidfd_getfd(2) and does
 * the rest from outside: EVENT_FORK needs CAP_SYS_PTRACE, which the task may be about to lose. Whole VMAs are
 * registered, and only those that have pages to wait for: a registered area that is split later costs the program a
 * VMA, and each first touch of an area without content would be a fault for nothing.
 */
#include "criu-like/state/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"
#include "criu-like/state/shmem.h"
#include "criu-like/state/vma.h"
#include "images/huge.h"

#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif

void uffd_tell(struct process *p, struct batch *b)
{
	p->uffd_record = batch_call(b, 0, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
}

void uffd_tell_close(struct process *p, struct batch *b)
{
	if (p->uffd_remote >= 0)
		batch_call(b, BATCH_MUST, SYS_close, (uint64_t)p->uffd_remote);
}

bool uffd_covers(const struct process *p, size_t i)
{
	return p->uffd >= 0 && p->covered && p->covered[i];
}

/* Adjacent areas need one call. */
static int register_areas(struct restore *r, struct process *p)
{
	for (size_t i = 0; i < p->mm->n_vmas; i++) {
		struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
		size_t first = i;

		if (!p->covered[i])
			continue;
		while (i + 1 < p->mm->n_vmas && p->covered[i + 1] && p->mm->vmas[i + 1]->start == p->mm->vmas[i]->end)
			i++;
		reg.range.start = p->mm->vmas[first]->start;
		reg.range.len = p->mm->vmas[i]->end - reg.range.start;
		if (ioctl(p->uffd, UFFDIO_REGISTER, &reg) < 0)
			return diag_fail(r->diag, errno,
					 "cannot register the memory at 0x%llx of process %d with userfaultfd: %s",
					 (unsigned long long)reg.range.start, p->pid, strerror(errno));
	}
	return 0;
}

static int choose_areas(struct restore *r, struct process *p, bool lazy)
{
	p->covered = arena_array(r->arena, p->mm->n_vmas + 1, sizeof(*p->covered));
	if (!p->covered)
		return -ENOMEM;
	for (size_t i = 0; i < p->pagemap.nr; i++) {
		const struct page_run *run = &p->pagemap.runs[i];
		uint64_t end = run->vaddr + run->nr_pages * PAGE_SIZE;

		if (!(run->flags & (PE_PRESENT | PE_LAZY)))
			continue;
		for (size_t k = vma_find(p->mm, run->vaddr); k < p->mm->n_vmas && p->mm->vmas[k]->start < end; k++)
			p->covered[k] = vma_can_be_lazy(p->mm->vmas[k]) ||
					(lazy && r->lazy_kin && huge_can_be_lazy(p->mm->vmas[k]));
	}
	for (size_t k = 0; lazy && k < p->mm->n_vmas; k++)
		p->covered[k] |= shmem_is_lazy(r, p->mm->vmas[k]);
	return 0;
}

int uffd_take(struct restore *r, struct process *p, bool lazy)
{
	struct uffdio_api api = { .api = UFFD_API };
	int64_t remote = batch_result(&r->batch, p->uffd_record);
	int ret;

	p->uffd_remote = (int)remote;
	if (remote < 0 && !lazy) {
		diag_info(r->diag, "Process %d gets its memory without userfaultfd: %s", p->pid,
			  strerror((int)-remote));
		return 0;
	}
	if (remote < 0)
		return diag_fail(r->diag, (int)-remote,
				 "process %d cannot have a userfaultfd: %s; `thaw check` says why, or restore without "
				 "--lazy-pages",
				 p->pid, strerror((int)-remote));
	p->uffd = (int)syscall(SYS_pidfd_getfd, p->pidfd, (int)remote, 0);
	if (p->uffd < 0)
		return diag_fail(r->diag, errno, "cannot fetch the userfaultfd of process %d: %s", p->pid,
				 strerror(errno));
	if (lazy)
		api.features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			       UFFD_FEATURE_EVENT_UNMAP;
	if (ioctl(p->uffd, UFFDIO_API, &api) < 0)
		return diag_fail(
			r->diag, errno,
			"userfaultfd lacks events that a lazy restore needs: %s (EVENT_FORK needs CAP_SYS_PTRACE)",
			strerror(errno));
	ret = choose_areas(r, p, lazy);
	return ret ? ret : register_areas(r, p);
}

int uffd_copy(int uffd, uint64_t dst, const void *src, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct uffdio_copy copy = { .dst = dst + done, .src = (uintptr_t)src + done, .len = len - done };

		if (ioctl(uffd, UFFDIO_COPY, &copy) == 0)
			return 0;
		if (copy.copy > 0) {
			done += (size_t)copy.copy;
			continue;
		}
		if (errno == EEXIST)
			done += PAGE_SIZE;
		else if (errno != EAGAIN)
			return -errno;
	}
	return 0;
}

int uffd_zero(int uffd, uint64_t addr)
{
	struct uffdio_zeropage zero = { .range = { addr, PAGE_SIZE } };

	while (ioctl(uffd, UFFDIO_ZEROPAGE, &zero) < 0) {
		if (errno == EEXIST)
			return 0;
		if (errno != EAGAIN)
			return -errno;
	}
	return 0;
}
