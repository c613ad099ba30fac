// SPDX-License-Identifier: GPL-2.0-only
/*
 * The source of a move: the frozen tree, whose images are written, serves the memory that is not in them.
 */
#include "criu-like/serve_tree.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/page_hub.h"

struct tree_supply {
	struct page_supply base;
	struct dump *dump;
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

static const struct page_supply_ops tree_supply_ops = { .map = supply_map, .read = supply_read };

/* The program must not go on here, should we die, while it runs elsewhere. */
static int bind_tree(void *arg)
{
	struct dump *d = arg;

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
	struct tree_supply supply = { .base.ops = &tree_supply_ops, .dump = d };
	_cleanup_close_ int signals = open_signals(d);
	const struct page_hub hub = {
		.listen_fd = d->listen_fd,
		.signals = signals,
		.net = &d->opt->net,
		.supply = &supply.base,
		.once = true,
		.first = bind_tree,
		.arg = d,
	};
	int ret;

	if (signals < 0)
		return signals;
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
