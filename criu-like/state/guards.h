/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_GUARDS_H
#define THAW_STATE_GUARDS_H

#include "criu-like/process.h"

/*
 * Guard regions, madvise(2) MADV_GUARD_INSTALL: no content, a touch is an error. In the images they stand behind the
 * VMAs that they lie in, in the same list; in memory mm->n_vmas does not count them.
 */

/**
 * guards_note() - Put guard regions behind the VMAs of a process
 * @pairs, @nr: start and end of each, @nr numbers
 *
 * Return: 0, or -ENOMEM
 */
int guards_note(struct dump *d, struct process *p, const uint64_t *pairs, size_t nr);

/** guards_join() - Count them among the VMAs: before the list is written, or freed */
void guards_join(struct process *p);

/** guards_split() - Count them no more: after that, or when the list was read */
void guards_split(struct process *p);

/** guards_tell() - Append the calls that install them again, p->nr_guards; when the pages are there */
void guards_tell(const struct process *p, struct batch *b);

#endif
