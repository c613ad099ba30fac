// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freezing a tree.
 *
 * All threads of a process are seized and interrupted first and reaped afterwards, so that their stops overlap. A
 * thread may start another one until it has stopped; so the list of threads is read again until it holds nothing new.
 * The children of a process are final when all its threads stand still.
 */
#include "criu-like/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/util.h"

#define TRIES 100 /* a process that executes programs faster than that cannot be caught */

int dump_interrupted(struct dump *d)
{
	sigset_t pending;

	if (!sigpending(&pending) &&
	    (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) || sigismember(&pending, SIGHUP)))
		return diag_fail(d->diag, EINTR, "interrupted by a signal; the processes run on");
	if (d->deadline_us && now_us() > d->deadline_us)
		return diag_fail(d->diag, ETIME, "not finished within --timeout %u s; the processes run on",
				 d->opt->timeout);
	return 0;
}

static int seize_failed(struct dump *d, const struct process *p, pid_t tid, int err)
{
	_cleanup_free_ char *status = NULL;
	struct proc_status now;
	pid_t tracer = 0;

	if (!proc_read_status(p->proc_fd, "status", &now)) {
		tracer = now.tracer;
		proc_status_free(&now);
	}
	if (tracer)
		return diag_fail(d->diag, -err, "process %d is traced by process %d (a debugger?); end that first",
				 p->pid, tracer);
	return diag_fail(d->diag, -err, "cannot seize thread %d of process %d: %s (ptrace needs CAP_SYS_PTRACE)", tid,
			 p->pid, strerror(-err));
}

/* A zombie has one thread; the main thread of a process can have ended too, while others run. */
static bool main_has_ended(struct process *p, bool *others_run)
{
	_cleanup_free_ int *tids = NULL;
	size_t nr = 0;

	if (proc_read_stat(p->proc_fd, "stat", &p->stat) || p->stat.state == 'X') {
		*others_run = false;
		return true;
	}
	*others_run = !proc_read_numbers(p->proc_fd, "task", &tids, &nr) && nr > 1;
	return p->stat.state == 'Z';
}

static int compare_tids(const void *a, const void *b)
{
	pid_t x = ((const struct thread *)a)->tid, y = ((const struct thread *)b)->tid;

	return (x > y) - (x < y);
}

static bool knows_thread(const struct process *p, size_t known, pid_t tid)
{
	const struct thread key = { .tid = tid };

	return known && bsearch(&key, p->threads, known, sizeof(key), compare_tids);
}

static int main_thread_ended(struct dump *d, const struct process *p)
{
	return diag_fail(d->diag, EOPNOTSUPP,
			 "the main thread of process %d has ended while others run, which Thaw does not support",
			 p->pid);
}

/* Seize the threads that are not ours yet; their stops are awaited afterwards. */
static int seize_new_threads(struct dump *d, struct process *p, size_t *nr_new)
{
	_cleanup_free_ int *tids = NULL;
	size_t nr, known = p->nr_threads;
	bool others_run;
	int ret = proc_read_numbers(p->proc_fd, "task", &tids, &nr);

	if (ret == -ENOENT || ret == -ESRCH)
		return -ESRCH;
	if (ret)
		return diag_fail(d->diag, -ret, "cannot read the threads of process %d: %s", p->pid, strerror(-ret));
	*nr_new = 0;
	for (size_t i = 0; i < nr; i++) {
		struct thread *t;

		if (knows_thread(p, known, tids[i]))
			continue;
		t = process_add_thread(p, tids[i]);
		if (!t)
			return -ENOMEM;
		ret = tracee_seize(&t->tracee, p->pid, tids[i], 0);
		if (ret == -ESRCH && tids[i] != p->pid) {
			p->nr_threads--; /* it ended meanwhile */
			continue;
		}
		if (ret == -ESRCH)
			return ret;
		if (ret == -EPERM && tids[i] == p->pid && main_has_ended(p, &others_run))
			return others_run ? main_thread_ended(d, p) : -ESRCH;
		if (ret)
			return seize_failed(d, p, tids[i], ret);
		(*nr_new)++;
	}
	return 0;
}

/* Of the calls that a stop does not interrupt, the common one is vfork(). */
static int does_not_stop(struct dump *d, const struct process *p, pid_t tid)
{
	_cleanup_free_ char *call = NULL;
	char path[48];
	long nr;

	snprintf(path, sizeof(path), "task/%d/syscall", tid);
	nr = read_text(p->proc_fd, path, &call) > 0 ? strtol(call, NULL, 10) : -1;
	if (nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3)
		return diag_fail(
			d->diag, EBUSY,
			"thread %d of process %d waits for its vfork() child to execute a program or end; dump "
			"it after that",
			tid, p->pid);
	return diag_fail(d->diag, EBUSY, "thread %d of process %d does not stop; it is in system call %ld", tid, p->pid,
			 nr);
}

static int wait_threads(struct dump *d, struct process *p, size_t first)
{
	size_t kept = first;

	for (size_t i = first; i < p->nr_threads; i++) {
		int ret = tracee_wait(&p->threads[i].tracee);

		if (ret == -EINTR)
			return dump_interrupted(d);
		if (ret == -ETIME)
			return does_not_stop(d, p, p->threads[i].tid);
		if (ret == -ESRCH && p->threads[i].tid != p->pid) {
			p->threads[i].tracee.tid = 0;
			continue;
		}
		if (ret == -ESRCH) {
			p->threads[i].tracee.tid = 0;
			return ret;
		}
		if (ret)
			return diag_fail(d->diag, -ret, "thread %d of process %d does not stop: %s", p->threads[i].tid,
					 p->pid, strerror(-ret));
		p->threads[kept++] = p->threads[i];
	}
	p->nr_threads = kept;
	return 0;
}

static int open_process(struct dump *d, struct process *p)
{
	p->proc_fd = proc_open(p->pid);
	if (p->proc_fd < 0 && p->parent)
		return -ESRCH;
	if (p->proc_fd < 0)
		return diag_fail(d->diag, p->proc_fd == -ENOENT ? ESRCH : -p->proc_fd, "there is no process %d",
				 p->pid);
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (p->pidfd < 0 && errno == ESRCH)
		return -ESRCH;
	if (p->pidfd < 0)
		return diag_fail(d->diag, errno, "cannot open a pidfd of process %d: %s", p->pid, strerror(errno));
	return 0;
}

/* Numbers start over at some time, so that a leader can have the greatest. */
static void put_leader_first(struct process *p)
{
	for (size_t i = 1; i < p->nr_threads; i++) {
		struct thread leader = p->threads[i];

		if (leader.tid != p->pid)
			continue;
		memmove(&p->threads[1], &p->threads[0], i * sizeof(leader));
		p->threads[0] = leader;
	}
}

static int freeze_threads(struct dump *d, struct process *p)
{
	size_t nr_new;

	do {
		size_t first = p->nr_threads;
		int ret = seize_new_threads(d, p, &nr_new);

		if (!ret && nr_new)
			ret = wait_threads(d, p, first);
		if (!ret)
			ret = dump_interrupted(d);
		if (ret)
			return ret;
		qsort(p->threads, p->nr_threads, sizeof(*p->threads), compare_tids);
	} while (nr_new);
	put_leader_first(p);
	if (p->threads[0].tid != p->pid)
		return main_thread_ended(d, p);
	p->mem_fd = openat(p->proc_fd, "mem", O_RDWR | O_CLOEXEC);
	if (p->mem_fd < 0)
		return diag_fail(d->diag, errno, "cannot open the memory of process %d: %s", p->pid, strerror(errno));
	return 0;
}

/*
 * A main thread that is gone before it has stopped has ended with all others, or another thread has executed a program
 * and goes by its number now, untraced: then the process is begun anew.
 */
/* Return: 0, -ESRCH when it has gone meanwhile, or another -errno with a sentence */
static int freeze_one(struct dump *d, struct process *p)
{
	int ret = open_process(d, p);
	bool others_run;

	for (unsigned tries = 0; !ret && tries < TRIES; tries++) {
		if (main_has_ended(p, &others_run) && !others_run) {
			p->zombie = p->stat.state == 'Z' && p->parent;
			return !p->zombie ? -ESRCH : process_add_thread(p, p->pid) ? 0 : -ENOMEM;
		}
		ret = freeze_threads(d, p);
		if (ret != -ESRCH)
			return ret;
		p->nr_threads = 0;
		ret = 0;
	}
	return ret ? ret
		   : diag_fail(d->diag, EAGAIN, "process %d executes one program after another; try again", p->pid);
}

static int freeze_children(struct dump *d, struct process *p);

static int freeze_process(struct dump *d, pid_t pid, struct process *parent)
{
	struct process *p = tree_add(&d->tree, pid, parent);
	int ret = p ? freeze_one(d, p) : -ENOMEM;

	if (ret == -ESRCH && parent) {
		tree_drop_last(&d->tree);
		return 0;
	}
	if (ret == -ESRCH)
		return diag_fail(d->diag, ESRCH, "process %d has ended", pid);
	return ret || p->zombie ? ret : freeze_children(d, p);
}

/* Those that are not in the tree yet. */
static int freeze_children(struct dump *d, struct process *p)
{
	_cleanup_free_ pid_t *children = NULL;
	size_t nr = 0;
	int ret = proc_read_children(p->proc_fd, &children, &nr);

	if (ret)
		return diag_fail(d->diag, -ret, "cannot read the children of process %d: %s", p->pid, strerror(-ret));
	for (size_t i = 0; !ret && i < nr; i++)
		if (!p->is_parent || !tree_find(&d->tree, children[i]))
			ret = freeze_process(d, children[i], p);
	p->is_parent = nr > 0;
	return ret;
}

/* What became an orphan during the freeze can have come to a parent that was frozen before. */
static int freeze_orphans(struct dump *d)
{
	size_t before;
	int ret = 0;

	do {
		before = d->tree.nr;
		for (size_t i = 0; !ret && i < before; i++)
			if (d->tree.procs[i]->is_parent)
				ret = freeze_children(d, d->tree.procs[i]);
	} while (!ret && d->tree.nr > before);
	return ret;
}

int freeze_tree(struct dump *d, pid_t root)
{
	int ret;

	if (root == getpid() || root == getppid())
		return diag_fail(d->diag, EINVAL, "process %d is this command's own %s", root,
				 root == getpid() ? "process" : "parent");
	ret = freeze_process(d, root, NULL);
	if (!ret)
		ret = freeze_orphans(d);
	if (!ret)
		diag_info(d->diag, "Froze %zu processes", d->tree.nr);
	return ret;
}

/* The leader first: a stop that it enters is one that the others are then released into. */
static int release_process(struct process *p, bool stopped)
{
	int first_error = 0;

	for (size_t k = 0; k < p->nr_threads; k++) {
		struct tracee *t = &p->threads[k].tracee;
		int ret = k == 0 && stopped && t->tid && !t->group_stopped ? tracee_release_stopped(t, SIGSTOP)
									   : tracee_release(t);

		if (ret && ret != -ESRCH && !first_error)
			first_error = ret;
	}
	return first_error;
}

static int release_tree(struct dump *d, bool stopped)
{
	int first_error = 0;

	for (size_t i = d->tree.nr; i-- > 0;) {
		int ret = release_process(d->tree.procs[i], stopped);

		first_error = first_error ? first_error : ret;
	}
	return first_error;
}

int thaw_tree(struct dump *d)
{
	return release_tree(d, false);
}

int stop_tree(struct dump *d)
{
	return release_tree(d, true);
}

static void end_process(struct process *p)
{
	if (!p->zombie) {
		kill(p->pid, SIGKILL);
		for (size_t k = p->nr_threads; k-- > 0;)
			tracee_bury(&p->threads[k].tracee);
	}
}

/*
 * From the leaves to the root. Each parent, still frozen, is made to wait for its dead child: left to init, the child
 * would keep its pid, its group and its session busy for who knows how long, and a restore wants them.
 */
int kill_tree(struct dump *d)
{
	for (size_t i = d->tree.nr; i-- > 0;) {
		struct process *p = d->tree.procs[i];
		int64_t result;

		end_process(p);
		if (p->parent && p->parent->insn)
			tracee_syscall(&p->parent->threads[0].tracee, p->parent->insn, SYS_wait4,
				       (const uint64_t[6]){ (uint64_t)p->pid, 0, __WALL | WNOHANG }, &result);
	}
	return 0;
}
