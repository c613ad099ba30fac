// SPDX-License-Identifier: GPL-2.0-only
/*
 * Seccomp (seccomp(2)): the strict mode, and the filters of each thread.
 *
 * A thread's filters are a chain, each installed on top of the one before. seccomp.img holds those of all threads. A
 * thread has the number of its oldest; `prev` of a filter is, whatever the name says, the number of the one that was
 * installed next. Equal (ends of) chains are kept once.
 *
 * Filters would judge what is injected. So they are suspended (PTRACE_O_SUSPEND_SECCOMP, for which the tracer needs
 * CAP_SYS_ADMIN) from before the first injected call to the detach, which ends the suspension; on restore from before
 * they are installed. They are installed before the credentials change: without no_new_privs that takes CAP_SYS_ADMIN.
 * Filters that all threads share are installed for all at once by the leader, which comes last, so that they stay one
 * chain to the kernel, and the program can go on with SECCOMP_FILTER_FLAG_TSYNC.
 */
#include "criu-like/state/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

#define NO_FILTER UINT32_MAX

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif

static int suspend(struct diag *diag, const struct process *p, struct thread *t, unsigned long options)
{
	int ret = tracee_suspend_seccomp(&t->tracee, options);

	if (ret == -EPERM)
		return diag_fail(
			diag, EPERM,
			"thread %d of process %d is under seccomp, and suspending that takes CAP_SYS_ADMIN: run thaw "
			"with it, and not under seccomp itself",
			t->tid, p->pid);
	return ret < 0 ? diag_fail(diag, -ret, "cannot suspend the seccomp filters of thread %d of process %d: %s",
				   t->tid, p->pid, strerror(-ret))
		       : 0;
}

static int check_seccomp(struct dump *d, struct process *p, struct thread *t)
{
	return t->status.seccomp ? suspend(d->diag, p, t, 0) : 0;
}

static bool same_filter(const SeccompFilter *a, const SeccompFilter *b)
{
	return a->has_prev == b->has_prev && a->prev == b->prev && a->flags == b->flags &&
	       a->filter.len == b->filter.len && memcmp(a->filter.data, b->filter.data, a->filter.len) == 0;
}

/* Return: its number, an equal one's if there is one; or -errno */
static int64_t add_filter(struct dump *d, SeccompFilter *f)
{
	SeccompEntry *all = d->seccomp;
	size_t nr = all ? all->n_seccomp_filters : 0;

	for (size_t i = 0; i < nr; i++)
		if (same_filter(all->seccomp_filters[i], f))
			return (int64_t)i;
	if (!all) {
		all = arena_alloc(d->arena, sizeof(*all));
		if (!all)
			return kind_no_memory(d->diag);
		seccomp_entry__init(all);
		d->seccomp = all;
	}
	if ((nr & (nr - 1)) == 0) { /* full: it doubles */
		SeccompFilter **list = arena_array(d->arena, nr ? 2 * nr : 1, sizeof(*list));

		if (!list)
			return kind_no_memory(d->diag);
		if (nr)
			memcpy(list, all->seccomp_filters, nr * sizeof(*list));
		all->seccomp_filters = list;
	}
	all->seccomp_filters[nr] = f;
	all->n_seccomp_filters++;
	return (int64_t)nr;
}

static int count_filters(struct dump *d, struct process *p, struct thread *t)
{
	int nr = 0;

	while (ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, nr, NULL) >= 0)
		nr++;
	return errno == ENOENT ? nr : kind_unread(d, p, t, -errno, "seccomp filters");
}

/* Filter @at of the thread, the oldest is 0. */
static int peek_filter(struct dump *d, struct process *p, struct thread *t, size_t at, SeccompFilter **out)
{
	struct {
		uint64_t at, flags;
	} meta = { .at = at };
	long nr = ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, at, NULL);
	SeccompFilter *f = arena_alloc(d->arena, sizeof(*f));

	if (nr < 0 || ptrace(PTRACE_SECCOMP_GET_METADATA, t->tid, sizeof(meta), &meta) < 0)
		return kind_unread(d, p, t, -errno, "seccomp filters");
	if (!f)
		return kind_no_memory(d->diag);
	seccomp_filter__init(f);
	f->filter.len = (size_t)nr * sizeof(struct sock_filter);
	f->filter.data = arena_alloc(d->arena, f->filter.len);
	if (!f->filter.data)
		return kind_no_memory(d->diag);
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, t->tid, at, f->filter.data) != nr)
		return kind_unread(d, p, t, -errno, "seccomp filters");
	f->has_flags = true;
	f->flags = (uint32_t)meta.flags;
	*out = f;
	return 0;
}

static int take_seccomp(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	ThreadCoreEntry *core = t->core->thread_core;
	SeccompFilter *f = NULL;
	int64_t nr;
	int ret;

	if (!t->status.seccomp)
		return 0;
	core->has_seccomp_mode = true;
	core->seccomp_mode = SECCOMP_MODE__strict;
	if (t->status.seccomp == SECCOMP_MODE_STRICT)
		return 0;
	core->seccomp_mode = SECCOMP_MODE__filter;
	ret = count_filters(d, p, t);
	for (size_t at = ret > 0 ? (size_t)ret : 0; at-- > 0;) {
		ret = peek_filter(d, p, t, at, &f);
		if (ret < 0 || !f)
			return ret;
		f->has_prev = core->has_seccomp_filter;
		f->prev = core->seccomp_filter;
		nr = add_filter(d, f);
		if (nr < 0)
			return (int)nr;
		core->has_seccomp_filter = true;
		core->seccomp_filter = (uint32_t)nr;
	}
	return ret < 0 ? ret : 0;
}

static enum _SeccompMode mode_of(const struct thread *t)
{
	const ThreadCoreEntry *core = t->core->thread_core;
	const TaskCoreEntry *tc = t->core->tc;

	if (core->has_seccomp_mode)
		return core->seccomp_mode;
	return tc && tc->has_old_seccomp_mode ? tc->old_seccomp_mode : SECCOMP_MODE__disabled;
}

static uint32_t oldest_filter(const struct thread *t)
{
	const ThreadCoreEntry *core = t->core->thread_core;
	const TaskCoreEntry *tc = t->core->tc;

	if (mode_of(t) != SECCOMP_MODE__filter)
		return NO_FILTER;
	if (core->has_seccomp_filter)
		return core->seccomp_filter;
	return tc && tc->has_old_seccomp_filter ? tc->old_seccomp_filter : NO_FILTER;
}

static const SeccompFilter *filter_at(const struct restore *r, uint32_t nr)
{
	return r->seccomp && nr < r->seccomp->n_seccomp_filters ? r->seccomp->seccomp_filters[nr] : NULL;
}

static bool all_threads_share(const struct process *p)
{
	for (size_t i = 1; i < p->nr_threads; i++)
		if (oldest_filter(&p->threads[i]) != oldest_filter(&p->threads[0]))
			return false;
	return p->nr_threads > 1;
}

static void tell_filter(struct batch *b, const SeccompFilter *f, bool all_threads)
{
	struct {
		uint16_t len;
		uint64_t filter;
	} prog = { .len = (uint16_t)(f->filter.len / sizeof(struct sock_filter)) };
	uint64_t flags = f->has_flags ? f->flags : 0;

	if (all_threads)
		flags |= SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
	prog.filter = batch_data(b, f->filter.data, f->filter.len);
	batch_call(b, BATCH_MUST, SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, batch_data(b, &prog, sizeof(prog)));
}

static int tell_chain(struct restore *r, struct process *p, struct thread *t, struct batch *b, bool all_threads)
{
	size_t max = r->seccomp ? r->seccomp->n_seccomp_filters : 0, nr = 0;
	const SeccompFilter *f = filter_at(r, oldest_filter(t));
	bool more = true;

	for (; f && more && nr < max; nr++) {
		size_t len = f->filter.len / sizeof(struct sock_filter);

		if (!len || len > BPF_MAXINSNS || f->filter.len % sizeof(struct sock_filter))
			return diag_fail(r->diag, EPROTO, "seccomp.img is damaged: a filter of thread %d has %zu bytes",
					 t->tid, f->filter.len);
		tell_filter(b, f, all_threads);
		more = f->has_prev;
		f = more ? filter_at(r, f->prev) : NULL;
	}
	if (more)
		return diag_fail(r->diag, EPROTO,
				 "seccomp.img is missing or damaged: thread %d of process %d has no whole chain",
				 t->tid, p->pid);
	return 0;
}

static int tell_seccomp(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	bool shared;
	int ret;

	if (mode_of(t) == SECCOMP_MODE__disabled)
		return 0;
	shared = all_threads_share(p);
	ret = suspend(r->diag, p, t, PTRACE_O_EXITKILL);
	if (ret < 0)
		return ret;
	if (mode_of(t) == SECCOMP_MODE__strict) {
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		return 0;
	}
	return shared && t->tid != p->pid ? 0 : tell_chain(r, p, t, b, shared);
}

const struct state_kind kind_seccomp = {
	.name = "seccomp filters",
	.check = check_seccomp,
	.take = take_seccomp,
	.tell = tell_seccomp,
};

int seccomp_write(struct dump *d)
{
	return d->seccomp ? image_write_one(d->dir, IMG_SECCOMP, 0, d->seccomp, d->diag) : 0;
}

int seccomp_read(struct restore *r)
{
	return image_exists(r->dir, IMG_SECCOMP, 0) ? image_read_one(r->dir, IMG_SECCOMP, 0, &r->seccomp, r->diag) : 0;
}

void seccomp_free(struct restore *r)
{
	image_free(r->seccomp);
	r->seccomp = NULL;
}

void seccomp_room(const struct restore *r, const struct thread *t, size_t *records, size_t *bytes)
{
	const SeccompFilter *f = filter_at(r, oldest_filter(t));
	size_t max = r->seccomp ? r->seccomp->n_seccomp_filters : 0;

	for (size_t nr = 0; f && nr < max; nr++) {
		*records += 1;
		*bytes += f->filter.len + 64;
		f = f->has_prev ? filter_at(r, f->prev) : NULL;
	}
}
