// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/guards.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "criu-like/state/vma.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* kernel 6.13 */
#endif

int guards_note(struct dump *d, struct process *p, const uint64_t *pairs, size_t nr)
{
	MmEntry *mm = p->mm;
	VmaEntry **vmas = arena_array(d->arena, mm->n_vmas + nr / 2, sizeof(*vmas));
	VmaEntry *guards = arena_array(d->arena, nr / 2, sizeof(*guards));

	if (!nr)
		return 0;
	if (!vmas || !guards)
		return -ENOMEM;
	memcpy(vmas, mm->vmas, mm->n_vmas * sizeof(*vmas));
	for (size_t i = 0; i < nr / 2; i++) {
		VmaEntry *v = &guards[i];

		vma_entry__init(v);
		v->start = pairs[2 * i];
		v->end = pairs[2 * i + 1];
		v->status = VMA_GUARD;
		v->fd = -1;
		vmas[mm->n_vmas + i] = v;
	}
	mm->vmas = vmas;
	p->nr_guards = nr / 2;
	return 0;
}

void guards_join(struct process *p)
{
	if (p->mm)
		p->mm->n_vmas += p->nr_guards;
}

void guards_split(struct process *p)
{
	MmEntry *mm = p->mm;

	p->nr_guards = 0;
	while (mm->n_vmas && mm->vmas[mm->n_vmas - 1]->status & VMA_GUARD) {
		mm->n_vmas--;
		p->nr_guards++;
	}
}

void guards_tell(const struct process *p, struct batch *b)
{
	for (size_t i = 0; i < p->nr_guards; i++) {
		const VmaEntry *v = p->mm->vmas[p->mm->n_vmas + i];

		batch_call(b, BATCH_MUST, SYS_madvise, v->start, v->end - v->start, MADV_GUARD_INSTALL);
	}
}
