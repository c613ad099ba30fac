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
 *   kinds_check() comes before anything is run in the task, and may change t->tracee.regs (see thread.c).
 * - Restore: the task and its threads were made by thaw itself or by tasks that had not run their lists yet, so that
 * all begin with thaw's own credentials and limits. All signals are blocked. All threads exist before the leader's list
 *   runs. No rseq area is registered (thaw's own, which a fork inherits, has been given up).
 */

/* One in each file of criu-like/state/ that knows a kind; kinds.c has their order. */
extern const struct state_kind kind_actions, kind_altstack, kind_pending, kind_mask;
extern const struct state_kind kind_itimers, kind_posix_timers;
extern const struct state_kind kind_creds, kind_rlimits, kind_sched, kind_seccomp;
extern const struct state_kind kind_process, kind_name, kind_after_creds;
extern const struct state_kind kind_tid_address, kind_robust_list, kind_rseq, kind_extra, kind_calls;
extern const struct state_kind kind_cpu, kind_attributes;

/** kinds_check() - Refuse, with a sentence that names it, what could not be restored. Return: 0, or -errno */
int kinds_check(struct dump *d, struct process *p, struct thread *t);

/** kinds_ask() - Append what reads the state of @t to @b. Return: 0, or -errno with a sentence */
int kinds_ask(struct dump *d, struct process *p, struct thread *t, struct batch *b);

/** kinds_take() - Put the results into the messages, after the run. Return: 0, or -errno with a sentence */
int kinds_take(struct dump *d, struct process *p, struct thread *t, struct batch *b);

/** kinds_tell() - Append what sets the state of @t to @b. Return: 0, or -errno with a sentence */
int kinds_tell(struct restore *r, struct process *p, struct thread *t, struct batch *b);

/** kinds_apply() - Do the rest from outside, between the list's end and the release. Return: 0, or -errno with a
 * sentence */
int kinds_apply(struct restore *r, struct process *p, struct thread *t);

/**
 * kinds_room() - Room in a batch for kinds_ask() or kinds_tell() of a thread
 * @p: its process, with proc_fd in a dump
 * @t: before kinds_ask(): anything; before kinds_tell(): with its core from the images
 * @records: added to
 * @bytes: data bytes, added to
 */
void kinds_room_to_ask(const struct process *p, size_t *records, size_t *bytes);
void kinds_room_to_tell(const struct restore *r, const struct thread *t, size_t *records, size_t *bytes);

/** kinds_name() - Which kind record @idx of the thread's list belongs to, for messages. Return: a name */
const char *kinds_name(const struct thread *t, size_t idx);

/* For the kinds themselves. */

/** kind_answer() - The bytes here that argument @arg of record @idx points to in the task */
static inline void *kind_answer(const struct batch *b, size_t idx, unsigned arg)
{
	return batch_local(b, batch_record_at(b, idx)->arg[arg]);
}

/** kind_no_memory() - Return: -ENOMEM with a sentence */
int kind_no_memory(struct diag *diag);

/** kind_unread() - What could not be read: @ret is -errno. Return: @ret with a sentence */
int kind_unread(struct dump *d, const struct process *p, const struct thread *t, int64_t ret, const char *what);

/** have_capability() - Is CAP_* @cap effective in this process? */
bool have_capability(int cap);

#endif
