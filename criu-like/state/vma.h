/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_VMA_H
#define THAW_STATE_VMA_H

#include "criu-like/process.h"

/* What a VMA is, as the format's VmaEntry.status says it. */
#define VMA_REGULAR (1u << 0)
#define VMA_VSYSCALL (1u << 2)
#define VMA_VDSO (1u << 3)
#define VMA_HEAP (1u << 5)
#define VMA_FILE_PRIVATE (1u << 6)
#define VMA_FILE_SHARED (1u << 7)
#define VMA_ANON_SHARED (1u << 8)
#define VMA_ANON_PRIVATE (1u << 9)
#define VMA_SYSVIPC (1u << 10)
#define VMA_SOCKET (1u << 11)
#define VMA_VVAR (1u << 12)
#define VMA_AIORING (1u << 13)
#define VMA_MEMFD (1u << 14)
#define VMA_SHADOW_STACK (1u << 15)
#define VMA_GUARD (1u << 16)
#define VMA_UNSUPPORTED (1u << 31)

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
