// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape of the tree.
 *
 * Births: a task makes others itself, by clone3(2) with set_tid, as state/births_plan.c has planned. A session leader
 * first makes those that are to be in the session it was born in, then starts its own, then makes the others. Group
 * leaders make their group at once; the other members join when all tasks exist. CLONE_PTRACE attaches each task to the
 * tracer before it has run an instruction.
 */
#include "criu-like/state/tree.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/files.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inspect/kcmp.h"
#include "criu-like/state/births_plan.h"
#include "criu-like/state/pidns.h"
#include "criu-like/state/tty.h"

#define IMAGES_VERSION 2 /* the format's 1.1 */
#define PID_TRIES 10000	 /* times a millisecond; init may take its time to reap */

/*
 * A number that is only a session or group now is made again. But one whose leader lives on outside the tree is not
 * the tree's, unless the root is in it and the restorer's may stand for it (--shell-job).
 */
static int check_outside(struct dump *d, const struct process *p, const char *what, pid_t id, pid_t of_root)
{
	if (tree_find(&d->tree, id) || (kill(id, 0) < 0 && errno == ESRCH) || (d->opt->shell_job && id == of_root))
		return 0;
	return diag_fail(d->diag, EOPNOTSUPP,
			 "process %d is in %s %d, whose leader is not in the tree; start it with setsid%s", p->pid,
			 what, id, d->opt->shell_job ? "" : ", or use --shell-job");
}

/* In another PID namespace all its numbers are others: those that it knows must get into the images. */
static int check_namespace(struct dump *d, const struct process *p)
{
	struct stat own, its;

	if (p->zombie)
		return 0;
	if (stat("/proc/self/ns/pid", &own) || fstatat(p->proc_fd, "ns/pid", &its, 0))
		return diag_fail(d->diag, errno, "cannot look at the PID namespace of process %d: %s", p->pid,
				 strerror(errno));
	if (own.st_ino == its.st_ino)
		return 0;
	return diag_fail(
		d->diag, EOPNOTSUPP,
		"process %d is in another PID namespace: dump it from in there, by its number in there (nsenter "
		"-t %d -p -m thaw dump ...)",
		p->pid, p->pid);
}

static int check_ids(struct dump *d, const struct process *p)
{
	const struct process *root = d->tree.procs[0];
	int ret = check_namespace(d, p);

	if (!ret)
		ret = check_outside(d, p, "session", p->sid, root->sid);
	return ret ? ret : check_outside(d, p, "process group", p->pgid, root->pgid);
}

/* What processes made by clone(2) can share, and where the ids say so; 0: Thaw cannot restore it. */
static const struct {
	int what;
	const char *name;
	size_t id, of; /* offsets in TaskKobjIdsEntry and struct process */
} shared_kinds[] = {
	{ KCMP_VM, "memory", 0, 0 },
	{ KCMP_SIGHAND, "signal actions", 0, 0 },
	{ KCMP_FILES, "descriptors", offsetof(TaskKobjIdsEntry, files_id), offsetof(struct process, files_of) },
	{ KCMP_FS, "working directory", offsetof(TaskKobjIdsEntry, fs_id), offsetof(struct process, fs_of) },
};

static uint32_t *shared_id(const struct process *p, size_t kind)
{
	return (uint32_t *)((uint8_t *)p->ids + shared_kinds[kind].id);
}

static struct process **shared_of(struct process *p, size_t kind)
{
	return (struct process **)((uint8_t *)p + shared_kinds[kind].of);
}

static int compare_shared(const void *a, const void *b, void *what)
{
	const struct process *const *p = a, *const *q = b;
	int ret = kcmp_shared((*p)->pid, (*q)->pid, *(const int *)what);

	return ret == 1 ? -1 : ret == 2 ? 1 : 0; /* after an error too: it comes again when neighbours are compared */
}

static int cannot_share(struct diag *diag, const struct process *p, const struct process *q, size_t kind)
{
	return diag_fail(diag, EOPNOTSUPP, "processes %d and %d share their %s, which Thaw cannot restore%s", p->pid,
			 q->pid, shared_kinds[kind].name,
			 shared_kinds[kind].id ? " as the parents between them do not" : "");
}

/* The kernel has an order for such objects, so that equals get together. They get one id. */
static int find_equals(struct dump *d, struct process **procs, size_t nr, size_t kind)
{
	int what = shared_kinds[kind].what;

	qsort_r(procs, nr, sizeof(*procs), compare_shared, &what);
	for (size_t i = 1; i < nr; i++) {
		struct process *p = procs[i - 1], *q = procs[i];
		int ret = kcmp_shared(p->pid, q->pid, what);

		if (ret < 0)
			return diag_fail(d->diag, -ret, "cannot compare the %s of processes %d and %d: %s",
					 shared_kinds[kind].name, p->pid, q->pid, strerror(-ret));
		if (!ret && !shared_kinds[kind].id)
			return cannot_share(d->diag, p, q, kind);
		if (!ret)
			*shared_id(q, kind) = *shared_id(p, kind);
	}
	return 0;
}

/* By the ids: a process shares what its parent has when it is born so, and the first of them is whose it is. */
static int find_owners(const struct tree *tree, struct diag *diag)
{
	for (size_t kind = 0; kind < ARRAY_SIZE(shared_kinds); kind++) {
		for (size_t i = 1; shared_kinds[kind].id && i < tree->nr; i++) {
			struct process *p = tree->procs[i], *first = NULL;

			for (size_t k = 0; p->ids && k < i && !first; k++)
				if (tree->procs[k]->ids && *shared_id(tree->procs[k], kind) == *shared_id(p, kind))
					first = tree->procs[k];
			if (!first)
				continue;
			*shared_of(p, kind) = first;
			if (p->parent != first && *shared_of(p->parent, kind) != first)
				return cannot_share(diag, first, p, kind);
		}
	}
	return 0;
}

static int check_shared(struct dump *d)
{
	struct process **procs = arena_array(d->arena, d->tree.nr, sizeof(*procs));
	size_t nr = 0;
	int ret = 0;

	if (!procs)
		return -ENOMEM;
	for (size_t i = 0; i < d->tree.nr; i++)
		if (!d->tree.procs[i]->zombie)
			procs[nr++] = d->tree.procs[i];
	for (size_t kind = 0; !ret && kind < ARRAY_SIZE(shared_kinds); kind++)
		ret = find_equals(d, procs, nr, kind);
	return ret ? ret : find_owners(&d->tree, d->diag);
}

int tree_dump(struct dump *d)
{
	int ret;

	if (tree_find(&d->tree, 1) && !d->opt->leave_running && !d->opt->leave_stopped)
		return diag_fail(d->diag, EINVAL,
				 "process 1 is the init of this PID namespace, and with it thaw would end itself: use "
				 "--leave-running or --leave-stopped, and kill it from outside");
	for (size_t i = 0; i < d->tree.nr; i++) {
		struct process *p = d->tree.procs[i];

		p->sid = p->stat.session;
		p->pgid = p->stat.pgrp;
		p->ids = arena_alloc(d->arena, sizeof(*p->ids));
		if (!p->ids)
			return -ENOMEM;
		task_kobj_ids_entry__init(p->ids);
		/* 1 is the dumping tool's own, by custom. */
		p->ids->vm_id = p->ids->files_id = p->ids->fs_id = p->ids->sighand_id = (uint32_t)i + 2;
	}
	for (size_t i = 0; i < d->tree.nr; i++) {
		ret = check_ids(d, d->tree.procs[i]);

		if (ret)
			return ret;
	}
	ret = check_shared(d);
	return ret ? ret : births_check(&d->tree, d->opt->shell_job, d->diag);
}

static int write_pstree(struct dump *d, struct image_writer *w)
{
	for (size_t i = 0; i < d->tree.nr; i++) {
		struct process *p = d->tree.procs[i];
		PstreeEntry e = PSTREE_ENTRY__INIT;
		int ret;

		e.pid = (uint32_t)p->pid;
		e.ppid = (uint32_t)p->ppid;
		e.pgid = (uint32_t)p->pgid;
		e.sid = (uint32_t)p->sid;
		e.n_threads = p->nr_threads;
		e.threads = arena_array(d->arena, p->nr_threads, sizeof(*e.threads));
		if (!e.threads)
			return -ENOMEM;
		for (size_t k = 0; k < p->nr_threads; k++)
			e.threads[k] = (uint32_t)p->threads[k].tid;
		ret = image_put(w, &e);
		if (ret)
			return ret;
	}
	return 0;
}

int tree_write_inventory(struct dump *d)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	TaskKobjIdsEntry root = TASK_KOBJ_IDS_ENTRY__INIT;

	root.vm_id = root.files_id = root.fs_id = root.sighand_id = 1;
	inv.img_version = IMAGES_VERSION;
	inv.has_fdinfo_per_id = inv.fdinfo_per_id = 1;
	inv.has_ns_per_id = inv.ns_per_id = 1;
	inv.root_ids = &root;
	inv.has_lsmtype = 1;
	inv.lsmtype = LSMTYPE__NO_LSM;
	inv.dump_criu_run_id = (char *)image_dir_run_id(d->dir);
	files_describe(d, &inv);
	return image_write_one(d->dir, IMG_INVENTORY, 0, &inv, d->diag);
}

int tree_write(struct dump *d)
{
	struct image_writer *w = NULL;
	int ret = image_create(d->dir, IMG_PSTREE, 0, &w, d->diag);

	if (!ret)
		ret = write_pstree(d, w);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	ret = image_finish(w);
	return ret ? ret : tree_write_inventory(d);
}

static int read_inventory(struct restore *r)
{
	InventoryEntry *inv = NULL;
	int ret = image_read_one(r->dir, IMG_INVENTORY, 0, &inv, r->diag);

	if (!ret && inv->img_version > IMAGES_VERSION)
		ret = diag_fail(r->diag, EPROTO,
				"%s/inventory.img was written by a newer format: image version %u, this Thaw reads up "
				"to %d; use a "
				"newer Thaw",
				image_dir_path(r->dir), inv->img_version, IMAGES_VERSION);
	if (!ret && !(inv->has_fdinfo_per_id && inv->fdinfo_per_id))
		ret = diag_fail(r->diag, EPROTO, "%s was written by a CRIU too old for Thaw", image_dir_path(r->dir));
	if (!ret) {
		r->dumped_tcp_close = inv->tcp_close;
		r->network_lock = inv->network_lock_method;
	}
	image_free(inv);
	return ret;
}

static int add_process(struct restore *r, const PstreeEntry *e)
{
	struct process *parent = e->ppid ? tree_find(&r->tree, (pid_t)e->ppid) : NULL;
	struct process *p;

	if (!e->pid || e->pid > INT32_MAX || !e->n_threads || tree_find(&r->tree, (pid_t)e->pid) ||
	    (!parent) != (r->tree.nr == 0))
		return diag_fail(r->diag, EPROTO, "pstree.img is damaged: process %u (parent %u) cannot be", e->pid,
				 e->ppid);
	p = tree_add(&r->tree, (pid_t)e->pid, parent);
	if (!p)
		return -ENOMEM;
	p->pgid = (pid_t)e->pgid;
	p->sid = (pid_t)e->sid;
	if (e->threads[0] != e->pid) /* CRIU leaves it open for a zombie */
		return process_add_thread(p, p->pid) ? 0 : -ENOMEM;
	for (size_t i = 0; i < e->n_threads; i++) {
		if (!e->threads[i] || e->threads[i] > INT32_MAX)
			return diag_fail(r->diag, EPROTO, "pstree.img is damaged: thread %u", e->threads[i]);
		if (!process_add_thread(p, (pid_t)e->threads[i]))
			return -ENOMEM;
	}
	return 0;
}

int tree_read(struct restore *r)
{
	struct image_reader *reader = NULL;
	PstreeEntry *e;
	int ret = read_inventory(r), more;

	if (!ret)
		ret = image_open(r->dir, IMG_PSTREE, 0, &reader, r->diag);
	while (!ret && (more = image_get(reader, &e)) != 0) {
		ret = more < 0 ? more : add_process(r, e);
		if (more > 0)
			image_free(e);
	}
	image_close(reader);
	if (!ret && !r->tree.nr)
		return diag_fail(r->diag, EPROTO, "pstree.img is damaged: there is no process in it");
	return ret;
}

/* What the restorer's own session and group stand for is known only when the tree is. */
int tree_plan(struct restore *r)
{
	const struct process *root = r->tree.procs[0];
	int ret;

	if (!r->opt->shell_job && !r->opt->new_pidns && !tree_find(&r->tree, root->sid) && !kill(root->sid, 0))
		return diag_fail(r->diag, EINVAL,
				 "process %d is in session %d, which is not among the images; use --shell-job",
				 root->pid, root->sid);
	ret = find_owners(&r->tree, r->diag);
	return ret ? ret : births_plan(&r->tree, r->opt->shell_job, r->diag);
}

/*
 * Is a number busy only because something that has ended is not yet reaped? The kernel says EEXIST for a zombie, for
 * the number of a group or session whose last member is one, and for a moment longer. A task that runs is another
 * matter.
 */
static bool pid_will_be_free(pid_t pid)
{
	_cleanup_close_ int fd = proc_open(pid);
	struct proc_stat stat;

	return fd < 0 || proc_read_stat(fd, "stat", &stat) || stat.state == 'Z' || stat.state == 'X';
}

int tree_wait_pid(const struct restore *r, pid_t pid, unsigned *tries)
{
	static const struct timespec tick = { .tv_nsec = 1000 * 1000 };

	if (++*tries > PID_TRIES || (!r->pidns && !pid_will_be_free(pid)))
		return -EEXIST;
	nanosleep(&tick, NULL);
	return 0;
}

pid_t tree_clone(struct restore *r, struct clone_args *args)
{
	pid_t wanted = args->set_tid_size ? *(const pid_t *)(uintptr_t)args->set_tid : 0, got;
	unsigned tries = 0;

	do {
		got = (pid_t)syscall(SYS_clone3, args, sizeof(*args));
		if (got == 0 && args->flags & CLONE_NEWPID && pidns_init(r))
			pidns_run_init(r);
		if (got == 0)
			for (;;)
				syscall(SYS_pause);
		got = got < 0 ? -errno : got;
	} while (got == -EEXIST && !tree_wait_pid(r, wanted, &tries));
	return got;
}

static pid_t clone_first(struct restore *r, pid_t pid)
{
	struct clone_args args = { .flags = (r->opt->sibling ? CLONE_PARENT : 0) | (r->pidns ? CLONE_NEWPID : 0),
				   .exit_signal = r->opt->sibling ? 0 : SIGCHLD,
				   .set_tid = (uintptr_t)&pid,
				   .set_tid_size = 1 };

	return tree_clone(r, &args);
}

int tree_birth(struct restore *r)
{
	struct process *p = pidns_init(r) ?: births_first(&r->tree);
	pid_t pid = clone_first(r, p->pid);
	int ret;

	if (pid == -EEXIST)
		return diag_fail(r->diag, EEXIST,
				 "pid %d is taken by another process; end that one, or restore with --new-pidns",
				 p->pid);
	if (pid < 0)
		return diag_fail(r->diag, -pid, "cannot make process %d: %s%s", p->pid, strerror(-pid),
				 pid != -EPERM ? ""
				 : r->pidns    ? " (a PID namespace takes CAP_SYS_ADMIN)"
					       : " (choosing a pid needs CAP_CHECKPOINT_RESTORE)");
	ret = tracee_seize(&p->threads[0].tracee, pid, pid, PTRACE_O_EXITKILL);
	if (ret)
		kill(pid, SIGKILL);
	else
		ret = tracee_wait(&p->threads[0].tracee);
	if (ret)
		return diag_fail(r->diag, -ret, "cannot seize the new process %d: %s", pid, strerror(-ret));
	p->threads[0].tracee.own_tid = p->threads[0].tracee.own_tgid = p->pid;
	return 0;
}

static void tell_clone(struct batch *b, pid_t tid, uint64_t flags)
{
	struct clone_args args = { .flags = flags | CLONE_PTRACE,
				   .exit_signal = flags & (CLONE_THREAD | CLONE_PARENT) ? 0 : SIGCHLD,
				   .set_tid = batch_data(b, &tid, sizeof(tid)),
				   .set_tid_size = 1 };

	batch_call(b, BATCH_MUST, SYS_clone3, batch_data(b, &args, sizeof(args)), sizeof(args));
}

void tree_tell_clone(struct batch *b, const struct process *c, uint64_t flags)
{
	flags |= (c->files_of ? CLONE_FILES : 0) | (c->fs_of ? CLONE_FS : 0);
	tell_clone(b, c->pid, flags);
}

static void tell_borne(const struct process *p, struct batch *b, bool before)
{
	for (const struct process *c = p->first_borne; c; c = c->next_borne)
		if (births_before_session(c) == before)
			tree_tell_clone(b, c, births_is_sibling(c) ? CLONE_PARENT : 0);
}

void tree_tell_births(struct restore *r, const struct process *p, struct batch *b)
{
	tell_borne(p, b, true);
	if (p->sid == p->pid)
		batch_call(b, BATCH_MUST, SYS_setsid);
	else if (p->leads_group)
		batch_call(b, BATCH_MUST, SYS_setpgid, 0, 0);
	tty_tell_session(r, p, b);
	tell_borne(p, b, false);
}

/*
 * A group that is not of the tree is the restorer's own (--shell-job). Its number is 0 when it is of an outer PID
 * namespace: then the tasks are in it by birth.
 */
void tree_tell_group(struct restore *r, struct process *p, struct batch *b)
{
	pid_t group = tree_find(&r->tree, p->pgid) ? p->pgid : r->pidns ? 0 : getpgrp();

	if (p->pgid != p->pid && group)
		batch_call(b, BATCH_MUST, SYS_setpgid, 0, (uint64_t)group);
}

bool tree_joins_early(const struct restore *r, const struct process *p)
{
	const struct process *leader = tree_find(&r->tree, p->pgid);

	return !p->helper && leader && leader != p && (leader->helper || leader->pgid != leader->pid);
}

void tree_tell_subreaper(struct batch *b, bool on)
{
	batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_CHILD_SUBREAPER, on);
}

void tree_tell_wait(const struct process *p, struct batch *b)
{
	batch_call(b, BATCH_MUST, SYS_wait4, (uint64_t)p->pid, 0, __WALL);
}

/* The ends of helpers and zombies have left it pending; the dumped process has had its own. */
void tree_tell_forget_deaths(struct batch *b)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} standard = { 0 };

	batch_call(b, BATCH_MUST, SYS_rt_sigaction, SIGCHLD, batch_data(b, &standard, sizeof(standard)), 0, 8);
}

void tree_tell_death(struct restore *r, struct process *p, struct batch *b)
{
	static const struct rlimit no_core;
	int status = p->helper ? 0 : (int)p->threads[0].core->tc->exit_code;
	uint64_t none = 0;
	char comm[16] = { 0 };
	struct {
		uint64_t handler, flags, restorer, mask;
	} standard = { 0 };

	if (p->helper) {
		batch_call(b, BATCH_MUST, SYS_exit_group, 0);
		return;
	}
	tree_tell_group(r, p, b);
	snprintf(comm, sizeof(comm), "%s", p->threads[0].core->tc->comm);
	batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_NAME, batch_data(b, comm, sizeof(comm)));
	if (WIFSIGNALED(status)) {
		batch_call(b, BATCH_MUST, SYS_prlimit64, 0, RLIMIT_CORE, batch_data(b, &no_core, sizeof(no_core)));
		if (WTERMSIG(status) != SIGKILL) /* whose action cannot be set */
			batch_call(b, BATCH_MUST, SYS_rt_sigaction, (uint64_t)WTERMSIG(status),
				   batch_data(b, &standard, sizeof(standard)), 0, 8);
		batch_call(b, BATCH_MUST, SYS_kill, (uint64_t)p->pid, (uint64_t)WTERMSIG(status));
		batch_call(b, BATCH_MUST, SYS_rt_sigprocmask, SIG_SETMASK, batch_data(b, &none, sizeof(none)), 0, 8);
	}
	batch_call(b, BATCH_MUST, SYS_exit_group, (uint64_t)WEXITSTATUS(status));
}

void tree_tell_threads(struct process *p, struct batch *b)
{
	const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

	for (size_t i = 1; i < p->nr_threads; i++)
		tell_clone(b, p->threads[i].tid, flags);
}

/*
 * The stop signals of terminals stop only with their standard action, and where the group has a parent in the session
 * that can continue it. Elsewhere the process cannot be stopped by them any more.
 */
int tree_stop_signal(const struct process *p)
{
	const TaskCoreEntry *tc = p->threads[0].core->tc;
	size_t sig = tc->has_stop_signo ? tc->stop_signo : SIGSTOP;

	if (sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU)
		return SIGSTOP;
	/* Actions are kept in order, without those of SIGKILL and SIGSTOP, which nobody can change. */
	if (tc->n_sigactions < SIGTTOU - 2 || tc->sigactions[sig - 3]->sigaction)
		return SIGSTOP;
	return p->parent && p->parent->sid == p->sid && p->parent->pgid != p->pgid ? (int)sig : SIGSTOP;
}
