// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which a restore must tell the kinds:
 *
 * - actions before pending signals: setting an action to "ignore" throws pending ones away;
 * - pending signals before the limits, of which RLIMIT_SIGPENDING is one;
 * - all that takes privileges before the credentials;
 * - the credentials before what their change resets.
 */
#include "criu-like/state/kinds.h"

#include <errno.h>
#include <string.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/seccomp.h"
#include "criu-like/state/timers.h"
#include "criu-like/state/tty.h"

static const struct state_kind *const state_kinds[] = {
	&kind_tid_address, &kind_robust_list, &kind_rseq,	&kind_mask,	    &kind_actions, &kind_altstack,
	&kind_foreground,  &kind_pending,     &kind_itimers,	&kind_posix_timers, &kind_process, &kind_name,
	&kind_extra,	   &kind_cpu,	      &kind_attributes, &kind_sched,	    &kind_rlimits, &kind_seccomp,
	&kind_creds,	   &kind_after_creds, &kind_calls,
};

/* Records and bytes that a thread takes at most, but for what it can have any number of. */
#define ROOM_RECORDS 320
#define ROOM_BYTES (16UL * 1024)
#define ROOM_PER_PENDING 160 /* bytes */
#define ROOM_PER_TIMER 192   /* bytes */

int kind_no_memory(struct diag *diag)
{
	return diag_fail(diag, ENOMEM, "out of memory");
}

int kind_unread(struct dump *d, const struct process *p, const struct thread *t, int64_t ret, const char *what)
{
	return diag_fail(d->diag, (int)-ret, "cannot read the %s of thread %d of process %d: %s", what, t->tid, p->pid,
			 strerror((int)-ret));
}

static bool applies(const struct state_kind *kind, const struct process *p, const struct thread *t)
{
	return !kind->leader_only || t->tid == p->pid;
}

static int start_records(struct arena *arena, struct diag *diag, struct thread *t)
{
	t->kind_records = arena_array(arena, ARRAY_SIZE(state_kinds), sizeof(*t->kind_records));
	return t->kind_records ? 0 : kind_no_memory(diag);
}

int kinds_check(struct dump *d, struct process *p, struct thread *t)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(state_kinds); i++)
		if (state_kinds[i]->check && applies(state_kinds[i], p, t))
			ret = state_kinds[i]->check(d, p, t);
	return ret;
}

int kinds_ask(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	int ret = start_records(d->arena, d->diag, t);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(state_kinds); i++) {
		t->kind_records[i] = b->nr_records;
		if (state_kinds[i]->ask && applies(state_kinds[i], p, t))
			ret = state_kinds[i]->ask(d, p, t, b);
	}
	return ret;
}

int kinds_take(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(state_kinds); i++)
		if (state_kinds[i]->take && applies(state_kinds[i], p, t))
			ret = state_kinds[i]->take(d, p, t, b, t->kind_records[i]);
	return ret;
}

int kinds_tell(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	int ret = start_records(r->arena, r->diag, t);

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(state_kinds); i++) {
		t->kind_records[i] = b->nr_records;
		if (state_kinds[i]->tell && applies(state_kinds[i], p, t))
			ret = state_kinds[i]->tell(r, p, t, b);
	}
	return ret;
}

void kinds_room_to_ask(const struct process *p, size_t *records, size_t *bytes)
{
	_cleanup_free_ struct proc_timer *timers = NULL;
	size_t nr = 0;

	*records += p->nr_threads * ROOM_RECORDS;
	*bytes += p->nr_threads * ROOM_BYTES;
	if (proc_read_timers(p->proc_fd, &timers, &nr) == 0) {
		*records += 2 * nr;
		*bytes += nr * ROOM_PER_TIMER;
	}
}

int kinds_apply(struct restore *r, struct process *p, struct thread *t)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < ARRAY_SIZE(state_kinds); i++)
		if (state_kinds[i]->apply && applies(state_kinds[i], p, t))
			ret = state_kinds[i]->apply(r, p, t);
	return ret;
}

static size_t nr_pending(const SignalQueueEntry *queue)
{
	return queue ? queue->n_signals : 0;
}

void kinds_room_to_tell(const struct restore *r, const struct thread *t, size_t *records, size_t *bytes)
{
	const TaskCoreEntry *tc = t->core->tc;
	const ThreadCoreEntry *core = t->core->thread_core;
	size_t pending = nr_pending(core->signals_p) + nr_pending(tc ? tc->signals_s : NULL);
	size_t timers = 0;

	/* Where timers must be counted up to, each number takes two calls. */
	if (tc && tc->timers) {
		timers = tc->timers->n_posix;
		for (size_t i = 0; !timers_by_number() && i < tc->timers->n_posix; i++)
			timers = MAX(timers, MIN((size_t)tc->timers->posix[i]->it_id, TIMERS_MAX_COUNTED) + 1);
	}
	*records += ROOM_RECORDS + pending + 2 * timers;
	*bytes += ROOM_BYTES + pending * ROOM_PER_PENDING + timers * ROOM_PER_TIMER;
	seccomp_room(r, t, records, bytes);
	if (core->creds)
		*bytes += core->creds->n_groups * sizeof(uint32_t);
}

const char *kinds_name(const struct thread *t, size_t idx)
{
	const char *name = "list";

	for (size_t i = 0; t->kind_records && i < ARRAY_SIZE(state_kinds) && t->kind_records[i] <= idx; i++)
		name = state_kinds[i]->name;
	return name;
}
