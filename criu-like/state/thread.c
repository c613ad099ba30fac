// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the C library has registered with the kernel for a thread: the word that is cleared when the thread ends
 * (set_tid_address(2)), its list of robust futexes (get_robust_list(2)), and its area for restartable sequences
 * (rseq(2)).
 *
 * Restartable sequences. A thread that is stopped inside one would be sent to the sequence's abort address when it next
 * returns to user mode, since it was preempted. But it first runs the stub, and there the kernel finds it outside and
 * forgets the sequence; it would then go on in the middle, unprotected. So thaw does what the kernel would have done:
 * the thread's own instruction pointer is set to the abort address, for the images and for the original.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/inject/arch.h"
#include "criu-like/state/kinds.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static int ask_tid_address(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_prctl, PR_GET_TID_ADDRESS, batch_data(b, NULL, sizeof(uint64_t)), 0, 0, 0);
	return 0;
}

static int take_tid_address(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	if (batch_result(b, first) < 0)
		return kind_unread(d, p, t, batch_result(b, first), "clear_child_tid address");
	t->core->thread_info->clear_tid_addr = *(uint64_t *)kind_answer(b, first, 1);
	return 0;
}

static int tell_tid_address(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, BATCH_MUST, SYS_set_tid_address, t->core->thread_info->clear_tid_addr);
	return 0;
}

const struct state_kind kind_tid_address = {
	.name = "clear_child_tid address",
	.ask = ask_tid_address,
	.take = take_tid_address,
	.tell = tell_tid_address,
};

static int take_robust_list(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	ThreadCoreEntry *core = t->core->thread_core;
	void *head;
	size_t len;

	if (syscall(SYS_get_robust_list, t->tid, &head, &len) < 0)
		return kind_unread(d, p, t, -errno, "list of robust futexes");
	core->futex_rla = (uintptr_t)head;
	core->futex_rla_len = (uint32_t)len;
	return 0;
}

static int tell_robust_list(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *core = t->core->thread_core;

	if (core->futex_rla_len)
		batch_call(b, BATCH_MUST, SYS_set_robust_list, core->futex_rla, core->futex_rla_len);
	return 0;
}

const struct state_kind kind_robust_list = {
	.name = "list of robust futexes",
	.take = take_robust_list,
	.tell = tell_robust_list,
};

/* linux/rseq.h */
struct sequence_area {
	uint32_t cpu_id_start, cpu_id;
	uint64_t sequence; /* the one that the thread is in, or 0 */
};

struct sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

static int read_remote(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : (size_t)n == len ? 0 : -EFAULT;
}

static int leave_sequence(struct dump *d, struct process *p, struct thread *t, uint64_t area_at)
{
	unsigned long long *ip = arch_regs_ip(&t->tracee.regs);
	struct sequence_area area = { 0 };
	struct sequence seq = { 0 };
	int ret = read_remote(t->tid, area_at, &area, sizeof(area));

	if (ret == 0 && area.sequence)
		ret = read_remote(t->tid, area.sequence, &seq, sizeof(seq));
	if (ret < 0)
		return kind_unread(d, p, t, ret, "rseq area");
	if (area.sequence && *ip - seq.start < seq.length) {
		diag_debug(d->diag, "thread %d is in a restartable sequence: from %#llx to its abort address %#llx",
			   t->tid, *ip, (unsigned long long)seq.abort);
		*ip = seq.abort;
	}
	return 0;
}

static int rseq_configuration(struct dump *d, struct process *p, struct thread *t,
			      struct __ptrace_rseq_configuration *conf)
{
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->tid, sizeof(*conf), conf) < 0)
		return kind_unread(d, p, t, -errno, "rseq area");
	return 0;
}

/* Not later: the first call that is injected makes the kernel forget the sequence. */
static int check_rseq(struct dump *d, struct process *p, struct thread *t)
{
	struct __ptrace_rseq_configuration conf;
	int ret = rseq_configuration(d, p, t, &conf);

	return ret < 0 || !conf.rseq_abi_pointer ? ret : leave_sequence(d, p, t, conf.rseq_abi_pointer);
}

static int take_rseq(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	struct __ptrace_rseq_configuration conf;
	int ret = rseq_configuration(d, p, t, &conf);
	RseqEntry *e;

	if (ret < 0 || !conf.rseq_abi_pointer)
		return ret;
	e = arena_alloc(d->arena, sizeof(*e));
	if (!e)
		return kind_no_memory(d->diag);
	rseq_entry__init(e);
	e->rseq_abi_pointer = conf.rseq_abi_pointer;
	e->rseq_abi_size = conf.rseq_abi_size;
	e->signature = conf.signature;
	t->core->thread_core->rseq_entry = e;
	return 0;
}

static int tell_rseq(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const RseqEntry *e = t->core->thread_core->rseq_entry;

	if (e && e->rseq_abi_pointer)
		batch_call(b, BATCH_MUST, SYS_rseq, e->rseq_abi_pointer, e->rseq_abi_size, 0, e->signature);
	return 0;
}

const struct state_kind kind_rseq = {
	.name = "rseq area",
	.check = check_rseq,
	.take = take_rseq,
	.tell = tell_rseq,
};
