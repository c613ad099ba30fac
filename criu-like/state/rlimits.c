// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resource limits (getrlimit(2)).
 *
 * They are asked from inside: prlimit(2) on another user's process needs CAP_SYS_RESOURCE, which containers lack.
 * Without it a hard limit can only be lowered, so a limit that must be raised above thaw's own is refused before the
 * task exists. The record is left out where thaw's own limit, which the task inherits, is right already.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

static const char *const limit_names[] = {
	"CPU",	   "FSIZE", "DATA",  "STACK",	   "CORE",     "RSS",  "NPROC",	 "NOFILE",
	"MEMLOCK", "AS",    "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
};

static int ask_rlimits(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(limit_names); i++)
		batch_call(b, 0, SYS_prlimit64, 0, i, 0, batch_data(b, NULL, sizeof(struct rlimit64)));
	return 0;
}

static int take_rlimits(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	TaskRlimitsEntry *limits = arena_alloc(d->arena, sizeof(*limits));
	RlimitEntry *entries = arena_array(d->arena, ARRAY_SIZE(limit_names), sizeof(*entries));

	if (!limits || !entries)
		return kind_no_memory(d->diag);
	task_rlimits_entry__init(limits);
	limits->n_rlimits = ARRAY_SIZE(limit_names);
	limits->rlimits = arena_array(d->arena, limits->n_rlimits, sizeof(*limits->rlimits));
	if (!limits->rlimits)
		return kind_no_memory(d->diag);
	for (size_t i = 0; i < limits->n_rlimits; i++) {
		const struct rlimit64 *lim = kind_answer(b, first + i, 3);

		if (batch_result(b, first + i) < 0)
			return kind_unread(d, p, t, batch_result(b, first + i), "resource limits");
		rlimit_entry__init(&entries[i]);
		entries[i].cur = lim->rlim_cur;
		entries[i].max = lim->rlim_max;
		limits->rlimits[i] = &entries[i];
	}
	t->core->tc->rlimits = limits;
	return 0;
}

static int tell_rlimits(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const TaskRlimitsEntry *limits = t->core->tc->rlimits;

	if (!limits)
		return 0;
	if (limits->n_rlimits > ARRAY_SIZE(limit_names))
		return diag_fail(r->diag, EPROTO,
				 "the images of process %d have %zu resource limits, this kernel has %zu", p->pid,
				 limits->n_rlimits, ARRAY_SIZE(limit_names));
	for (size_t i = 0; i < limits->n_rlimits; i++) {
		struct rlimit64 want = { limits->rlimits[i]->cur, limits->rlimits[i]->max }, own;

		if (prlimit64(0, (int)i, NULL, &own) < 0)
			return diag_fail(r->diag, errno, "cannot read thaw's own limit RLIMIT_%s", limit_names[i]);
		if (own.rlim_cur == want.rlim_cur && own.rlim_max == want.rlim_max)
			continue;
		if (want.rlim_max > own.rlim_max && !have_capability(CAP_SYS_RESOURCE))
			return diag_fail(
				r->diag, EPERM,
				"process %d needs the hard limit RLIMIT_%s at %llu, thaw has %llu and may not raise "
				"it: raise it before (ulimit -H), or give thaw CAP_SYS_RESOURCE",
				p->pid, limit_names[i], (unsigned long long)want.rlim_max,
				(unsigned long long)own.rlim_max);
		batch_call(b, BATCH_MUST, SYS_prlimit64, 0, i, batch_data(b, &want, sizeof(want)), 0);
	}
	return 0;
}

const struct state_kind kind_rlimits = {
	.name = "resource limits",
	.leader_only = true,
	.ask = ask_rlimits,
	.take = take_rlimits,
	.tell = tell_rlimits,
};
