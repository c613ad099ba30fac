// SPDX-License-Identifier: GPL-2.0-only
/* After a restore that failed: nothing of its tree remains. */
#include "criu-like/discard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "criu-like/state/pidns.h"

/*
 * A leader's number here; also if it was born, and attached at birth, but nobody has seen it stop yet. 0: it is not
 * there. A number in the images may also be that of somebody else.
 */
static pid_t born(struct restore *r, const struct thread *t)
{
	siginfo_t info;
	pid_t tid;

	if (t->tracee.tid)
		return t->tracee.tid;
	tid = pidns_outside(r, 0, t->tid);
	if (tid < 0 || waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL))
		return 0;
	return tid;
}

/*
 * Threads are born attached. The end of their leader shows only when theirs have been seen, also of those that nobody
 * has adopted yet, or that the images do not know.
 */
static void bury_threads(pid_t pid)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		struct tracee t = { .tid = atoi(e->d_name) };

		if (t.tid > 0 && t.tid != pid)
			tracee_bury(&t);
	}
}

static void kill_process(struct restore *r, struct process *p)
{
	struct tracee *leader = &p->threads[0].tracee;

	leader->tid = born(r, &p->threads[0]);
	if (leader->tid)
		kill(leader->tid, SIGKILL);
}

/* From the leaves to the root: the first process of a PID namespace ends after all others. */
void discard_tree(struct restore *r)
{
	for (size_t i = 0; i < r->tree.nr; i++)
		kill_process(r, r->tree.procs[i]);
	pidns_kill(r);
	for (size_t i = r->tree.nr; i-- > 0;) {
		struct tracee *leader = &r->tree.procs[i]->threads[0].tracee;

		if (!leader->tid)
			continue;
		bury_threads(leader->tid);
		tracee_bury(leader);
	}
	pidns_bury(r);
}
