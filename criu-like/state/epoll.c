// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoll(7). The kernel knows a target by its open file together with the number it was added by. Where that number has
 * been closed since, or leads elsewhere, another descriptor of the same open file stands in for it. Targets are added
 * again in the first process that has both the epoll instance and the target's number, so this is where a dump looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "criu-like/inspect/kcmp.h"
#include "criu-like/state/file_kind.h"

static bool epoll_match(const struct seen *s)
{
	return !strcmp(s->link, "anon_inode:[eventpoll]");
}

static int epoll_dump(struct seen *s, FileEntry *fe)
{
	EventpollFileEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	EventpollTfdEntry *t = arena_array(s->d->arena, s->info.nr_targets + 1, sizeof(*t));

	if (e)
		eventpoll_file_entry__init(e);
	if (!e || !t || !(e->tfd = arena_array(s->d->arena, s->info.nr_targets + 1, sizeof(*e->tfd))))
		return no_memory(s->d->diag);
	e->id = fe->id;
	e->flags = s->flags;
	for (; e->n_tfd < s->info.nr_targets; e->n_tfd++, t++) {
		const struct fdinfo_target *from = &s->info.targets[e->n_tfd];

		eventpoll_tfd_entry__init(t);
		t->tfd = (uint32_t)from->fd;
		t->events = from->events;
		t->data = from->data;
		t->has_dev = t->has_inode = t->has_pos = true;
		t->dev = from->dev;
		t->inode = from->ino;
		t->pos = from->pos;
		e->tfd[e->n_tfd] = t;
	}
	fe->epfd = e;
	return file_owner(s, &e->fown);
}

/* The processes that have an epoll instance, in the order of the tree. */
struct holders {
	const struct process **procs;
	size_t nr;
};

static int find_holders(const struct tree *tree, uint32_t id, struct holders *h, struct diag *diag)
{
	h->procs = calloc(tree->nr + 1, sizeof(*h->procs));
	if (!h->procs)
		return no_memory(diag);
	for (size_t i = 0; i < tree->nr; i++)
		for (size_t j = 0; j < tree->procs[i]->nr_fds; j++)
			if (tree->procs[i]->fds[j]->id == id) {
				h->procs[h->nr++] = tree->procs[i];
				break;
			}
	return 0;
}

/* Where a restore adds a target by the number @fd. */
static const struct process *adding_process(const struct holders *h, uint32_t fd)
{
	for (size_t i = 0; i < h->nr; i++)
		if (process_fd(h->procs[i], (int)fd))
			return h->procs[i];
	return NULL;
}

/* Is descriptor @fd of @p the target? Return: 0 yes, positive no, or -errno */
static int is_target(struct dump *d, const struct process *p, int fd, const struct open_file *f,
		     const EventpollTfdEntry *t, unsigned skip)
{
	const struct open_file *g = file_at(d, p, fd);

	if (!g || g->ino != t->inode)
		return 1;
	if (g->kind == &inet_socket_kind || g->kind == &unix_socket_kind)
		return 0; /* an inode has one open file; the kernel's search for targets would be long */
	return kcmp_epoll_target(p->pid, fd, f->pid, f->fd, (int)t->tfd, skip);
}

/* A number that leads to the target: its own, or another one in @p. Return: 1, 0 none, or -errno with a sentence */
static int find_target(struct dump *d, const struct process *p, const struct open_file *f, const EventpollTfdEntry *t,
		       unsigned skip, uint32_t *fd)
{
	int ret = is_target(d, p, (int)t->tfd, f, t, skip);

	*fd = t->tfd;
	for (size_t i = 0; i < p->nr_fds && ret > 0; i++) {
		*fd = p->fds[i]->fd;
		ret = is_target(d, p, (int)*fd, f, t, skip);
	}
	if (ret < 0)
		return diag_fail(d->diag, -ret,
				 "kcmp failed for target %u of the epoll descriptor %d of process %d: %s", t->tfd,
				 f->fd, f->pid, strerror(-ret));
	return !ret;
}

static int settle_target(struct dump *d, const struct open_file *f, const struct holders *h, EventpollTfdEntry *t,
			 unsigned skip)
{
	for (size_t i = 0; i < h->nr; i++) {
		uint32_t fd;
		int ret = find_target(d, h->procs[i], f, t, skip, &fd);

		if (ret < 0)
			return ret;
		if (!ret || adding_process(h, fd) != h->procs[i])
			continue;
		t->tfd = fd;
		return 0;
	}
	return diag_fail(
		d->diag, ENOTSUP,
		"target %u of the epoll descriptor %d of process %d is no descriptor of a process that has the epoll "
		"instance: remove it from the instance before closing it",
		t->tfd, f->fd, f->pid);
}

/* Several targets may have been added by one number; kcmp counts them, in the order of fdinfo. */
static int settle_targets(struct dump *d, const struct open_file *f)
{
	EventpollFileEntry *e = f->entry->epfd;
	struct holders h = { 0 };
	struct idmap seen = { 0 };
	int ret = find_holders(&d->tree, e->id, &h, d->diag);

	for (size_t i = 0; i < e->n_tfd && ret == 0; i++) {
		uint32_t tfd = e->tfd[i]->tfd;
		uintptr_t before = (uintptr_t)idmap_get(&seen, tfd);

		if (idmap_put(&seen, tfd, (void *)(before + 1)) < 0)
			ret = no_memory(d->diag);
		else
			ret = settle_target(d, f, &h, e->tfd[i], (unsigned)before);
	}
	idmap_free(&seen);
	free(h.procs);
	return ret;
}

static int epoll_peers(struct dump *d)
{
	for (size_t i = 0; i < d->files->nr; i++) {
		int ret = d->files->files[i]->kind == &epoll_kind ? settle_targets(d, d->files->files[i]) : 0;

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int epoll_open(struct restore *r, struct opened_file *f)
{
	const EventpollFileEntry *e = f->entry->epfd;
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return opener_fail(r, errno, f, "epoll_create1");
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, e->flags, e->fown);
}

/* Find for each target the process that will add it. */
static int find_adders(struct restore *r, struct opened_file *f)
{
	const EventpollFileEntry *e = f->entry->epfd;
	struct holders h = { 0 };
	const struct process **adds = arena_array(r->arena, e->n_tfd + 1, sizeof(*adds));
	int ret = 0;

	if (!adds)
		return no_memory(r->diag);
	ret = find_holders(&r->tree, e->id, &h, r->diag);

	for (size_t i = 0; i < e->n_tfd && ret == 0; i++) {
		adds[i] = adding_process(&h, e->tfd[i]->tfd);
		if (!adds[i] && h.nr)
			ret = diag_fail(r->diag, EPROTO,
					"files.img: target %u of the epoll instance with id %u is no descriptor",
					e->tfd[i]->tfd, e->id);
	}
	free(h.procs);
	f->own = adds;
	return ret;
}

static int epoll_finish(struct restore *r)
{
	int ret = 0;

	for_each_used (r, &epoll_kind, f) {
		ret = find_adders(r, f);
		if (ret < 0)
			break;
	}
	return ret;
}

static int epoll_tell(struct restore *r, struct process *p, const FdinfoEntry *fde, struct opened_file *f,
		      struct batch *b)
{
	const EventpollFileEntry *e = f->entry->epfd;
	const struct process **adds = f->own;

	for (size_t i = 0; i < e->n_tfd; i++) {
		struct epoll_event event = { .events = e->tfd[i]->events, .data.u64 = e->tfd[i]->data };

		if (adds[i] == p)
			batch_call(b, BATCH_MUST, SYS_epoll_ctl, fde->fd, EPOLL_CTL_ADD, e->tfd[i]->tfd,
				   batch_data(b, &event, sizeof(event)));
	}
	return 0;
}

static size_t epoll_records(const FileEntry *fe)
{
	return fe->epfd->n_tfd;
}

const struct file_kind epoll_kind = {
	.type = FD_TYPES__EVENTPOLL,
	.name = "epoll instance",
	.member = offsetof(FileEntry, epfd),
	.owner = offsetof(EventpollFileEntry, fown),
	.flags = offsetof(EventpollFileEntry, flags),
	.match = epoll_match,
	.dump = epoll_dump,
	.peers = epoll_peers,
	.open = epoll_open,
	.finish = epoll_finish,
	.tell = epoll_tell,
	.records = epoll_records,
};
