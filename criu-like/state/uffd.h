/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_UFFD_H
#define THAW_STATE_UFFD_H

#include "criu-like/process.h"

/**
 * uffd_tell() - Append the call that makes a userfaultfd of the task's memory
 *
 * p->uffd_record is set to its record.
 */
void uffd_tell(struct process *p, struct batch *b);

/**
 * uffd_take() - After that list has run: fetch the descriptor into p->uffd and register the areas that have pages
 * @lazy: with the events that a lazy-pages server follows
 *
 * Without @lazy a task that may not have a userfaultfd is no failure: p->uffd stays -1, no area is covered.
 *
 * Return: 0, or -errno with a sentence
 */
int uffd_take(struct restore *r, struct process *p, bool lazy);

/** uffd_covers() - Is VMA @i of the process registered? */
bool uffd_covers(const struct process *p, size_t i);

/** uffd_copy() - UFFDIO_COPY until all is there; pages that are there already are left. Return: 0, or -errno */
int uffd_copy(int uffd, uint64_t dst, const void *src, size_t len);

/** uffd_zero() - A page of zeroes at @addr, if none is there. Return: 0, or -errno */
int uffd_zero(int uffd, uint64_t addr);

/** uffd_tell_close() - Append the call that closes the task's own descriptor */
void uffd_tell_close(struct process *p, struct batch *b);

#endif
