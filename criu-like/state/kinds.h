/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_KINDS_H
#define THAW_STATE_KINDS_H

#include "criu-like/process.h"

/*
 * The kinds of in-task state, and the walks over them.
 *
 * What the kinds count on:
 * - Dump: the thread is stopped, t->tracee and t->status are filled, p->proc_fd, p->stat and p->threads too. t->core is
 *   there with thread_core and thread_info, the leader's with tc, before kinds_ask(); p->mm before kinds_take().
 * - Restore: the task and its threads were made by thaw itself or by tasks that had not run their lists yet, so that
 * all begin with thaw's own credentials and limits. All signals are blocked. All threads exist before the leader's list
 *   runs. No rseq area is registered (thaw's own, which a fork inherits, has been given up).
 */

extern const struct state_kind state_kinds[];
extern const size_t nr_state_kinds;

/** kinds_check() - Refuse, with a sentence that names it, what could not be restored. Return: 0, or -errno */
int kinds_check(struct dump *d, struct process *p, struct thread *t);

/** kinds_ask() - Append what reads the state of @t to @b. Return: 0, or -errno with a sentence */
int kinds_ask(struct dump *d, struct process *p, struct thread *t, struct batch *b);

/** kinds_take() - Put the results into the messages, after the run. Return: 0, or -errno with a sentence */
int kinds_take(struct dump *d, struct process *p, struct thread *t, struct batch *b);

/** kinds_tell() - Append what sets the state of @t to @b. Return: 0, or -errno with a sentence */
int kinds_tell(struct restore *r, struct process *p, struct thread *t, struct batch *b);

/**
 * kinds_room() - Room in a batch for kinds_ask() or kinds_tell() of a thread
 * @t: before kinds_ask(): with its status; before kinds_tell(): with its core from the images
 * @records: added to
 * @bytes: data bytes, added to
 */
void kinds_room(const struct process *p, const struct thread *t, size_t *records, size_t *bytes);

/** kinds_name() - Which kind record @idx of the thread's list belongs to, for messages. Return: a name */
const char *kinds_name(const struct thread *t, size_t idx);

#endif
