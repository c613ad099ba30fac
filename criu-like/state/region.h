/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_REGION_H
#define THAW_STATE_REGION_H

#include "criu-like/process.h"

/*
 * The batch's region of a restore: one piece of shared memory, at one address, in the restorer and in all its tasks.
 */

/**
 * region_open() - Map it where neither this process nor any process of the tree has anything
 * @max_records, @data_cap: what r->batch shall hold
 *
 * Return: 0, or -errno with a sentence
 */
int region_open(struct restore *r, size_t max_records, size_t data_cap);

/** region_end() - The first address behind it */
uint64_t region_end(const struct restore *r);

/** region_syscall() - Address of a `syscall` instruction in it */
uint64_t region_syscall(const struct restore *r);

/** region_unmap() - Let a stopped task give it up; the last thing that the task does for us. Return: 0, or -errno */
int region_unmap(struct restore *r, struct tracee *t);

/** region_close() - Unmap it here */
void region_close(struct restore *r);

#endif
