// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore.
 *
 * The restorer opens all files and makes all shared memory in its own process, so that its tasks inherit them, and maps
 * one region of shared memory in which it writes lists of system calls (batches) for the tasks. Then the tasks are
 * born, parents before children, and each walks three lists: its births; its memory, descriptors and threads; and, when
 * its pages are there or a server has its userfaultfd, the state of each thread. All of them are traced from birth with
 * PTRACE_O_EXITKILL: if the restorer dies, or fails, nothing remains. In the end they get their registers and go at
 * once.
 */
#include "criu-like/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/births.h"
#include "criu-like/discard.h"
#include "criu-like/inject/arch.h"
#include "criu-like/lists.h"
#include "criu-like/stage.h"
#include "criu-like/state/aio.h"
#include "criu-like/state/calls.h"
#include "criu-like/state/core.h"
#include "criu-like/state/files.h"
#include "criu-like/state/guards.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/mm.h"
#include "criu-like/state/pages.h"
#include "criu-like/state/pidns.h"
#include "criu-like/state/region.h"
#include "criu-like/state/seccomp.h"
#include "criu-like/state/shmem.h"
#include "criu-like/state/sysv.h"
#include "criu-like/state/tree.h"
#include "criu-like/state/uffd.h"
#include "criu-like/state/vma.h"
#include "lazy-pages/server.h"
#include "lazy-pages/wire/restore_socket.h"

int restore_interrupted(struct restore *r)
{
	sigset_t pending;

	if (!sigpending(&pending) &&
	    (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) || sigismember(&pending, SIGHUP)))
		return diag_fail(r->diag, EINTR, "interrupted by a signal; nothing of the tree remains");
	return 0;
}

static int stage_pre_restore(struct restore *r)
{
	return action_run(r->opt->hook, ACTION_PRE_RESTORE, 0, r->diag);
}

static int stage_read(struct restore *r)
{
	int ret = tree_read(r);

	for (size_t i = 0; !ret && i < r->tree.nr; i++)
		ret = core_read(r, r->tree.procs[i]);
	if (!ret)
		ret = tree_plan(r);
	if (!ret)
		ret = seccomp_read(r);
	return ret ? ret : files_read(r);
}

/* CRIU's server does not know of shared memory. */
static void connect_server(struct restore *r)
{
	r->lazy_conn = restore_socket_connect_kin(r->opt->work_dir, r->diag);
	r->lazy_kin = r->lazy_conn >= 0;
	if (r->lazy_conn == -ENOENT || r->lazy_conn == -ECONNREFUSED)
		r->lazy_conn = restore_socket_connect(r->opt->work_dir, r->diag);
}

/*
 * Before any file is opened: a server started here must not hold the tree's pipes open. A server that listens already
 * is taken, with the options that it was given.
 */
static int stage_server(struct restore *r)
{
	const struct lazy_options opt = { .images_dir = r->opt->images_dir,
					  .work_dir = r->opt->work_dir,
					  .stats_file = r->opt->stats_file,
					  .no_verify = r->opt->no_verify,
					  .modes = r->opt->modes,
					  .page_server = r->opt->page_server,
					  .net = r->opt->net,
					  .owner = getpid(),
					  .status_fd = -1 };
	int ret;

	if (!r->opt->lazy)
		return 0;
	connect_server(r);
	if (r->lazy_conn == -ENOENT || r->lazy_conn == -ECONNREFUSED) {
		ret = lazy_server_start(&opt, r->diag);
		if (ret)
			return ret;
		r->own_server = true;
		connect_server(r);
	} else if (r->lazy_conn >= 0 && (r->opt->page_server || lazy_modes_given(&r->opt->modes))) {
		return diag_fail(
			r->diag, EBUSY,
			"a lazy-pages server listens in %s already, so its options cannot be chosen here: give "
			"them to that server",
			r->opt->work_dir);
	}
	return MIN(r->lazy_conn, 0);
}

static int stage_open(struct restore *r)
{
	int ret = r->opt->new_pidns ? pidns_open(r) : 0;

	if (!ret)
		ret = files_open_all(r);
	if (!ret)
		ret = shmem_restore(r);
	return ret ? ret : sysv_restore(r);
}

static int open_region(struct restore *r)
{
	size_t records = 24 + sysv_tell_detach(r, NULL), bytes = 4096;

	for (size_t i = 0; i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		records += 48;
		bytes += 1024;
		if (p->zombie)
			continue;
		records += 5 * p->mm->n_vmas + p->nr_guards + 4 * p->nr_threads + 32;
		bytes += 256 * p->nr_threads + 16 * 1024;
		files_room(r, p, &records, &bytes);
		aio_room(p, &records, &bytes);
		for (size_t k = 0; k < p->nr_threads; k++)
			kinds_room_to_tell(r, &p->threads[k], &records, &bytes);
	}
	return region_open(r, records, bytes);
}

/* Is its table of descriptors that of other processes as well? */
static bool shares_files(const struct restore *r, const struct process *p)
{
	bool shared = p->files_of != NULL;

	for (size_t i = 0; i < r->tree.nr && !shared; i++)
		shared = r->tree.procs[i]->files_of == p;
	return shared;
}

/* Built before the tasks are born: what it opens, they have to inherit. */
static int tell_memory(struct restore *r, struct process *p)
{
	struct batch *b = &r->batch;
	int ret = 0;

	p->memory_list = batch_begin(b);
	if (p->zombie) {
		tree_tell_death(r, p, b);
		return list_end(r, p);
	}
	tree_tell_forget_deaths(b);
	if (!tree_joins_early(r, p))
		tree_tell_group(r, p, b);
	ret = vma_tell(r, p, b, b->remote, region_end(r));
	if (!ret)
		ret = mm_tell(r, p, b);
	if (!ret)
		ret = fs_tell(r, p, b);
	if (!ret && shares_files(r, p)) { /* the table goes on when all have mapped what they need of it */
		ret = list_end(r, p);
		p->files_list = batch_begin(b);
	}
	if (!ret && !p->files_of)
		ret = files_tell(r, p, b);
	if (!ret && shares_files(r, p)) { /* and what they open themselves must come behind that */
		ret = list_end(r, p);
		p->end_list = batch_begin(b);
	}
	uffd_tell(p, b);
	tree_tell_threads(p, b);
	return ret ? ret : list_end(r, p);
}

static int stage_lists(struct restore *r)
{
	int ret = open_region(r);

	for (size_t i = 0; !ret && i < r->tree.nr; i++)
		ret = tell_memory(r, r->tree.procs[i]);
	return ret;
}

/* A list of all that share descriptors, one process after another. */
static int run_shared(struct restore *r, bool files)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		if (p->zombie || !p->end_list)
			continue;
		p->threads[0].list = files ? p->files_list : p->end_list;
		ret = list_start(r, p, &p->threads[0]);
		if (!ret)
			ret = list_finish(r, p, &p->threads[0]);
	}
	return ret;
}

static int stage_memory(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		p->threads[0].list = p->memory_list;
		ret = p->zombie ? 0 : list_start(r, p, &p->threads[0]);
	}
	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		if (p->zombie)
			continue;
		ret = list_finish(r, p, &p->threads[0]);
	}
	if (!ret)
		ret = run_shared(r, true);
	if (!ret)
		ret = run_shared(r, false);
	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		for (size_t k = 1; !ret && !p->zombie && k < p->nr_threads; k++)
			ret = list_adopt(r, p, &p->threads[k]);
	}
	return ret;
}

static int open_memory(struct restore *r, struct process *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", process_outside(p));
	p->mem_fd = open(path, O_RDWR | O_CLOEXEC);
	if (p->mem_fd < 0)
		return diag_fail(r->diag, errno, "cannot open the memory of process %d: %s", p->pid, strerror(errno));
	return 0;
}

/* From here on the server fills on demand; so the tasks may touch their memory, and so may the kernel for them. */
static int hand_over(struct restore *r, struct process *p)
{
	int ret = p->zombie ? restore_socket_send_zombie(r->lazy_conn, p->pid)
			    : restore_socket_send(r->lazy_conn, p->pid, process_outside(p), p->uffd);

	if (ret)
		return diag_fail(r->diag, -ret, "the lazy-pages server does not take process %d: %s", p->pid,
				 strerror(-ret));
	return 0;
}

static int stage_serve(struct restore *r)
{
	int ret = r->lazy_kin ? shmem_hand_over(r) ?: restore_socket_send_huge(r->lazy_conn) : 0;

	for (size_t i = 0; r->opt->lazy && !ret && i < r->tree.nr; i++)
		ret = hand_over(r, r->tree.procs[i]);
	if (!ret && r->opt->lazy)
		ret = restore_socket_finish(r->lazy_conn);
	if (ret && !r->diag->code)
		return diag_fail(r->diag, -ret, "the lazy-pages server does not take the end of the restore: %s",
				 strerror(-ret));
	return ret;
}

static int stage_fill(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		if (p->zombie)
			continue;
		ret = open_memory(r, p);
		if (!ret)
			ret = uffd_take(r, p, r->opt->lazy);
		if (!ret)
			ret = pages_restore(r, p, r->opt->lazy);
	}
	return ret;
}

/* What has to wait until the pages are there, or a server is at them. */
static void tell_memory_end(struct process *p, struct batch *b)
{
	uffd_tell_close(p, b);
	guards_tell(p, b);
	vma_tell_locks(p, b);
}

/* See stub.S: SIGTRAP has its standard action until the leader's list has run. */
static bool may_trap(const struct process *p, const struct thread *t)
{
	const SignalQueueEntry *pending = t->core->thread_core->signals_p;

	return p->nr_threads >= MANY_THREADS && !(pending && pending->n_signals);
}

/* The other threads first: some state of the leader's is about a group that must be complete. */
static int stage_state(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		for (size_t k = p->zombie ? 0 : p->nr_threads; !ret && k-- > 0;) {
			struct thread *t = &p->threads[k];

			t->list = batch_begin(&r->batch);
			t->tracee.ends_by_trap = k && may_trap(p, t);
			if (k == 0)
				tell_memory_end(p, &r->batch);
			ret = kinds_tell(r, p, t, &r->batch);
			if (!ret)
				ret = list_end(r, p);
			if (!ret)
				ret = list_start(r, p, t);
			if (!ret)
				ret = list_finish(r, p, t);
		}
	}
	return ret;
}

/* Now that all that they may wait for is there. */
static int stage_calls(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		for (size_t k = 0; !ret && !p->zombie && k < p->nr_threads; k++)
			ret = calls_restart(r, p, &p->threads[k]);
	}
	return ret;
}

static int set_registers(struct restore *r, struct process *p)
{
	for (size_t k = 0; k < p->nr_threads; k++) {
		struct thread *t = &p->threads[k];
		int ret = arch_restore_regs(&r->cpu, t->tracee.tid, t->core, &t->tracee.regs, r->diag);

		if (!ret)
			ret = kinds_apply(r, p, t);
		if (ret)
			return ret;
		ret = tracee_try_regs(&t->tracee); /* while nothing has been let go */
		if (ret)
			return diag_fail(r->diag, EPROTO,
					 "core-%d.img is damaged: the kernel does not take its registers: %s", t->tid,
					 strerror(-ret));
	}
	return 0;
}

static int stage_registers(struct restore *r)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < r->tree.nr; i++) {
		struct process *p = r->tree.procs[i];

		if (p->zombie)
			continue;
		ret = region_unmap(r, &p->threads[0].tracee);
		if (ret)
			ret = diag_fail(r->diag, -ret, "cannot clean up process %d: %s", p->pid, strerror(-ret));
		if (!ret)
			ret = set_registers(r, p);
	}
	return ret;
}

static int write_pidfile(struct restore *r)
{
	_cleanup_fclose_ FILE *f = NULL;

	if (!r->opt->pidfile)
		return 0;
	f = fopen(r->opt->pidfile, "we");
	if (!f || fprintf(f, "%d", process_outside(r->tree.procs[0])) < 0 || fflush(f))
		return diag_fail(r->diag, errno, "cannot write the pid file %s: %s", r->opt->pidfile, strerror(errno));
	return 0;
}

/*
 * Those that go first may end the others at once, by executing a program say, which waits until their ends are taken;
 * the leader's end comes behind those of the others.
 */
static int let_go(struct process *p)
{
	for (size_t k = 0; k < p->nr_threads; k++) {
		struct thread *t = &p->threads[k];
		int ret = k == 0 && p->stopped ? tracee_release_stopped(&t->tracee, tree_stop_signal(p))
					       : tracee_release(&t->tracee);

		if (ret && ret != -ESRCH)
			return ret;
		t->tracee.tid = ret ? t->tid : 0;
	}
	for (size_t k = p->nr_threads; k-- > 0;)
		if (p->threads[k].tracee.tid)
			tracee_bury(&p->threads[k].tracee);
	return 0;
}

static int stage_post_restore(struct restore *r)
{
	return action_run(r->opt->hook, ACTION_POST_RESTORE, process_outside(r->tree.procs[0]), r->diag);
}

static int stage_connections(struct restore *r)
{
	return files_go(r);
}

/* An action that can change nothing any more. */
static void tell(struct restore *r, enum action action)
{
	if (!action_run(r->opt->hook, action, process_outside(r->tree.procs[0]), r->diag))
		return;
	diag_warn(r->diag, "the action %s failed, and the tree goes on all the same", action_name(action));
	diag_clear(r->diag);
}

static int stage_pre_resume(struct restore *r)
{
	tell(r, ACTION_PRE_RESUME);
	return 0;
}

/* The point of no return: from here on the tree is on its own, and a signal that comes now does not end it. */
static int stage_go(struct restore *r)
{
	int ret = write_pidfile(r);

	if (!ret)
		ret = pidns_go(r);
	for (size_t i = r->tree.nr; !ret && i-- > 0;)
		ret = r->tree.procs[i]->zombie ? 0 : let_go(r->tree.procs[i]);
	if (ret)
		return diag_fail(r->diag, -ret, "cannot let the tree go: %s", strerror(-ret));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct restore *r);
} stages[] = {
	{ "say that a restore begins", stage_pre_restore },
	{ "read the images", stage_read },
	{ "find a lazy-pages server", stage_server },
	{ "open files", stage_open },
	{ "build the lists", stage_lists },
	{ "make the tree", births_make },
	{ "end helpers and zombies", births_finish },
	{ "memory, files and threads", stage_memory },
	{ "fill memory", stage_fill },
	{ "hand memory over to the server", stage_serve },
	{ "state of threads", stage_state },
	{ "interrupted system calls, with the time that they had left", stage_calls },
	{ "registers", stage_registers },
	{ "say that all processes are there", stage_post_restore },
	{ "connections", stage_connections },
	{ "say that they go", stage_pre_resume },
	{ "go", stage_go },
};

static int wait_for_root(struct restore *r, int *status)
{
	pid_t root = process_outside(r->tree.procs[0]);
	int st;

	if (pidns_init(r))
		st = pidns_wait(r);
	else
		while (waitpid(root, &st, 0) < 0)
			if (errno != EINTR)
				return diag_fail(r->diag, errno, "cannot wait for process %d: %s", root,
						 strerror(errno));
	*status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	return 0;
}

static void free_all(struct restore *r)
{
	pidns_close(r);
	for (size_t i = 0; i < r->tree.nr; i++)
		core_free(r->tree.procs[i]);
	tree_free(&r->tree);
	seccomp_free(r);
	cleanup_close(&r->lazy_conn);
	region_close(r);
	image_dir_close(r->dir);
	arena_free(r->arena);
}

int restore_run(const struct restore_options *opt, struct diag *diag, int *status)
{
	struct restore r = { .opt = opt, .diag = diag, .arena = arena_new(), .lazy_conn = -1 };
	sigset_t all, before;
	int ret;

	if (!r.arena)
		return -ENOMEM;
	arch_cpu_read(&r.cpu);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	/* What the tasks inherit until they have their own: nothing that a caller ignores. */
	signal(SIGCHLD, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	ret = image_dir_open(opt->images_dir, &r.dir, diag);
	if (!ret && opt->no_verify)
		image_dir_trust_pages(r.dir);
	if (!ret)
		ret = RUN_STAGES(&r, stages, restore_interrupted);
	if (ret)
		discard_tree(&r);
	else
		tell(&r, ACTION_POST_RESUME);
	files_close(&r);
	shmem_close(&r);
	sysv_close(&r, ret != 0);
	if (!ret && !opt->detach && !opt->sibling) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		ret = wait_for_root(&r, status);
	}
	free_all(&r);
	return ret;
}
