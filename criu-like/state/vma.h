/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_VMA_H
#define THAW_STATE_VMA_H

#include "criu-like/process.h"
#include "images/vma_status.h"

/**
 * vma_dump() - The address space's layout into p->mm->vmas, from p->areas
 *
 * Nothing in the process changes. What cannot be restored is refused, by address, name and pid.
 *
 * Return: 0, or -errno with a sentence
 */
int vma_dump(struct dump *d, struct process *p);

/** vma_can_be_lazy() - May its pages be left to a lazy-pages server? */
bool vma_can_be_lazy(const VmaEntry *v);

/**
 * vma_check() - Check the layout of an image: aligned, ascending, inside the address space, of known kinds
 *
 * Return: 0, or -errno with a sentence
 */
int vma_check(struct restore *r, const struct process *p);

/**
 * vma_tell() - Append the calls that replace the task's memory, all but the batch's region, by the image's layout
 * @region_start, @region_end: the batch's region
 *
 * Return: 0, or -errno with a sentence
 */
int vma_tell(struct restore *r, struct process *p, struct batch *b, uint64_t region_start, uint64_t region_end);

/** vma_tell_locks() - Append the calls that lock memory (mlock(2)), when its content is there */
void vma_tell_locks(const struct process *p, struct batch *b);

/** vma_find() - The VMA that holds @addr or the first one behind it. Return: index, or mm->n_vmas */
size_t vma_find(const MmEntry *mm, uint64_t addr);

#endif
