// SPDX-License-Identifier: GPL-2.0-only
/*
 * Freezing a tree.
 *
 * All threads of a process are seized and interrupted first and reaped afterwards, so that their stops overlap. A
 * thread may start another one until it has stopped; so the list of threads is read again until it holds nothing new.
 * The children of a process are final when all its threads stand still.
 *
 * A thread that executes a program ends all others of its process, waits until they are gone, and goes by the main
 * thread's number then. While it waits, PTRACE_SEIZE of another one would wait for it, and those that have been seized
 * before are gone only when their tracer has taken their ends. So these are taken by a signal handler meanwhile.
 */
#include "criu-like/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

#define TRIES 100 /* a process that executes programs faster than that cannot be caught */

#define TICK_SIGNAL SIGVTALRM
#define TICK_NS (10 * 1000 * 1000)

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

static pid_t tracer_of(const struct process *p, pid_t tid)
{
	struct proc_status now;
	char path[48];
	pid_t tracer;

	snprintf(path, sizeof(path), "task/%d/status", tid);
	if (proc_read_status(p->proc_fd, path, &now))
		return 0;
	tracer = now.tracer;
	proc_status_free(&now);
	return tracer;
}

static int seize_failed(struct dump *d, const struct process *p, pid_t tid, int err)
{
	pid_t tracer = tracer_of(p, tid);

	if (tracer)
		return diag_fail(d->diag, -err, "process %d is traced by process %d (a debugger?); end that first",
				 p->pid, tracer);
	return diag_fail(d->diag, -err, "cannot seize thread %d of process %d: %s (ptrace needs CAP_SYS_PTRACE)", tid,
			 p->pid, strerror(-err));
}

/* Between its end and its removal a thread is still listed, and the kernel says EPERM, as of one that has a tracer. */
static bool thread_has_ended(const struct process *p, pid_t tid)
{
	char path[48];
	struct proc_stat stat;

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	return proc_read_stat(p->proc_fd, path, &stat) || stat.state == 'X' || stat.state == 'Z';
}

/*
 * A process has ended when its pidfd says so. Until then its main thread can have, while others run or execute a
 * program.
 */
static bool main_has_ended(struct process *p, bool *others_run)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };
	bool gone = poll(&end, 1, 0) == 1;
	int ret = proc_read_stat(p->proc_fd, "stat", &p->stat);

	*others_run = !gone && !ret && p->stat.state == 'Z';
	return gone || *others_run;
}

/* Signals with a pointer in them come from a timer. */
static void on_tick(int sig, siginfo_t *info, void *context)
{
	const struct process *p = info->si_value.sival_ptr;
	int saved = errno;

	for (size_t i = 0; i < p->nr_threads; i++)
		if (p->threads[i].tracee.tid)
			tracee_take_end(&p->threads[i].tracee);
	errno = saved;
}

/* The signal stays blocked but in seize_once(). */
static int ticks_begin(struct dump *d, struct process *p, timer_t *timer)
{
	const struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO };
	const struct itimerspec often = { { .tv_nsec = TICK_NS }, { .tv_nsec = TICK_NS } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = TICK_SIGNAL };

	event.sigev_value.sival_ptr = p;
	sigaction(TICK_SIGNAL, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, timer) < 0 || timer_settime(*timer, 0, &often, NULL) < 0)
		return diag_fail(d->diag, errno, "cannot make a timer: %s", strerror(errno));
	return 0;
}

static void mask_ticks(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, TICK_SIGNAL);
	sigprocmask(how, &set, NULL);
}

static int seize_once(const struct process *p, pid_t tid, struct tracee *t)
{
	int ret;

	mask_ticks(SIG_UNBLOCK);
	ret = tracee_seize(t, p->pid, tid, 0);
	mask_ticks(SIG_BLOCK);
	return ret;
}

/*
 * EPERM can mean that somebody traces it, but also that it has ended or is about to become another, and that it is ours
 * under the number of the thread that it was before it executed a program.
 *
 * Return: 0, or -errno (-ESRCH: it has ended)
 */
static int seize(struct process *p, pid_t tid, struct tracee *t)
{
	bool others_run;
	int ret = -EPERM;

	for (unsigned tries = 0; ret == -EPERM && tries < TRIES; tries++) {
		pid_t tracer;

		ret = seize_once(p, tid, t);
		if (ret != -EPERM)
			break;
		if (tid == p->pid ? main_has_ended(p, &others_run) : thread_has_ended(p, tid))
			return -ESRCH;
		tracer = tracer_of(p, tid);
		if (tracer == getpid())
			return tracee_interrupt(t, p->pid, tid);
		if (tracer)
			break;
	}
	return ret;
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

/* Seize the threads that are not ours yet; their stops are awaited afterwards. */
static int seize_new_threads(struct dump *d, struct process *p, size_t *nr_new)
{
	_cleanup_free_ int *tids = NULL;
	size_t nr, known = p->nr_threads;
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
		ret = seize(p, tids[i], &t->tracee);
		if (ret && ret != -ESRCH)
			return seize_failed(d, p, tids[i], ret);
		if (ret)
			p->nr_threads--;
		else
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

/* Those that have stopped or ended by now. Return: how many have not, or -errno with a sentence */
static int poll_threads(struct dump *d, struct process *p, struct thread **late)
{
	int nr_late = 0;

	for (size_t i = 0; i < p->nr_threads; i++) {
		struct tracee *t = &p->threads[i].tracee;
		int ret = t->tid ? tracee_poll(t) : 0;

		if (ret == -EAGAIN && t->taken && tracee_stands(t))
			continue;
		if (ret == -ESRCH) {
			t->tid = 0;
		} else if (ret == -EAGAIN) {
			t->taken = false;
			*late = &p->threads[i];
			nr_late++;
		} else if (ret) {
			return diag_fail(d->diag, -ret, "thread %d of process %d does not stop: %s", p->threads[i].tid,
					 p->pid, strerror(-ret));
		}
	}
	return nr_late;
}

static size_t drop_ended_threads(struct process *p)
{
	size_t kept = 0, nr = p->nr_threads;

	for (size_t i = 0; i < nr; i++)
		if (p->threads[i].tracee.tid)
			p->threads[kept++] = p->threads[i];
	p->nr_threads = kept;
	return nr - kept;
}

/* Is the only one that does not stop a main thread that has ended? Nothing tells so while others live. */
static bool main_is_late(struct process *p, int nr_late, const struct thread *late)
{
	bool others_run;

	return nr_late == 1 && late->tid == p->pid && main_has_ended(p, &others_run) && others_run;
}

static void interrupt_again(const struct process *p)
{
	for (size_t i = 0; i < p->nr_threads; i++)
		if (p->threads[i].tracee.tid && !p->threads[i].tracee.taken)
			ptrace(PTRACE_INTERRUPT, p->threads[i].tracee.tid, NULL, NULL);
}

/*
 * A thread that took the main thread's number between its seizure and its interruption has not been interrupted, so the
 * late ones are from time to time. @changed: set when one had not stopped yet, or has ended.
 */
static int wait_threads(struct dump *d, struct process *p, bool *changed)
{
	unsigned ticks = TRACEE_STOP_TICKS;
	struct thread *late = NULL;
	int ret;

	while ((ret = poll_threads(d, p, &late)) > 0) {
		int slept;

		*changed = true;
		if (main_is_late(p, ret, late)) {
			late->tracee.tid = 0;
			break;
		}
		slept = tracee_sleep();
		if (slept == -EINTR && dump_interrupted(d))
			return -EINTR;
		ticks -= slept == -ETIME;
		if (!ticks) {
			for (size_t i = 0; i < p->nr_threads; i++)
				p->threads[i].tracee.late = !p->threads[i].tracee.taken;
			return does_not_stop(d, p, late->tid);
		}
		if (slept == -ETIME)
			interrupt_again(p);
	}
	*changed |= drop_ended_threads(p) > 0;
	return MIN(ret, 0);
}

static bool is_gone(int ret)
{
	return ret == -ENOENT || ret == -ESRCH;
}

static int open_process(struct dump *d, struct process *p)
{
	p->proc_fd = proc_open(p->pid);
	if (is_gone(p->proc_fd))
		return p->parent ? -ESRCH : diag_fail(d->diag, ESRCH, "there is no process %d", p->pid);
	if (p->proc_fd < 0)
		return diag_fail(d->diag, -p->proc_fd, "cannot open /proc/%d: %s", p->pid, strerror(-p->proc_fd));
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

static int main_thread_ended(struct dump *d, const struct process *p)
{
	return diag_fail(d->diag, EOPNOTSUPP,
			 "the main thread of process %d has ended while others run, which Thaw does not support",
			 p->pid);
}

/* Return: 0, -ESRCH: it is to be looked at anew, or another -errno with a sentence */
static int freeze_threads(struct dump *d, struct process *p)
{
	bool others_run, changed;
	size_t nr_new;

	do {
		int ret = seize_new_threads(d, p, &nr_new);

		changed = false;
		if (!ret)
			ret = wait_threads(d, p, &changed);
		if (!ret)
			ret = dump_interrupted(d);
		qsort(p->threads, p->nr_threads, sizeof(*p->threads), compare_tids);
		if (ret)
			return ret;
	} while (nr_new || changed);
	if (!knows_thread(p, p->nr_threads, p->pid)) {
		bool ended = p->nr_threads && main_has_ended(p, &others_run) && others_run;

		return ended ? main_thread_ended(d, p) : -ESRCH;
	}
	put_leader_first(p);
	p->mem_fd = openat(p->proc_fd, "mem", O_RDWR | O_CLOEXEC);
	if (p->mem_fd < 0)
		return diag_fail(d->diag, errno, "cannot open the memory of process %d: %s", p->pid, strerror(errno));
	return 0;
}

static int freeze_anew(struct dump *d, struct process *p)
{
	bool others_run;

	for (unsigned tries = 0; tries < TRIES; tries++) {
		int ret;

		if (main_has_ended(p, &others_run) && !others_run) {
			ret = proc_read_stat(p->proc_fd, "stat", &p->stat);
			if (ret && !is_gone(ret))
				return diag_fail(d->diag, -ret, "cannot read /proc/%d/stat: %s", p->pid,
						 strerror(-ret));
			p->nr_threads = 0;
			p->zombie = !ret && p->stat.state == 'Z' && p->parent;
			return !p->zombie ? -ESRCH : process_add_thread(p, p->pid) ? 0 : -ENOMEM;
		}
		ret = freeze_threads(d, p);
		if (ret != -ESRCH)
			return ret;
		tracee_sleep();
	}
	return diag_fail(d->diag, EAGAIN, "process %d executes one program after another; try again", p->pid);
}

/* Return: 0, -ESRCH when it has gone meanwhile, or another -errno with a sentence */
static int freeze_one(struct dump *d, struct process *p)
{
	int ret = open_process(d, p);
	timer_t timer;

	if (!ret)
		ret = ticks_begin(d, p, &timer);
	if (ret)
		return ret;
	ret = freeze_anew(d, p);
	timer_delete(timer);
	return ret;
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
	mask_ticks(SIG_BLOCK);
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
