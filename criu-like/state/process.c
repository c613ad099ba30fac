// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process has once and sets by prctl(2), personality(2) and the like; and the names of its threads.
 *
 * What is lost when credentials change (the parent-death signal, whether core dumps are allowed) comes last, in each
 * thread, since each thread's change of credentials resets what belongs to the whole process: the last one to change
 * sets it right behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

/* Since kernel 6.3; membarrier(2). */
#define MEMBARRIER_GET_REGISTRATIONS (1 << 9)
#define MEMBARRIER_REGISTRATIONS                                                                \
	(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)

#define COMM_SIZE 16 /* with NUL */
#define PERSONALITY_QUERY 0xffffffffU
#define PERSONALITY_NO_BITS 0xf000ff00U /* sys/personality.h: a number below, flags above */

enum { ASK_PERSONALITY, ASK_SUBREAPER, ASK_THP, ASK_MEMBARRIER };

static int ask_process(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_personality, PERSONALITY_QUERY);
	batch_call(b, 0, SYS_prctl, PR_GET_CHILD_SUBREAPER, batch_data(b, NULL, sizeof(int)));
	batch_call(b, 0, SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	batch_call(b, 0, SYS_membarrier, MEMBARRIER_GET_REGISTRATIONS, 0, 0);
	return 0;
}

static int read_oom_score_adj(int proc_fd, int *out)
{
	_cleanup_free_ char *text = NULL;
	ssize_t len = read_text(proc_fd, "oom_score_adj", &text);

	if (len < 0)
		return (int)len;
	*out = atoi(text);
	return 0;
}

static int take_process(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	TaskCoreEntry *tc = t->core->tc;
	int64_t registrations = batch_result(b, first + ASK_MEMBARRIER);
	int ret, oom = 0;

	if (batch_result(b, first + ASK_PERSONALITY) < 0)
		return kind_unread(d, p, t, batch_result(b, first + ASK_PERSONALITY), "personality");
	if (batch_result(b, first + ASK_SUBREAPER) < 0)
		return kind_unread(d, p, t, batch_result(b, first + ASK_SUBREAPER), "child subreaper");
	if (batch_result(b, first + ASK_THP) < 0)
		return kind_unread(d, p, t, batch_result(b, first + ASK_THP), "use of huge pages");
	ret = read_oom_score_adj(p->proc_fd, &oom);
	if (ret < 0)
		return kind_unread(d, p, t, ret, "oom_score_adj");
	tc->personality = (uint32_t)batch_result(b, first + ASK_PERSONALITY);
	tc->has_oom_score_adj = true;
	tc->oom_score_adj = oom;
	tc->has_child_subreaper = true;
	tc->child_subreaper = *(int *)kind_answer(b, first + ASK_SUBREAPER, 1);
	/* Older kernels do not tell the registrations: then there are none to keep. */
	if (registrations > 0) {
		tc->has_membarrier_registration_mask = true;
		tc->membarrier_registration_mask = (uint32_t)registrations;
	}
	p->mm->has_thp_disabled = true;
	p->mm->thp_disabled = batch_result(b, first + ASK_THP) & 1;
	return 0;
}

/*
 * CRIU reads the hexadecimal digits of /proc/PID/personality as decimal ones, and sets no personality on restore. Such
 * a number shows by bits that no personality has.
 */
static uint32_t real_personality(uint32_t stored)
{
	char digits[16];

	if (!(stored & PERSONALITY_NO_BITS))
		return stored;
	snprintf(digits, sizeof(digits), "%u", stored);
	return (uint32_t)strtoul(digits, NULL, 16);
}

static int tell_process(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const TaskCoreEntry *tc = t->core->tc;
	uint32_t mask = tc->has_membarrier_registration_mask ? tc->membarrier_registration_mask : 0;

	if (mask & ~(uint32_t)MEMBARRIER_REGISTRATIONS)
		return diag_fail(r->diag, EOPNOTSUPP,
				 "process %d has a membarrier registration that thaw does not know (%#x)", p->pid,
				 mask);
	batch_call(b, BATCH_MUST, SYS_personality, real_personality(tc->personality));
	batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_CHILD_SUBREAPER, tc->has_child_subreaper && tc->child_subreaper);
	if (p->mm && p->mm->has_thp_disabled)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_THP_DISABLE, p->mm->thp_disabled, 0, 0, 0);
	for (uint32_t cmd = 1; cmd <= mask; cmd <<= 1)
		if (mask & cmd)
			batch_call(b, BATCH_MUST, SYS_membarrier, cmd, 0, 0);
	return 0;
}

/* Less than before takes CAP_SYS_RESOURCE: where that is missing the process is only more likely to be chosen. */
static int apply_process(struct restore *r, struct process *p, struct thread *t)
{
	const TaskCoreEntry *tc = t->core->tc;
	_cleanup_close_ int proc = -1;
	_cleanup_close_ int fd = -1;
	int now = 0, len, ret;
	char text[16];

	if (!tc->has_oom_score_adj)
		return 0;
	proc = proc_open(process_outside(p));
	ret = proc < 0 ? proc : read_oom_score_adj(proc, &now);
	if (ret == 0 && now == tc->oom_score_adj)
		return 0;
	len = snprintf(text, sizeof(text), "%d", tc->oom_score_adj);
	if (ret == 0)
		fd = openat(proc, "oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (ret == 0 && (fd < 0 || write(fd, text, (size_t)len) != len))
		ret = -errno;
	if (ret == -EACCES) {
		diag_warn(r->diag, "process %d keeps the oom_score_adj %d: %d takes CAP_SYS_RESOURCE", p->pid, now,
			  tc->oom_score_adj);
		return 0;
	}
	return ret < 0 ? diag_fail(r->diag, -ret, "cannot set the oom_score_adj of process %d: %s", p->pid,
				   strerror(-ret))
		       : 0;
}

const struct state_kind kind_process = {
	.name = "process attributes",
	.leader_only = true,
	.ask = ask_process,
	.take = take_process,
	.tell = tell_process,
	.apply = apply_process,
};

static int ask_name(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_prctl, PR_GET_NAME, batch_data(b, NULL, COMM_SIZE));
	return 0;
}

static int take_name(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	const char *comm = kind_answer(b, first, 1);
	char *copy;

	if (batch_result(b, first) < 0)
		return kind_unread(d, p, t, batch_result(b, first), "name");
	copy = arena_strdup(d->arena, comm);
	if (!copy)
		return kind_no_memory(d->diag);
	t->core->thread_core->comm = copy;
	if (t->core->tc)
		t->core->tc->comm = copy;
	return 0;
}

static int tell_name(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const char *name = t->core->thread_core->comm;
	char comm[COMM_SIZE] = { 0 };

	if (!name && t->core->tc)
		name = t->core->tc->comm;
	if (!name)
		name = p->threads[0].core->tc->comm;
	memcpy(comm, name, strnlen(name, COMM_SIZE - 1));
	batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_NAME, batch_data(b, comm, sizeof(comm)));
	return 0;
}

const struct state_kind kind_name = {
	.name = "name",
	.ask = ask_name,
	.take = take_name,
	.tell = tell_name,
};

static int ask_after_creds(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_prctl, PR_GET_PDEATHSIG, batch_data(b, NULL, sizeof(int)));
	batch_call(b, 0, SYS_prctl, PR_GET_DUMPABLE);
	return 0;
}

static int take_after_creds(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	int sig = *(int *)kind_answer(b, first, 1);

	for (size_t i = 0; i < 2; i++)
		if (batch_result(b, first + i) < 0)
			return kind_unread(d, p, t, batch_result(b, first + i),
					   "parent-death signal and dumpable flag");
	if (sig) {
		t->core->thread_core->has_pdeath_sig = true;
		t->core->thread_core->pdeath_sig = (uint32_t)sig;
	}
	p->mm->has_dumpable = true;
	p->mm->dumpable = (int32_t)batch_result(b, first + 1);
	return 0;
}

/*
 * The parent of a detached root is thaw, which ends: the signal would come at once. The parent that it was about is not
 * there, and the next one is init, so that none is due.
 */
static bool outlives_parent(const struct restore *r, const struct process *p)
{
	return !p->parent && r->opt->detach && !r->opt->sibling;
}

/* Dumpable 2 ("only by root") cannot be set by prctl(2): 0 allows no more than it. */
static int tell_after_creds(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThreadCoreEntry *core = t->core->thread_core;

	if (p->mm && p->mm->has_dumpable)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_DUMPABLE, p->mm->dumpable == 1);
	if (core->has_pdeath_sig && core->pdeath_sig && !outlives_parent(r, p))
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_PDEATHSIG, core->pdeath_sig);
	return 0;
}

const struct state_kind kind_after_creds = {
	.name = "parent-death signal and dumpable flag",
	.ask = ask_after_creds,
	.take = take_after_creds,
	.tell = tell_after_creds,
};
