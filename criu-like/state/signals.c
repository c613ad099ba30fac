// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals: what is done on them, where their handlers run, which are blocked, which are pending (signal(7)).
 *
 * Order on restore. Setting an action to "ignore" throws away pending signals of that number, even blocked ones: the
 * actions come first. A signal is queued by the task to itself, the only sender that may forge what the kernel sent
 * (rt_sigqueueinfo(2)); all signals are blocked while lists run, so that none is delivered or dropped as ignored. The
 * blocked mask is set by the tracer at the release.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

#define NR_SIGNALS 64
#define SIGINFO_SIZE 128
#define PEEK_MANY 32 /* pending signals read at once */

/* The alternative stack's modes that signal.h may lack; the kernel's words for them are in linux/signal.h. */
#define ALTSTACK_ON 1U
#define ALTSTACK_DISABLE 2U
#define ALTSTACK_AUTODISARM (1U << 31)

/* struct sigaction as the kernel has it. */
struct kernel_action {
	uint64_t handler, flags, restorer, mask;
};

static bool has_action(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP;
}

static int ask_actions(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	for (int sig = 1; sig <= NR_SIGNALS; sig++)
		if (has_action(sig))
			batch_call(b, 0, SYS_rt_sigaction, (uint64_t)sig, 0,
				   batch_data(b, NULL, sizeof(struct kernel_action)), sizeof(uint64_t));
	return 0;
}

static int take_actions(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	TaskCoreEntry *tc = t->core->tc;
	size_t nr = NR_SIGNALS - 2;
	SaEntry *entries = arena_array(d->arena, nr, sizeof(*entries));
	SaEntry **list = arena_array(d->arena, nr, sizeof(*list));

	if (!entries || !list)
		return kind_no_memory(d->diag);
	for (size_t i = 0; i < nr; i++) {
		const struct kernel_action *act = kind_answer(b, first + i, 2);

		if (batch_result(b, first + i) < 0)
			return kind_unread(d, p, t, batch_result(b, first + i), "signal actions");
		sa_entry__init(&entries[i]);
		entries[i].sigaction = act->handler;
		entries[i].flags = act->flags;
		entries[i].restorer = act->restorer;
		entries[i].mask = act->mask;
		entries[i].has_compat_sigaction = true;
		list[i] = &entries[i];
	}
	tc->sigactions = list;
	tc->n_sigactions = nr;
	return 0;
}

static int tell_actions(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const TaskCoreEntry *tc = t->core->tc;
	size_t i = 0;

	if (tc->n_sigactions != NR_SIGNALS - 2)
		return diag_fail(r->diag, EPROTO, "the images of process %d have %zu signal actions instead of %d",
				 p->pid, tc->n_sigactions, NR_SIGNALS - 2);
	for (int sig = 1; sig <= NR_SIGNALS; sig++) {
		const SaEntry *e;
		struct kernel_action act;

		if (!has_action(sig))
			continue;
		e = tc->sigactions[i++];
		if (e->has_compat_sigaction && e->compat_sigaction)
			return diag_fail(r->diag, EOPNOTSUPP, "process %d has a 32-bit handler of signal %d", p->pid,
					 sig);
		act = (struct kernel_action){ e->sigaction, e->flags, e->restorer, e->mask };
		batch_call(b, BATCH_MUST, SYS_rt_sigaction, (uint64_t)sig, batch_data(b, &act, sizeof(act)), 0,
			   sizeof(uint64_t));
	}
	return 0;
}

const struct state_kind kind_actions = {
	.name = "signal actions",
	.leader_only = true,
	.ask = ask_actions,
	.take = take_actions,
	.tell = tell_actions,
};

static int ask_altstack(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_sigaltstack, 0, batch_data(b, NULL, sizeof(stack_t)));
	return 0;
}

static int take_altstack(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	const stack_t *ss = kind_answer(b, first, 1);
	ThreadSasEntry *sas = arena_alloc(d->arena, sizeof(*sas));

	if (!sas)
		return kind_no_memory(d->diag);
	if (batch_result(b, first) < 0)
		return kind_unread(d, p, t, batch_result(b, first), "alternative signal stack");
	thread_sas_entry__init(sas);
	sas->ss_sp = (uintptr_t)ss->ss_sp;
	sas->ss_size = ss->ss_size;
	sas->ss_flags = (uint32_t)ss->ss_flags;
	t->core->thread_core->sas = sas;
	return 0;
}

/* "On it" only says where the stack pointer was, and is not set; the stub itself runs on no stack. */
static int tell_altstack(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadSasEntry *sas = t->core->thread_core->sas;
	stack_t ss = { 0 };

	if (!sas)
		return 0;
	ss.ss_sp = (void *)(uintptr_t)sas->ss_sp;
	ss.ss_size = sas->ss_size;
	ss.ss_flags = (int)(sas->ss_flags & (ALTSTACK_DISABLE | ALTSTACK_AUTODISARM));
	batch_call(b, BATCH_MUST, SYS_sigaltstack, batch_data(b, &ss, sizeof(ss)), 0);
	return 0;
}

const struct state_kind kind_altstack = {
	.name = "alternative signal stack",
	.ask = ask_altstack,
	.take = take_altstack,
	.tell = tell_altstack,
};

static int take_mask(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	if (t->core->tc) {
		t->core->tc->blk_sigset = t->tracee.sigmask;
	} else {
		t->core->thread_core->has_blk_sigset = true;
		t->core->thread_core->blk_sigset = t->tracee.sigmask;
	}
	return 0;
}

static int tell_mask(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	t->tracee.sigmask = t->core->tc ? t->core->tc->blk_sigset : t->core->thread_core->blk_sigset;
	return 0;
}

const struct state_kind kind_mask = {
	.name = "blocked signals",
	.take = take_mask,
	.tell = tell_mask,
};

/* Append what was peeked; the list doubles when it is full. */
static int add_pending(struct dump *d, SignalQueueEntry *queue, size_t *cap, const void *infos, size_t nr)
{
	SiginfoEntry *entries = arena_array(d->arena, nr, sizeof(*entries));
	uint8_t *copy = arena_array(d->arena, nr, SIGINFO_SIZE);

	if (!entries || !copy)
		return kind_no_memory(d->diag);
	if (queue->n_signals + nr > *cap) {
		SiginfoEntry **list = arena_array(d->arena, 2 * *cap + nr, sizeof(*list));

		if (!list)
			return kind_no_memory(d->diag);
		if (queue->n_signals)
			memcpy(list, queue->signals, queue->n_signals * sizeof(*list));
		queue->signals = list;
		*cap = 2 * *cap + nr;
	}
	memcpy(copy, infos, nr * SIGINFO_SIZE);
	for (size_t i = 0; i < nr; i++) {
		siginfo_entry__init(&entries[i]);
		entries[i].siginfo.data = copy + i * SIGINFO_SIZE;
		entries[i].siginfo.len = SIGINFO_SIZE;
		queue->signals[queue->n_signals++] = &entries[i];
	}
	return 0;
}

static int peek_queue(struct dump *d, struct process *p, struct thread *t, bool shared, SignalQueueEntry **out)
{
	SignalQueueEntry *queue = arena_alloc(d->arena, sizeof(*queue));
	uint8_t infos[PEEK_MANY * SIGINFO_SIZE];
	size_t cap = 0;

	if (!queue)
		return kind_no_memory(d->diag);
	signal_queue_entry__init(queue);
	for (;;) {
		struct __ptrace_peeksiginfo_args args = {
			.off = queue->n_signals,
			.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
			.nr = PEEK_MANY,
		};
		long nr = ptrace(PTRACE_PEEKSIGINFO, t->tid, &args, infos);
		int ret;

		if (nr < 0)
			return kind_unread(d, p, t, -errno, "pending signals");
		if (nr == 0)
			break;
		ret = add_pending(d, queue, &cap, infos, (size_t)nr);
		if (ret < 0)
			return ret;
	}
	*out = queue;
	return 0;
}

static int take_pending(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	int ret = peek_queue(d, p, t, false, &t->core->thread_core->signals_p);

	if (ret == 0 && t->core->tc)
		ret = peek_queue(d, p, t, true, &t->core->tc->signals_s);
	return ret;
}

static int tell_queue(struct restore *r, struct process *p, struct thread *t, struct batch *b,
		      const SignalQueueEntry *queue, bool shared)
{
	for (size_t i = 0; queue && i < queue->n_signals; i++) {
		const ProtobufCBinaryData *info = &queue->signals[i]->siginfo;
		uint64_t data;
		int sig;

		if (info->len != SIGINFO_SIZE)
			return diag_fail(r->diag, EPROTO,
					 "the images of thread %d have a pending signal of %zu bytes instead of %d",
					 t->tid, info->len, SIGINFO_SIZE);
		memcpy(&sig, info->data, sizeof(sig));
		if (sig < 1 || sig > NR_SIGNALS)
			return diag_fail(r->diag, EPROTO, "the images of thread %d have a pending signal %d", t->tid,
					 sig);
		data = batch_data(b, info->data, SIGINFO_SIZE);
		if (shared)
			batch_call(b, BATCH_MUST, SYS_rt_sigqueueinfo, (uint64_t)p->pid, (uint64_t)sig, data);
		else
			batch_call(b, BATCH_MUST, SYS_rt_tgsigqueueinfo, (uint64_t)p->pid, (uint64_t)t->tid,
				   (uint64_t)sig, data);
	}
	return 0;
}

static int tell_pending(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	int ret = tell_queue(r, p, t, b, t->core->thread_core->signals_p, false);

	if (ret == 0 && t->core->tc)
		ret = tell_queue(r, p, t, b, t->core->tc->signals_s, true);
	return ret;
}

const struct state_kind kind_pending = {
	.name = "pending signals",
	.take = take_pending,
	.tell = tell_pending,
};
