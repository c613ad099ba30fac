// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scheduling policy, priority and nice value (sched(7)).
 *
 * They are told always, since what a task inherits from thaw is thaw's. Affinity has no place in the format: a task
 * keeps the CPUs that its restorer was given, as with taskset(1).
 */
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "criu-like/state/kinds.h"

static bool is_realtime(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static int check_sched(struct dump *d, struct process *p, struct thread *t)
{
	int policy = sched_getscheduler(t->tid);

	if (policy < 0)
		return kind_unread(d, p, t, -errno, "scheduling policy");
	/* From linux/sched.h, which cannot be had together with sched.h. */
	if ((policy & ~SCHED_RESET_ON_FORK) == 6)
		return diag_fail(
			d->diag, EOPNOTSUPP,
			"thread %d of process %d runs under SCHED_DEADLINE, which the image format has no place for: "
			"give it another policy (chrt)",
			t->tid, p->pid);
	return 0;
}

static int take_sched(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	ThreadCoreEntry *core = t->core->thread_core;
	struct sched_param param;
	int policy = sched_getscheduler(t->tid), nice;

	if (policy < 0 || sched_getparam(t->tid, &param) < 0)
		return kind_unread(d, p, t, -errno, "scheduling policy");
	errno = 0;
	nice = getpriority(PRIO_PROCESS, (id_t)t->tid);
	if (errno)
		return kind_unread(d, p, t, -errno, "nice value");
	core->has_sched_nice = true;
	core->sched_nice = nice;
	core->has_sched_policy = true;
	core->sched_policy = (uint32_t)policy;
	if (is_realtime(policy)) {
		core->has_sched_prio = true;
		core->sched_prio = (uint32_t)param.sched_priority;
	}
	return 0;
}

static int tell_sched(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *core = t->core->thread_core;
	struct sched_param param = { .sched_priority = (int)core->sched_prio };

	if (core->has_sched_nice)
		batch_call(b, BATCH_MUST, SYS_setpriority, PRIO_PROCESS, 0, (uint64_t)(int64_t)core->sched_nice);
	if (core->has_sched_policy)
		batch_call(b, BATCH_MUST, SYS_sched_setscheduler, 0, core->sched_policy,
			   batch_data(b, &param, sizeof(param)));
	return 0;
}

const struct state_kind kind_sched = {
	.name = "scheduling",
	.check = check_sched,
	.take = take_sched,
	.tell = tell_sched,
};
