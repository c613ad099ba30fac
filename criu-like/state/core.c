// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/core.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/state/extra.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/guards.h"
#include "criu-like/state/mm.h"
#include "criu-like/state/vma.h"

#define TASK_ALIVE 1
#define TASK_STOPPED 3
#define TASK_DEAD 2

static int alloc_thread(struct dump *d, struct thread *t)
{
	struct {
		CoreEntry core;
		ThreadCoreEntry thread_core;
		ThreadInfoX86 info;
	} *m = arena_alloc(d->arena, sizeof(*m));

	if (!m)
		return -ENOMEM;
	core_entry__init(&m->core);
	thread_core_entry__init(&m->thread_core);
	thread_info_x86__init(&m->info);
	m->core.mtype = ARCH_MACHINE;
	m->core.thread_core = &m->thread_core;
	m->core.thread_info = &m->info;
	t->core = &m->core;
	return 0;
}

static int alloc_task(struct dump *d, struct process *p, CoreEntry *core)
{
	TaskCoreEntry *tc = arena_alloc(d->arena, sizeof(*tc));

	if (!tc)
		return -ENOMEM;
	task_core_entry__init(tc);
	tc->task_state = p->zombie ? TASK_DEAD : p->threads[0].tracee.group_stopped ? TASK_STOPPED : TASK_ALIVE;
	tc->exit_code = p->zombie ? (uint32_t)p->stat.exit_code : 0;
	if (!p->zombie && p->threads[0].tracee.stop_signal) {
		tc->has_stop_signo = true;
		tc->stop_signo = (uint32_t)p->threads[0].tracee.stop_signal;
	}
	tc->flags = p->stat.flags;
	tc->comm = arena_strdup(d->arena, p->stat.comm);
	core->tc = tc;
	return tc->comm ? 0 : -ENOMEM;
}

int core_dump_alloc(struct dump *d, struct process *p)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < p->nr_threads; i++)
		ret = alloc_thread(d, &p->threads[i]);
	if (!ret)
		ret = alloc_task(d, p, p->threads[0].core);
	if (p->zombie) {
		p->threads[0].core->thread_core = NULL;
		p->threads[0].core->thread_info = NULL;
	}
	return ret;
}

static bool is_vdso(const struct area *a)
{
	return !strcmp(a->name, "[vdso]");
}

/* A `syscall` instruction: of the vDSO, where it is found at once; some programs have none, then of any other code. */
static uint64_t find_syscall(const struct process *p)
{
	uint64_t insn = 0;

	for (size_t i = 0; !insn && i < p->nr_areas; i++)
		if (is_vdso(&p->areas[i]))
			insn = inject_find_syscall(p->mem_fd, p->areas[i].start, p->areas[i].end);
	for (size_t i = 0; !insn && i < p->nr_areas; i++)
		if (p->areas[i].prot & PROT_EXEC)
			insn = inject_find_syscall(p->mem_fd, p->areas[i].start, p->areas[i].end);
	return insn;
}

static int build_lists(struct dump *d, struct process *p)
{
	struct batch *b = &p->inj.batch;

	for (size_t i = 0; i < p->nr_threads; i++) {
		struct thread *t = &p->threads[i];
		int ret;

		t->list = batch_begin(b);
		if (i == 0)
			mm_ask(p, b);
		ret = kinds_ask(d, p, t, b);
		if (!ret)
			ret = batch_end(b);
		if (ret)
			return diag_fail(d->diag, -ret, "cannot build the batch for thread %d: %s", t->tid,
					 strerror(-ret));
	}
	return 0;
}

/* See stub.S; the leader's list is the one that SIGTRAP's action could concern. */
static bool may_trap(const struct process *p, size_t i)
{
	const struct proc_status *s = &p->threads[i].status;

	return i && p->nr_threads >= MANY_THREADS && !((s->sig_ign | s->sig_pnd | s->shd_pnd) & 1ULL << (SIGTRAP - 1));
}

static int run_lists(struct dump *d, struct process *p)
{
	const struct batch *b = &p->inj.batch;
	int ret = inject_write(&p->inj, d->diag);

	for (size_t i = 0; !ret && i < p->nr_threads; i++) {
		p->threads[i].tracee.ends_by_trap = may_trap(p, i);
		ret = tracee_start_list(&p->threads[i].tracee, b, p->threads[i].list);
	}
	for (size_t i = 0; !ret && i < p->nr_threads; i++) {
		size_t at;

		ret = tracee_finish_list(&p->threads[i].tracee, b, &at);
		if (!ret && !(batch_record_at(b, at)->flags & BATCH_END)) {
			/* Results are in the process still. */
			ret = inject_read(&p->inj, d->diag);
			return ret ? ret
				   : diag_fail(d->diag, (int)-batch_result(b, at),
					       "cannot read the %s of thread %d: %s", kinds_name(&p->threads[i], at),
					       p->threads[i].tid, strerror((int)-batch_result(b, at)));
		}
	}
	if (ret)
		return diag_fail(d->diag, -ret, "cannot run inside process %d: %s", p->pid, strerror(-ret));
	return inject_read(&p->inj, d->diag);
}

static int take_results(struct dump *d, struct process *p)
{
	for (size_t i = 0; i < p->nr_threads; i++) {
		struct thread *t = &p->threads[i];
		int ret = arch_dump_regs(&d->cpu, d->arena, t->tid, &t->tracee.regs, t->core, d->diag);

		if (!ret)
			ret = kinds_take(d, p, t, &p->inj.batch);
		if (ret)
			return ret;
	}
	return mm_take(d, p, &p->inj.batch);
}

int core_dump(struct dump *d, struct process *p)
{
	size_t records = 8 + p->nr_threads, bytes = 4096;
	int ret;

	p->insn = find_syscall(p);
	if (!p->insn)
		return diag_fail(d->diag, EOPNOTSUPP, "process %d has no system call instruction, which Thaw needs",
				 p->pid);
	kinds_room_to_ask(p, &records, &bytes);
	ret = inject_open(&p->inj, &p->threads[0].tracee, p->mem_fd, p->insn, records, bytes, d->diag);
	if (!ret)
		ret = build_lists(d, p);
	if (!ret)
		ret = run_lists(d, p);
	if (!ret)
		ret = take_results(d, p);
	return ret ? ret : inject_close(&p->inj, d->diag);
}

static int write_mm(struct dump *d, struct process *p)
{
	int ret;

	guards_join(p);
	ret = image_write_one(d->dir, IMG_MM, (uint64_t)p->pid, p->mm, d->diag);
	guards_split(p);
	return ret;
}

int core_write(struct dump *d, struct process *p)
{
	struct image_writer *w = NULL;
	int ret = 0;

	for (size_t i = 0; !ret && i < p->nr_threads; i++)
		ret = image_write_one(d->dir, IMG_CORE, (uint64_t)p->threads[i].tid, p->threads[i].core, d->diag);
	if (ret || p->zombie)
		return ret;
	ret = extra_write(d, p);
	if (!ret)
		ret = write_mm(d, p);
	if (!ret)
		ret = image_write_one(d->dir, IMG_FS, (uint64_t)p->pid, p->fs, d->diag);
	if (!ret)
		ret = image_write_one(d->dir, IMG_IDS, (uint64_t)p->pid, p->ids, d->diag);
	if (ret || p->files_of)
		return ret;
	ret = image_create(d->dir, IMG_FDINFO, p->ids->files_id, &w, d->diag);
	for (size_t i = 0; !ret && i < p->nr_fds; i++)
		ret = image_put(w, p->fds[i]);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static int read_threads(struct restore *r, struct process *p)
{
	for (size_t i = 0; i < p->nr_threads; i++) {
		struct thread *t = &p->threads[i];
		int ret = image_read_one(r->dir, IMG_CORE, (uint64_t)t->tid, &t->core, r->diag);

		if (ret)
			return ret;
		if (i == 0 && !t->core->tc)
			return diag_fail(r->diag, EPROTO, "core-%d.img is damaged: it has no task state", t->tid);
		p->zombie = i == 0 ? t->core->tc->task_state == TASK_DEAD : p->zombie;
		p->stopped = i == 0 ? t->core->tc->task_state == TASK_STOPPED : p->stopped;
		if (p->zombie)
			return 0;
		if (!t->core->thread_core)
			return diag_fail(r->diag, EPROTO, "core-%d.img is damaged: it has no thread state", t->tid);
		ret = arch_check_core(&r->cpu, t->core, t->tid, r->diag);
		if (ret)
			return ret;
	}
	return 0;
}

static int read_fdinfo(struct restore *r, struct process *p)
{
	struct image_reader *reader = NULL;
	size_t cap = 0;
	int ret = image_open(r->dir, IMG_FDINFO, p->ids->files_id, &reader, r->diag);

	while (!ret) {
		ret = grow(&p->fds, p->nr_fds, &cap, sizeof(*p->fds));
		if (ret)
			break;
		ret = image_get(reader, &p->fds[p->nr_fds]);
		if (ret <= 0)
			break;
		p->nr_fds++;
		ret = 0;
	}
	image_close(reader);
	return ret;
}

int core_read(struct restore *r, struct process *p)
{
	int ret = read_threads(r, p);

	if (ret || p->zombie)
		return ret;
	ret = extra_read(r, p);
	if (!ret)
		ret = image_read_one(r->dir, IMG_IDS, (uint64_t)p->pid, &p->ids, r->diag);
	if (!ret)
		ret = image_read_one(r->dir, IMG_MM, (uint64_t)p->pid, &p->mm, r->diag);
	if (!ret)
		guards_split(p);
	if (!ret)
		ret = image_read_one(r->dir, IMG_FS, (uint64_t)p->pid, &p->fs, r->diag);
	if (!ret)
		ret = read_fdinfo(r, p);
	if (!ret)
		ret = vma_check(r, p);
	return ret ? ret : pagemap_read_whole(r->dir, IMG_PAGEMAP, (uint64_t)p->pid, &p->pagemap, r->diag);
}

void core_free(struct process *p)
{
	extra_free(p);
	for (size_t i = 0; i < p->nr_threads; i++)
		image_free(p->threads[i].core);
	for (size_t i = 0; i < p->nr_fds; i++)
		image_free(p->fds[i]);
	free(p->fds);
	image_free(p->ids);
	guards_join(p);
	image_free(p->mm);
	image_free(p->fs);
}
