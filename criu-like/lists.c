// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/lists.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>

#include "criu-like/state/kinds.h"
#include "criu-like/state/pidns.h"
#include "criu-like/state/tree.h"

/* The number that a record of clone3() asks for, 0 for other calls. */
static pid_t wanted_pid(struct restore *r, const struct batch_record *rec)
{
	const struct clone_args *args;

	if (rec->nr != SYS_clone3)
		return 0;
	args = batch_local(&r->batch, rec->arg[0]);
	return *(const pid_t *)batch_local(&r->batch, args->set_tid);
}

static int list_failed(struct restore *r, const struct process *p, const struct thread *t, size_t at)
{
	const struct batch_record *rec = batch_record_at(&r->batch, at);
	int err = (int)-rec->result;

	if (err == EEXIST && wanted_pid(r, rec))
		return diag_fail(r->diag, err,
				 "pid %d is taken by another process; end that one, or restore with --new-pidns",
				 wanted_pid(r, rec));
	return diag_fail(r->diag, err,
			 "thread %d of process %d: restoring its %s: system call %llu (0x%llx, 0x%llx, 0x%llx): %s",
			 t->tid, p->pid, kinds_name(t, at), (unsigned long long)rec->nr,
			 (unsigned long long)rec->arg[0], (unsigned long long)rec->arg[1],
			 (unsigned long long)rec->arg[2], strerror(err));
}

/* Wait for the end of a thread's list. One that stands at a pid which is about to be free is started again there. */
int list_finish(struct restore *r, struct process *p, struct thread *t)
{
	unsigned tries = 0;
	size_t at;

	for (;;) {
		int ret = tracee_finish_list(&t->tracee, &r->batch, &at);
		const struct batch_record *rec;
		pid_t pid;

		if (ret)
			return diag_fail(r->diag, -ret, "thread %d of process %d ended while it was being restored: %s",
					 t->tid, p->pid, strerror(-ret));
		rec = batch_record_at(&r->batch, at);
		if (rec->flags & BATCH_END)
			return 0;
		pid = rec->result == -EEXIST ? wanted_pid(r, rec) : 0;
		if (!pid || tree_wait_pid(r, pid, &tries))
			return list_failed(r, p, t, at);
		ret = tracee_start_list(&t->tracee, &r->batch, at);
		if (ret)
			return diag_fail(r->diag, -ret, "cannot run process %d: %s", p->pid, strerror(-ret));
	}
}

int list_end(struct restore *r, const struct process *p)
{
	int ret = batch_end(&r->batch);

	return ret ? diag_fail(r->diag, -ret, "the lists for process %d do not fit: %s", p->pid, strerror(-ret)) : 0;
}

int list_start(struct restore *r, struct process *p, struct thread *t)
{
	int ret = tracee_start_list(&t->tracee, &r->batch, t->list);
	if (ret)
		return diag_fail(r->diag, -ret, "cannot run process %d: %s", p->pid, strerror(-ret));
	return 0;
}

int list_to_death(struct restore *r, struct process *p)
{
	struct thread *t = &p->threads[0];
	int ret = list_start(r, p, t);
	size_t at;

	if (ret)
		return ret;
	ret = tracee_finish_life(&t->tracee, &r->batch, &at);
	if (ret < 0)
		return diag_fail(r->diag, -ret, "process %d does not end: %s", p->pid, strerror(-ret));
	return ret ? list_failed(r, p, t, at) : 0;
}

int list_adopt(struct restore *r, struct process *p, struct thread *t)
{
	bool leads = t->tid == p->pid;
	pid_t tid = pidns_outside(r, leads ? 0 : process_outside(p), t->tid);
	int ret = tid < 0 ? tid : tracee_adopt(&t->tracee, leads ? tid : process_outside(p), tid);

	t->tracee.own_tid = t->tid;
	t->tracee.own_tgid = p->pid;
	if (ret)
		return diag_fail(r->diag, -ret, "task %d was not born: %s", t->tid, strerror(-ret));
	return 0;
}

int list_run(struct restore *r, struct process *p)
{
	int ret = list_end(r, p);

	if (!ret)
		ret = list_start(r, p, &p->threads[0]);
	return ret ? ret : list_finish(r, p, &p->threads[0]);
}
