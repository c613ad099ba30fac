// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scheduling policy, priority and nice value (sched(7)).
 *
 * They are told always, since what a task inherits from thaw is thaw's. What only sched_setattr(2) knows (the times of
 * SCHED_DEADLINE, a time slice, utilization clamps) has no place in the format and is in Thaw's own file, as is
 * affinity (extra.c).
 */
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/state/kinds.h"

static bool is_realtime(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* linux/sched/types.h, which cannot be had together with sched.h. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

#define POLICY_DEADLINE 6
#define FLAG_UTIL_CLAMP 0x60ULL
#define UTIL_ALL 1024

/*
 * A time slice of its own does not tell itself apart from the usual one, which thaw has, too; a clamp of 0 to all is
 * none, and without clamps the kernel says 0 to 0.
 */
static bool is_special(const struct attr *a)
{
	struct attr own = { .size = sizeof(own) };
	bool fair = a->policy == SCHED_OTHER || a->policy == SCHED_BATCH;

	if (a->policy == POLICY_DEADLINE || a->util_min || (a->util_max && a->util_max != UTIL_ALL))
		return true;
	return fair && a->runtime && syscall(SYS_sched_getattr, 0, &own, sizeof(own), 0) == 0 &&
	       own.policy == SCHED_OTHER && own.runtime != a->runtime;
}

static int take_attr(struct dump *d, struct process *p, struct thread *t)
{
	struct attr a = { .size = sizeof(a) };
	ThawSchedEntry *e;

	if (syscall(SYS_sched_getattr, t->tid, &a, sizeof(a), 0) < 0)
		return kind_unread(d, p, t, -errno, "scheduling attributes");
	if (!is_special(&a))
		return 0;
	e = arena_alloc(d->arena, sizeof(*e));
	if (!e)
		return kind_no_memory(d->diag);
	thaw_sched_entry__init(e);
	e->has_runtime = e->has_deadline = e->has_period = e->has_flags = true;
	e->runtime = a.runtime;
	e->deadline = a.deadline;
	e->period = a.period;
	e->flags = a.flags;
	e->has_util_min = e->has_util_max = a.util_min || (a.util_max && a.util_max != UTIL_ALL);
	e->util_min = a.util_min;
	e->util_max = a.util_max;
	t->extra->sched = e;
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
	return take_attr(d, p, t);
}

static void tell_attr(const ThreadCoreEntry *core, const ThawSchedEntry *e, struct batch *b)
{
	int policy = (int)core->sched_policy & ~SCHED_RESET_ON_FORK;
	struct attr a = { .size = sizeof(a),
			  .policy = (uint32_t)policy,
			  .flags = e->flags,
			  .nice = core->sched_nice,
			  .priority = core->sched_prio,
			  .runtime = e->runtime,
			  .deadline = e->deadline,
			  .period = e->period };

	if (e->has_util_min)
		a.flags |= FLAG_UTIL_CLAMP;
	a.util_min = e->util_min;
	a.util_max = e->util_max;
	batch_call(b, BATCH_MUST, SYS_sched_setattr, 0, batch_data(b, &a, sizeof(a)), 0);
}

static int tell_sched(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *core = t->core->thread_core;
	struct sched_param param = { .sched_priority = (int)core->sched_prio };

	if (core->has_sched_nice)
		batch_call(b, BATCH_MUST, SYS_setpriority, PRIO_PROCESS, 0, (uint64_t)(int64_t)core->sched_nice);
	if (t->extra && t->extra->sched)
		tell_attr(core, t->extra->sched, b);
	else if (core->has_sched_policy)
		batch_call(b, BATCH_MUST, SYS_sched_setscheduler, 0, core->sched_policy,
			   batch_data(b, &param, sizeof(param)));
	return 0;
}

const struct state_kind kind_sched = {
	.name = "scheduling",
	.take = take_sched,
	.tell = tell_sched,
};
