// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source of a move: the frozen tree, whose images are written, serves the memory that is not in them.
 */
#include "criu-like/serve_tree.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/page_hub.h"

/* Pages that a client has. */
struct moved {
	pid_t pid;
	uint64_t start, end;
};

struct tree_supply {
	struct page_supply base;
	struct dump *dump;
	int event;	      /* there is something in @moved */
	pthread_mutex_t lock; /* of what follows */
	struct moved *moved;
	size_t nr, cap;
};

int serve_tree_listen(struct dump *d)
{
	unsigned port;
	int fd = link_listen(&d->opt->net, &port, d->diag);

	if (fd < 0)
		return fd;
	if (!d->opt->net.port) {
		printf("%u\n", port);
		fflush(stdout);
	}
	d->listen_fd = fd;
	return 0;
}

static struct process *find_process(struct page_supply *s, uint64_t pid)
{
	struct dump *d = ((struct tree_supply *)s)->dump;
	struct process *p = pid > INT32_MAX ? NULL : tree_find(&d->tree, (pid_t)pid);

	return p && !p->zombie ? p : NULL;
}

static int supply_map(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag)
{
	struct process *p = find_process(s, pid);

	if (!p)
		return -ESRCH;
	*map = &p->pagemap;
	return 0;
}

static int supply_read(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr,
		       void *buf, const void **data, struct diag *diag)
{
	struct process *p = find_process(s, pid);
	uint64_t addr = run->vaddr + skip * PAGE_SIZE;
	ssize_t got = full_pread(p->mem_fd, buf, nr * PAGE_SIZE, (off_t)addr);

	if (got != (ssize_t)(nr * PAGE_SIZE))
		return diag_fail(diag, got < 0 ? (int)-got : EIO, "cannot read the memory of process %d at 0x%llx: %s",
				 p->pid, (unsigned long long)addr,
				 got < 0 ? strerror((int)-got) : "it ends there, the process is gone");
	*data = buf;
	return 0;
}

/* Only the tracer may do it, and this is another thread. */
static void supply_forget(struct page_supply *s, uint64_t pid, uint64_t vaddr, uint64_t nr)
{
	struct tree_supply *ts = (struct tree_supply *)s;
	const uint64_t one = 1;
	struct moved *last;

	if (!ts->dump->opt->free_moved)
		return;
	pthread_mutex_lock(&ts->lock);
	last = ts->nr ? &ts->moved[ts->nr - 1] : NULL;
	if (last && last->pid == (pid_t)pid && last->end == vaddr)
		last->end += nr * PAGE_SIZE;
	else if (!grow(&ts->moved, ts->nr, &ts->cap, sizeof(*last)))
		ts->moved[ts->nr++] = (struct moved){ (pid_t)pid, vaddr, vaddr + nr * PAGE_SIZE };
	pthread_mutex_unlock(&ts->lock);
	if (write(ts->event, &one, sizeof(one)) < 0)
		diag_warn(ts->dump->diag, "cannot wake the tracer: %s", strerror(errno));
}

/* Have the tree give back what has moved. */
static void free_moved(void *arg)
{
	struct tree_supply *ts = arg;
	_cleanup_free_ struct moved *moved = NULL;
	uint64_t count;
	size_t nr;

	if (read(ts->event, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&ts->lock);
	moved = TAKE_PTR(ts->moved);
	nr = ts->nr;
	ts->nr = ts->cap = 0;
	pthread_mutex_unlock(&ts->lock);
	for (size_t i = 0; i < nr; i++) {
		const uint64_t call[6] = { moved[i].start, moved[i].end - moved[i].start, MADV_DONTNEED };
		struct process *p = tree_find(&ts->dump->tree, moved[i].pid);
		int64_t result;

		ts->dump->spent = true;
		if (p && p->insn && !p->zombie)
			tracee_syscall(&p->threads[0].tracee, p->insn, SYS_madvise, call, &result);
	}
}

static const struct page_supply_ops tree_supply_ops = {
	.map = supply_map,
	.read = supply_read,
	.forget = supply_forget,
};

/* The program must not go on here, should we die, while it runs elsewhere. */
static int bind_tree(void *arg)
{
	struct dump *d = ((struct tree_supply *)arg)->dump;

	for (size_t i = 0; i < d->tree.nr; i++) {
		struct process *p = d->tree.procs[i];

		for (size_t k = 0; k < p->nr_threads; k++) {
			pid_t tid = p->threads[k].tracee.tid;

			if (tid && ptrace(PTRACE_SETOPTIONS, tid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
				return diag_fail(d->diag, errno, "cannot bind thread %d to the page server: %s", tid,
						 strerror(errno));
		}
	}
	return 0;
}

static int open_signals(struct dump *d)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? diag_fail(d->diag, errno, "cannot make a descriptor: %s", strerror(errno)) : fd;
}

int serve_tree(struct dump *d)
{
	_cleanup_close_ int signals = open_signals(d), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct tree_supply supply = {
		.base.ops = &tree_supply_ops, .dump = d, .event = event, .lock = PTHREAD_MUTEX_INITIALIZER
	};
	const struct page_hub hub = {
		.listen_fd = d->listen_fd,
		.signals = signals,
		.net = &d->opt->net,
		.supply = &supply.base,
		.once = true,
		.first = bind_tree,
		.work = free_moved,
		.work_fd = event,
		.arg = &supply,
	};
	int ret;

	if (signals < 0)
		return signals;
	if (event < 0)
		return diag_fail(d->diag, errno, "cannot make an eventfd: %s", strerror(errno));
	if (d->opt->status_fd >= 0) {
		if (write(d->opt->status_fd, "", 1) != 1)
			diag_warn(d->diag, "cannot write to the status descriptor %d: %s", d->opt->status_fd,
				  strerror(errno));
		close(d->opt->status_fd);
	}
	diag_info(d->diag, "Serving the memory of the tree");
	ret = page_hub_run(&hub, d->diag);
	if (ret == -EINTR)
		return diag_fail(d->diag, EINTR,
				 "ended by a signal while nobody was being served; the processes run on "
				 "here");
	return ret;
}
