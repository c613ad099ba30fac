// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/process.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

struct process *tree_add(struct tree *tree, pid_t pid, struct process *parent)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p || grow(&tree->procs, tree->nr, &tree->cap, sizeof(*tree->procs))) {
		free(p);
		return NULL;
	}
	p->pid = pid;
	p->parent = parent;
	p->ppid = parent ? parent->pid : 0;
	p->proc_fd = p->pidfd = p->mem_fd = p->uffd = p->uffd_remote = -1;
	p->inj.mem_fd = -1;
	tree->procs[tree->nr++] = p;
	return p;
}

struct thread *process_add_thread(struct process *p, pid_t tid)
{
	struct thread *t;

	if (grow(&p->threads, p->nr_threads, &p->cap_threads, sizeof(*p->threads)))
		return NULL;
	t = &p->threads[p->nr_threads++];
	*t = (struct thread){ .tid = tid };
	return t;
}

struct process *tree_find(const struct tree *tree, pid_t pid)
{
	for (size_t i = 0; i < tree->nr; i++)
		if (tree->procs[i]->pid == pid)
			return tree->procs[i];
	return NULL;
}

static void process_free(struct process *p)
{
	for (size_t i = 0; i < p->nr_threads; i++)
		proc_status_free(&p->threads[i].status);
	proc_status_free(&p->status);
	proc_areas_free(p->areas, p->nr_areas);
	cleanup_close(&p->proc_fd);
	cleanup_close(&p->pidfd);
	cleanup_close(&p->mem_fd);
	cleanup_close(&p->uffd);
	pagemap_free(&p->pagemap);
	free(p->threads);
	free(p);
}

void tree_drop_last(struct tree *tree)
{
	process_free(tree->procs[--tree->nr]);
}

void tree_drop_helpers(struct tree *tree)
{
	while (tree->nr && tree->procs[tree->nr - 1]->helper)
		tree_drop_last(tree);
}

void tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->nr; i++)
		process_free(tree->procs[i]);
	free(tree->procs);
	*tree = (struct tree){ 0 };
}
