// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a thread has of the CPU beside its registers in the core: large registers, which a process must ask for
 * (arch_prctl(ARCH_REQ_XCOMP_PERM)). A thread that holds some asks and makes room in its own list, as the leader's
 * comes last.
 */
#include <errno.h>

#include "criu-like/inject/arch.h"
#include "criu-like/state/kinds.h"

static int ask_cpu(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	arch_ask_large(b);
	return 0;
}

/* A kernel or CPU that does not know them has none. */
static int take_cpu(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	if (batch_result(b, first) < 0)
		return 0;
	return arch_dump_large(d->arena, t->tid, *(uint64_t *)kind_answer(b, first, 1), t->extra, d->diag);
}

static int tell_cpu(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	return arch_tell_large(b, t->core, t->extra, t->tid, r->diag);
}

static int apply_cpu(struct restore *r, struct process *p, struct thread *t)
{
	return t->extra ? arch_restore_large(t->tid, t->extra, r->diag) : 0;
}

const struct state_kind kind_cpu = {
	.name = "large CPU registers",
	.ask = ask_cpu,
	.take = take_cpu,
	.tell = tell_cpu,
	.apply = apply_cpu,
};
