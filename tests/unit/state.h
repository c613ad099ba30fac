/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_UNIT_STATE_H
#define THAW_TESTS_UNIT_STATE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

/*
 * Kinds of state without the rest of Thaw: a child of the test stands for the task. It shares the batch's region with
 * the test at the same address and walks the records itself, with syscall(2), when it is told to.
 */
struct child {
	pid_t pid;
	int command, answer; /* pipes */
	struct process process;
	struct thread thread;
	MmEntry mm;
	CoreEntry core;
	TaskCoreEntry tc;
	ThreadCoreEntry thread_core;
	ThreadInfoX86 info;
};

struct bench {
	struct arena *arena;
	struct diag diag;
	struct batch batch;
	struct dump dump;
	struct restore_options options;
	struct restore restore;
	size_t size;
};

#define BENCH_RECORDS 4096UL
#define BENCH_BYTES (256UL * 1024)

static inline void bench_init(struct bench *w)
{
	void *region;

	*w = (struct bench){ .size = batch_size(BENCH_RECORDS, BENCH_BYTES) };
	diag_init(&w->diag, -1, DIAG_ERROR);
	w->arena = arena_new();
	region = mmap(NULL, w->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(region, MAP_FAILED);
	batch_init(&w->batch, region, (uintptr_t)region, BENCH_RECORDS, BENCH_BYTES);
	w->dump = (struct dump){ .diag = &w->diag, .arena = w->arena };
	w->restore = (struct restore){ .diag = &w->diag, .arena = w->arena, .opt = &w->options };
}

static inline void bench_free(struct bench *w)
{
	munmap(w->batch.local, w->size);
	arena_free(w->arena);
}

/* As the stub does it. Return: index of the record at which the list ended. */
static inline size_t walk(const struct batch *b, size_t at)
{
	for (;; at++) {
		struct batch_record *r = batch_record_at(b, at);
		long ret;

		if (!r || r->flags & BATCH_END)
			return at;
		ret = syscall((long)r->nr, r->arg[0], r->arg[1], r->arg[2], r->arg[3], r->arg[4], r->arg[5]);
		r->result = ret == -1 ? -errno : ret;
		if (r->result < 0 && r->flags & BATCH_MUST)
			return at;
		if (r->flags & BATCH_STORE)
			*(int64_t *)(uintptr_t)r->link = r->result;
	}
}

static inline void __attribute__((noreturn)) child_serve(const struct batch *b, int command, int answer)
{
	struct batch seen = *b;
	size_t at[2];

	while (read(command, at, sizeof(at)) == sizeof(at)) {
		seen.nr_records = at[1];
		at[0] = walk(&seen, at[0]);
		if (write(answer, at, sizeof(at[0])) != sizeof(at[0]))
			break;
	}
	_exit(0);
}

/* A task with what @setup makes of it (NULL: as thaw's restore would clone it). */
static inline void child_start(struct bench *w, struct child *c, void (*setup)(void))
{
	int command[2], answer[2];
	char ready;
	uint64_t all = ~0ULL;

	memset(c, 0, sizeof(*c));
	assert_int_equal(pipe(command), 0);
	assert_int_equal(pipe(answer), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		close(command[1]);
		close(answer[0]);
		if (setup)
			setup();
		else
			syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 1, RSEQ_SIG);
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all)); /* libc's own too */
		if (write(answer[1], "", 1) != 1)
			_exit(1);
		child_serve(&w->batch, command[0], answer[1]);
	}
	close(command[0]);
	close(answer[1]);
	c->command = command[1];
	c->answer = answer[0];
	assert_int_equal(read(c->answer, &ready, 1), 1);
	assert_int_equal(ptrace(PTRACE_SEIZE, c->pid, NULL, 0), 0);
}

static inline void child_end(struct child *c)
{
	close(c->command);
	close(c->answer);
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, __WALL);
	close(c->process.proc_fd);
	proc_status_free(&c->thread.status);
}

static inline void child_stop(struct child *c)
{
	int status;

	assert_int_equal(ptrace(PTRACE_INTERRUPT, c->pid, NULL, NULL), 0);
	assert_int_equal(waitpid(c->pid, &status, __WALL), c->pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_GETSIGMASK, c->pid, sizeof(uint64_t), &c->thread.tracee.sigmask), 0);
}

static inline void child_go(struct child *c)
{
	assert_int_equal(ptrace(PTRACE_CONT, c->pid, NULL, NULL), 0);
}

/* Walk the list from @first. Return: where it ended. */
static inline size_t child_walk(struct bench *w, struct child *c, size_t first)
{
	size_t at[2] = { first, w->batch.nr_records }, end = 0;

	assert_int_equal(write(c->command, at, sizeof(at)), sizeof(at));
	assert_int_equal(read(c->answer, &end, sizeof(end)), sizeof(end));
	return end;
}

static inline void child_messages(struct child *c)
{
	mm_entry__init(&c->mm);
	core_entry__init(&c->core);
	task_core_entry__init(&c->tc);
	thread_core_entry__init(&c->thread_core);
	thread_info_x86__init(&c->info);
	c->core.tc = &c->tc;
	c->core.thread_core = &c->thread_core;
	c->core.thread_info = &c->info;
	c->process.pid = c->thread.tid = c->thread.tracee.tid = c->thread.tracee.tgid = c->pid;
	c->process.threads = &c->thread;
	c->process.nr_threads = 1;
	c->process.mm = &c->mm;
	c->thread.core = &c->core;
}

/* Read all kinds of its state into its messages. */
static inline void child_dump(struct bench *w, struct child *c)
{
	size_t first, end;

	child_messages(c);
	batch_reset(&w->batch);
	c->process.proc_fd = proc_open(c->pid);
	assert_true(c->process.proc_fd >= 0);
	assert_int_equal(proc_read_status(c->process.proc_fd, "status", &c->thread.status), 0);
	if (prctl(PR_GET_SECCOMP) > 0) /* one who is under seccomp may not read others' filters */
		c->thread.status.seccomp = 0;
	child_stop(c);
	first = batch_begin(&w->batch);
	if (kinds_ask(&w->dump, &c->process, &c->thread, &w->batch) < 0)
		fail_msg("ask: %s", w->diag.text);
	assert_int_equal(batch_end(&w->batch), 0);
	child_go(c);
	end = child_walk(w, c, first);
	assert_int_equal(end, w->batch.nr_records - 1);
	child_stop(c);
	if (kinds_take(&w->dump, &c->process, &c->thread, &w->batch) < 0)
		fail_msg("take: %s", w->diag.text);
	child_go(c);
}

/* Set in @c the state that @from's messages hold. */
static inline void child_restore(struct bench *w, struct child *c, struct child *from)
{
	size_t first, end;

	child_messages(c);
	c->thread.core = &from->core;
	c->thread.extra = from->thread.extra;
	c->process.mm = &from->mm;
	batch_reset(&w->batch);
	w->restore.seccomp = w->dump.seccomp;
	child_stop(c);
	first = batch_begin(&w->batch);
	if (kinds_tell(&w->restore, &c->process, &c->thread, &w->batch) < 0)
		fail_msg("tell: %s", w->diag.text);
	assert_int_equal(batch_end(&w->batch), 0);
	child_go(c);
	end = child_walk(w, c, first);
	if (end != w->batch.nr_records - 1)
		fail_msg("%s: record %zu: system call %lu gave %ld", kinds_name(&c->thread, end), end,
			 (unsigned long)batch_record_at(&w->batch, end)->nr, (long)batch_result(&w->batch, end));
	if (kinds_apply(&w->restore, &c->process, &c->thread) < 0)
		fail_msg("apply: %s", w->diag.text);
}

#endif
