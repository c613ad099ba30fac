// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/dump.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/freeze.h"
#include "criu-like/serve_tree.h"
#include "criu-like/stage.h"
#include "criu-like/state/clocks.h"
#include "criu-like/state/core.h"
#include "criu-like/state/files.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/mm.h"
#include "criu-like/state/pages.h"
#include "criu-like/state/seccomp.h"
#include "criu-like/state/shmem.h"
#include "criu-like/state/sysv.h"
#include "criu-like/state/tree.h"
#include "criu-like/state/vma.h"
#include "lazy-pages/wire/page_stream.h"

static uint32_t since_start(const struct dump *d)
{
	return (uint32_t)MIN(now_us() - d->start_us, UINT32_MAX);
}

static int stage_pre_dump(struct dump *d)
{
	return action_run(d->opt->hook, ACTION_PRE_DUMP, d->opt->pid, d->diag);
}

static int interrupted(void *context)
{
	return dump_interrupted(context);
}

/* Whom memory goes to, or who comes for it: before anything is frozen. */
static int stage_connect(struct dump *d)
{
	if (d->opt->page_server)
		return page_stream_connect(&d->opt->net, interrupted, d, &d->stream, d->diag);
	return d->opt->lazy ? serve_tree_listen(d) : 0;
}

static int stage_freeze(struct dump *d)
{
	int ret;

	d->start_us = now_us();
	ret = freeze_tree(d, d->opt->pid);
	d->stats.freezing_time = since_start(d);
	return ret;
}

static int read_process(struct process *p)
{
	int ret = proc_read_stat(p->proc_fd, "stat", &p->stat);

	if (!ret)
		ret = proc_read_status(p->proc_fd, "status", &p->status);
	for (size_t i = 0; !ret && i < p->nr_threads; i++) {
		char path[48];

		snprintf(path, sizeof(path), "task/%d/status", p->threads[i].tid);
		ret = proc_read_status(p->proc_fd, path, &p->threads[i].status);
	}
	return ret ? ret : proc_read_areas(p->proc_fd, &p->areas, &p->nr_areas);
}

static int look_at_process(struct dump *d, struct process *p)
{
	int ret = p->zombie ? 0 : read_process(p);

	if (ret)
		return diag_fail(d->diag, -ret, "cannot read /proc/%d: %s", p->pid, strerror(-ret));
	return core_dump_alloc(d, p);
}

static int stage_look(struct dump *d)
{
	for (size_t i = 0; i < d->tree.nr; i++) {
		int ret = look_at_process(d, d->tree.procs[i]);

		if (ret)
			return ret;
	}
	return tree_dump(d);
}

/* Everything that refuses: until here nothing in the processes has been changed. */
static int check_process(struct dump *d, struct process *p)
{
	int ret = mm_dump(d, p);

	if (!ret)
		ret = vma_dump(d, p);
	if (!ret)
		ret = fs_dump(d, p);
	if (!ret)
		ret = files_dump_process(d, p);
	for (size_t i = 0; !ret && i < p->nr_threads; i++)
		ret = kinds_check(d, p, &p->threads[i]);
	return ret;
}

static int stage_check(struct dump *d)
{
	int ret = clocks_check(d);

	if (!ret)
		ret = files_dump_init(d);
	for (size_t i = 0; !ret && i < d->tree.nr; i++)
		if (!d->tree.procs[i]->zombie)
			ret = check_process(d, d->tree.procs[i]);
	if (!ret)
		ret = files_dump_peers(d);
	return ret;
}

/* Nothing of this is needed for a pre-dump: memory is read from outside. */
static int stage_ask(struct dump *d)
{
	int ret = 0;

	if (d->opt->pre_dump)
		return 0;

	for (size_t i = 0; !ret && i < d->tree.nr; i++) {
		if (!d->tree.procs[i]->zombie)
			ret = core_dump(d, d->tree.procs[i]);
		if (!ret)
			ret = dump_interrupted(d);
	}
	return ret;
}

static int stage_memory(struct dump *d)
{
	uint32_t start = since_start(d);
	int ret = 0;

	for (size_t i = 0; !ret && i < d->tree.nr; i++)
		if (!d->tree.procs[i]->zombie)
			ret = pages_dump(d, d->tree.procs[i]);
	if (!ret)
		ret = shmem_dump_pages(d);
	if (!ret && d->stream)
		ret = page_stream_finish(d->stream);
	d->stats.memdump_time = d->stats.memwrite_time = since_start(d) - start; /* both at once, by two threads */
	return ret;
}

static int stage_write(struct dump *d)
{
	int ret = d->opt->pre_dump ? 0 : files_write(d);

	if (d->opt->pre_dump)
		return tree_write_inventory(d);

	if (!ret)
		ret = sysv_write(d);
	if (!ret)
		ret = seccomp_write(d);
	if (!ret)
		ret = clocks_write(d);
	for (size_t i = 0; !ret && i < d->tree.nr; i++)
		ret = core_write(d, d->tree.procs[i]);
	return ret ? ret : tree_write(d);
}

static int stage_stats(struct dump *d)
{
	StatsEntry stats = STATS_ENTRY__INIT;

	d->stats.frozen_time = since_start(d);
	stats.dump = &d->stats;
	return image_write_one(d->dir, IMG_STATS_DUMP, 0, &stats, d->diag);
}

static int stage_commit(struct dump *d)
{
	return image_dir_commit(d->dir, d->diag);
}

static const struct {
	const char *name;
	int (*run)(struct dump *d);
} stages[] = {
	{ "say that a dump begins", stage_pre_dump },
	{ "find the other host", stage_connect },
	{ "freeze the tree", stage_freeze },
	{ "look at it", stage_look },
	{ "refuse what cannot be restored", stage_check },
	{ "ask the tasks", stage_ask },
	{ "copy memory", stage_memory },
	{ "write the images", stage_write },
	{ "write the figures", stage_stats },
	{ "give them their names", stage_commit },
};

/* Whoever does not want the dump any more gets none. */
static int tell_dumped(struct dump *d)
{
	int ret = action_run(d->opt->hook, ACTION_POST_DUMP, d->opt->pid, d->diag);

	if (ret)
		image_dir_withdraw(d->dir);
	return ret;
}

/* Until the commit the user may change his mind; what was asked of the images decides how the tree goes on. */
static int release(struct dump *d, bool dumped)
{
	int ret;

	if (d->spent)
		ret = kill_tree(d);
	else if (!dumped || d->opt->leave_running)
		ret = thaw_tree(d);
	else if (d->opt->leave_stopped)
		ret = stop_tree(d);
	else
		ret = kill_tree(d);
	if (ret && dumped)
		return diag_fail(d->diag, -ret, "the images are complete, but the processes could not be released: %s",
				 strerror(-ret));
	return 0;
}

/* Without the memory that was to be served the images are of no use. */
static int serve(struct dump *d)
{
	int ret = serve_tree(d);

	if (ret)
		image_dir_withdraw(d->dir);
	return ret;
}

static void display_stats(const struct dump *d)
{
	printf("Displaying dump stats:\n"
	       "Freezing time: %u us\n"
	       "Frozen time: %u us\n"
	       "Memory dump time: %u us\n"
	       "Memory pages scanned: %llu\n"
	       "Memory pages written: %llu\n"
	       "Lazy memory pages: %llu\n",
	       d->stats.freezing_time, d->stats.frozen_time, d->stats.memdump_time,
	       (unsigned long long)(d->stats.pages_scanned + d->stats.shpages_scanned),
	       (unsigned long long)(d->stats.pages_written + d->stats.shpages_written),
	       (unsigned long long)d->stats.pages_lazy);
}

int dump_run(const struct dump_options *opt, struct diag *diag)
{
	struct dump d = { .opt = opt, .diag = diag, .arena = arena_new(), .listen_fd = -1 };
	sigset_t block;
	int ret;

	if (!d.arena)
		return -ENOMEM;
	arch_cpu_read(&d.cpu);
	dump_stats_entry__init(&d.stats);
	d.stats.has_shpages_scanned = d.stats.has_shpages_written = d.stats.has_shpages_skipped_parent = 1;
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigaddset(&block, SIGALRM);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGCHLD, SIG_DFL);
	if (opt->timeout) {
		d.deadline_us = now_us() + opt->timeout * 1000000ULL;
		alarm(opt->timeout); /* ends a wait for a thread that does not stop; blocked, it is only looked for */
	}

	ret = image_dir_create(opt->images_dir, &d.dir, diag);
	if (!ret)
		ret = image_dir_begin_run(d.dir, diag);
	if (!ret && opt->prev_images_dir)
		ret = image_dir_set_parent(d.dir, opt->prev_images_dir, &d.prev_dir, diag);
	if (!ret) {
		ret = RUN_STAGES(&d, stages, dump_interrupted);
		if (!ret)
			ret = tell_dumped(&d);
		for (size_t i = 0; i < d.tree.nr; i++)
			inject_close(&d.tree.procs[i]->inj, diag);
		if (!ret && opt->lazy)
			ret = serve(&d);
		if (ret || opt->leave_running || opt->leave_stopped)
			files_dump_resume(&d, ret != 0 || opt->pre_dump);
		ret = release(&d, !ret) ?: ret;
		if (!ret && opt->display_stats)
			display_stats(&d);
	}
	page_stream_close(d.stream);
	cleanup_close(&d.listen_fd);
	files_dump_free(&d);
	shmem_dump_free(&d);
	sysv_dump_free(&d);
	tree_free(&d.tree);
	image_dir_close(d.prev_dir);
	image_dir_close(d.dir);
	arena_free(d.arena);
	return ret;
}
