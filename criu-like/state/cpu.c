// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a thread has of the CPU beside its registers in the core: large registers, which a process must ask for
 * (arch_prctl(ARCH_REQ_XCOMP_PERM)). A thread that holds some asks and makes room in its own list, as the leader's
 * comes last. Tags in addresses (LAM) can only be asked for before the first thread is made, and are refused.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "criu-like/inject/arch.h"
#include "criu-like/state/kinds.h"

static int ask_cpu(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	arch_ask_large(b);
	batch_call(b, 0, ARCH_PRCTL, ARCH_PRCTL_GET_UNTAG_MASK, batch_data(b, NULL, sizeof(uint64_t)));
	return 0;
}

static bool has_tags(const struct batch *b, size_t idx)
{
	return batch_result(b, idx) >= 0 && *(uint64_t *)kind_answer(b, idx, 1) != UINT64_MAX;
}

/* A kernel or CPU that does not know them has none. */
static int take_cpu(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	if (has_tags(b, first + 1))
		return diag_fail(
			d->diag, EOPNOTSUPP,
			"process %d has the CPU pass over tags in its addresses (LAM), which Thaw does not support",
			p->pid);
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
	return t->extra ? arch_restore_large(t->tracee.tid, t->extra, r->diag) : 0;
}

const struct state_kind kind_cpu = {
	.name = "large CPU registers",
	.ask = ask_cpu,
	.take = take_cpu,
	.tell = tell_cpu,
	.apply = apply_cpu,
};
