// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seccomp (seccomp(2)): a thread under it is refused, on both sides.
 */
#include <errno.h>

#include "criu-like/state/kinds.h"

static int check_seccomp(struct dump *d, struct process *p, struct thread *t)
{
	if (!t->status.seccomp)
		return 0;
	return diag_fail(
		d->diag, EOPNOTSUPP,
		"thread %d of process %d is under seccomp (mode %u), which thaw cannot restore yet: start the program "
		"without it",
		t->tid, p->pid, t->status.seccomp);
}

static int tell_seccomp(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *core = t->core->thread_core;
	const TaskCoreEntry *tc = t->core->tc;

	if ((!core->has_seccomp_mode || core->seccomp_mode == SECCOMP_MODE__disabled) &&
	    (!tc || !tc->has_old_seccomp_mode || tc->old_seccomp_mode == SECCOMP_MODE__disabled))
		return 0;
	return diag_fail(r->diag, EOPNOTSUPP,
			 "thread %d of process %d was under seccomp, which thaw cannot restore yet", t->tid, p->pid);
}

const struct state_kind kind_seccomp = {
	.name = "seccomp",
	.check = check_seccomp,
	.tell = tell_seccomp,
};
