/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LISTS_H
#define THAW_LISTS_H

#include "criu-like/process.h"

/* Lists of system calls that the tasks of a restore walk, with a sentence for each way in which that can fail. */

/** list_adopt() - Wait for a task that was born attached, of @p. Return: 0, or -errno with a sentence */
int list_adopt(struct restore *r, struct process *p, struct thread *t);

/** list_end() - End the list that is being built, for @p. Return: 0, or -errno with a sentence */
int list_end(struct restore *r, const struct process *p);

/** list_start() - Let @t walk the list at t->list. Return: 0, or -errno with a sentence */
int list_start(struct restore *r, struct process *p, struct thread *t);

/**
 * list_finish() - Wait for the end of a thread's list
 *
 * One that stands at a pid which is about to be free is started again there.
 *
 * Return: 0, or -errno with a sentence that names the call that failed
 */
int list_finish(struct restore *r, struct process *p, struct thread *t);

/** list_run() - End the list that was begun at the leader's list index, and have it walked. Return: as list_finish() */
int list_run(struct restore *r, struct process *p);

/** list_to_death() - Have @p walk the list at its leader's index, in which it ends. Return: as list_finish() */
int list_to_death(struct restore *r, struct process *p);

#endif
