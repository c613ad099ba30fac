// SPDX-License-Identifier: GPL-2.0-only
/* The tree is made as planned (state/births_plan.c); then those end that are not to live: helpers and zombies. */
#include "criu-like/births.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "criu-like/lists.h"
#include "criu-like/state/births_plan.h"
#include "criu-like/state/clocks.h"
#include "criu-like/state/pidns.h"
#include "criu-like/state/sysv.h"
#include "criu-like/state/tree.h"

/* glibc registered an rseq area for this thread, and a fork inherits that: the kernel would write into what is gone. */
static int tell_rseq_end(struct restore *r, struct process *p)
{
	struct {
		uint64_t pointer;
		uint32_t size, signature, flags, pad;
	} conf = { 0 };

	if (tracee_rseq(&p->threads[0].tracee, &conf, sizeof(conf)) < 0 || !conf.pointer)
		return 0;
	batch_call(&r->batch, BATCH_MUST, SYS_rseq, conf.pointer, conf.size, 1, conf.signature);
	return 0;
}

static int give_birth(struct restore *r, struct process *p)
{
	struct thread *t = &p->threads[0];
	bool first_of_ns = r->pidns && !p->bearer && !pidns_init(r);
	int ret = p->bearer || pidns_init(r) ? list_adopt(r, p, t) : 0;
	size_t proc;

	if (ret)
		return ret;
	p->pidfd = (int)syscall(SYS_pidfd_open, process_outside(p), 0);
	if (p->pidfd < 0)
		return diag_fail(r->diag, errno, "cannot open a pidfd of process %d: %s", p->pid, strerror(errno));
	t->list = batch_begin(&r->batch);
	if (!p->bearer)
		ret = tell_rseq_end(r, p);
	proc = first_of_ns ? pidns_tell_proc(&r->batch) : 0;
	tree_tell_births(r, p, &r->batch);
	if (!ret)
		ret = list_run(r, p);
	return !ret && first_of_ns ? pidns_check_proc(r, proc) : ret;
}

/* The init of a PID namespace of the tree's own: it mounts /proc, and makes the tree's first process. */
static int run_init(struct restore *r)
{
	struct process *init = pidns_init(r);
	size_t proc;
	int ret;

	init->threads[0].list = batch_begin(&r->batch);
	proc = pidns_tell_proc(&r->batch);
	tree_tell_clone(&r->batch, births_first(&r->tree), 0);
	sysv_tell_detach(r, &r->batch);
	ret = list_run(r, init);
	return ret ? ret : pidns_check_proc(r, proc);
}

static int make_first(struct restore *r)
{
	struct process *init = pidns_init(r);
	int ret = init ? pidns_prepare(r) : 0;

	if (!ret)
		ret = clocks_restore(r);
	if (!ret)
		ret = tree_birth(r);
	if (!ret && r->pidns)
		ret = pidns_made(r, process_outside(init ?: births_first(&r->tree)));
	return !ret && init ? run_init(r) : ret;
}

/* Breadth first: each of them exists when its turn comes. */
int births_make(struct restore *r)
{
	struct process **queue = arena_array(r->arena, r->tree.nr, sizeof(*queue));
	int ret = queue ? make_first(r) : -ENOMEM;
	size_t nr = 0;

	if (queue)
		queue[nr++] = births_first(&r->tree);
	for (size_t i = 0; !ret && i < nr; i++) {
		ret = give_birth(r, queue[i]);
		for (struct process *c = queue[i]->first_borne; c; c = c->next_borne)
			queue[nr++] = c;
	}
	return ret;
}

static int set_subreaper(struct restore *r, struct process *p, bool on)
{
	p->threads[0].list = batch_begin(&r->batch);
	tree_tell_subreaper(&r->batch, on);
	return list_run(r, p);
}

static int end_task(struct restore *r, struct process *p)
{
	p->threads[0].list = p->memory_list;
	return list_to_death(r, p);
}

static int end_helper(struct restore *r, struct process *p)
{
	struct process *adopter = p->first_borne && births_is_orphan(p->first_borne) ? p->first_borne->parent : NULL;
	int ret = adopter ? set_subreaper(r, adopter, true) : 0;

	if (!ret)
		ret = end_task(r, p);
	if (!ret && p->parent) {
		p->parent->threads[0].list = batch_begin(&r->batch);
		tree_tell_wait(p, &r->batch);
		ret = list_run(r, p->parent);
	}
	return !ret && adopter ? set_subreaper(r, adopter, false) : ret;
}

/* Helpers are the last ones in the tree; those born to helpers come behind them. */
int births_finish(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		if (!tree_joins_early(r, p))
			continue;
		p->threads[0].list = batch_begin(&r->batch);
		tree_tell_group(r, p, &r->batch);
		ret = list_run(r, p);
	}
	for (size_t i = r->tree.nr; !ret && i-- > 0;)
		if (r->tree.procs[i]->helper)
			ret = end_helper(r, r->tree.procs[i]);
	for (size_t i = 0; !ret && i < r->tree.nr; i++)
		if (r->tree.procs[i]->zombie && !r->tree.procs[i]->helper)
			ret = end_task(r, r->tree.procs[i]);
	if (!ret)
		tree_drop_helpers(&r->tree);
	return ret;
}
