// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the image format has no place for, in a file of Thaw's own: timer slack, I/O priority, and the CPUs that a
 * thread was kept to. A thread that was free to use all CPUs keeps those that its restorer was given, as with
 * taskset(1); of a thread's own CPUs those that this machine has are taken.
 */
#include "criu-like/state/extra.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/own_image.h"

#define CPUS_BYTES 1024 /* 8192 CPUs, more than any kernel is built for */

static int ask_extra(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_prctl, PR_GET_TIMERSLACK);
	return 0;
}

static size_t count_bits(const uint8_t *bits, size_t len)
{
	size_t nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += (size_t)__builtin_popcount(bits[i]);
	return nr;
}

/* All CPUs that are there; or thaw's own, as both were given them by a container, say. Return: whether, or -errno */
static int is_free(const uint8_t *cpus, size_t len)
{
	uint8_t own[CPUS_BYTES];
	long own_len = syscall(SYS_sched_getaffinity, 0, sizeof(own), own);

	if (own_len < 0)
		return -errno;
	return count_bits(cpus, len) >= (size_t)sysconf(_SC_NPROCESSORS_ONLN) ||
	       ((size_t)own_len == len && memcmp(own, cpus, len) == 0);
}

static int take_cpus(struct dump *d, struct process *p, struct thread *t)
{
	uint8_t *cpus = arena_alloc(d->arena, CPUS_BYTES);
	int is_usual;
	long len;

	if (!cpus)
		return kind_no_memory(d->diag);
	len = syscall(SYS_sched_getaffinity, t->tid, CPUS_BYTES, cpus);
	if (len < 0)
		return kind_unread(d, p, t, -errno, "CPU affinity");
	is_usual = is_free(cpus, (size_t)len);
	if (is_usual)
		return is_usual < 0 ? kind_unread(d, p, t, is_usual, "CPU affinity") : 0;
	while (len > 1 && !cpus[len - 1])
		len--;
	t->extra->has_cpus = true;
	t->extra->cpus.data = cpus;
	t->extra->cpus.len = (size_t)len;
	return 0;
}

static int take_extra(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	long io = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, t->tid);
	int64_t slack = batch_result(b, first);

	if (io < 0)
		return kind_unread(d, p, t, -errno, "I/O priority");
	if (slack < 0)
		return kind_unread(d, p, t, slack, "timer slack");
	t->extra = arena_alloc(d->arena, sizeof(*t->extra));
	if (!t->extra)
		return kind_no_memory(d->diag);
	thaw_thread_entry__init(t->extra);
	t->extra->tid = (uint32_t)t->tid;
	t->extra->has_timer_slack = slack > 0; /* a real-time thread has none */
	t->extra->timer_slack = (uint64_t)slack;
	t->extra->has_io_priority = IOPRIO_PRIO_CLASS(io) != IOPRIO_CLASS_NONE;
	t->extra->io_priority = (uint32_t)io;
	return take_cpus(d, p, t);
}

static int tell_extra(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const ThawThreadEntry *e = t->extra;

	if (!e)
		return 0;
	if (e->has_timer_slack)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_TIMERSLACK, e->timer_slack);
	if (e->has_io_priority)
		batch_call(b, BATCH_MUST, SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, e->io_priority);
	if (e->has_cpus)
		batch_call(b, 0, SYS_sched_setaffinity, 0, e->cpus.len, batch_data(b, e->cpus.data, e->cpus.len));
	return 0;
}

const struct state_kind kind_extra = {
	.name = "timer slack, I/O priority or CPU affinity",
	.ask = ask_extra,
	.take = take_extra,
	.tell = tell_extra,
};

int extra_write(struct dump *d, struct process *p)
{
	_cleanup_free_ void **entries = calloc(p->nr_threads, sizeof(*entries));

	if (!entries)
		return kind_no_memory(d->diag);
	for (size_t i = 0; i < p->nr_threads; i++)
		entries[i] = p->threads[i].extra;
	return own_image_write(d, IMG_THAW_TASK, (uint64_t)p->pid, entries, p->nr_threads);
}

static struct thread *find_thread(struct process *p, uint32_t tid)
{
	for (size_t i = 0; i < p->nr_threads; i++)
		if ((uint32_t)p->threads[i].tid == tid)
			return &p->threads[i];
	return NULL;
}

static int read_thread(const struct own_image *o, struct process *p, ThawThreadEntry *e)
{
	struct thread *t = find_thread(p, e->tid);

	if (!t || t->extra || e->cpus.len > CPUS_BYTES) {
		image_free(e);
		return own_image_damaged(o, "its threads are not those of the process");
	}
	t->extra = e;
	return 0;
}

int extra_read(struct restore *r, struct process *p)
{
	struct own_image image;
	ThawThreadEntry *e;
	int ret = own_image_open(r, IMG_THAW_TASK, (uint64_t)p->pid, &image);

	while (ret == 0 && (ret = own_image_get(&image, &e)) > 0)
		ret = read_thread(&image, p, e);
	own_image_close(&image);
	return ret;
}

void extra_free(struct process *p)
{
	for (size_t i = 0; i < p->nr_threads; i++) {
		image_free(p->threads[i].extra);
		p->threads[i].extra = NULL;
	}
}
