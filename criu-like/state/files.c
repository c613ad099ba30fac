// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files, the dump half.
 *
 * Each descriptor is taken with pidfd_getfd(2), so that one can ask about it here without running anything in the
 * process. Whether two descriptors lead to one open file is asked of kcmp(2). Its answer is an order, so the open files
 * stand in a search tree: sorted by a hash of device, inode, flags and position first (no system call), by the kernel's
 * order then. Both orders are as good as random, so the tree stays flat without being balanced.
 */
#include "criu-like/state/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inspect/kcmp.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/in_flight.h"
#include "criu-like/state/link_remap.h"
#include "criu-like/state/tcp.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

const struct file_kind *const file_kinds[] = {
	&reg_file_kind,	     &pipe_kind,     &fifo_kind,  &inet_socket_kind, &unix_socket_kind, &netlink_socket_kind,
	&packet_socket_kind, &eventfd_kind,  &epoll_kind, &timerfd_kind,     &signalfd_kind,	&memfd_kind,
	&inotify_kind,	     &fanotify_kind, &pidfd_kind, &tty_kind,
};
const size_t nr_file_kinds = ARRAY_SIZE(file_kinds);

int file_owner(struct seen *s, FownEntry **out)
{
	FownEntry *o = arena_alloc(s->d->arena, sizeof(*o));
	struct f_owner_ex owner;
	uint32_t uids[2];
	int sig;

	if (!o)
		return no_memory(s->d->diag);
	fown_entry__init(o);
	*out = o;
	if (s->flags & O_PATH)
		return 0;
	sig = fcntl(s->lfd, F_GETSIG);
	if (sig < 0 || fcntl(s->lfd, F_GETOWN_EX, &owner) < 0)
		return file_fail(s, errno, "reading the owner");
	o->signum = (uint32_t)sig;
	if (!owner.pid)
		return 0;
	if (fcntl(s->lfd, F_GETOWNER_UIDS, uids) < 0)
		return file_fail(s, errno, "reading the owner's ids");
	o->pid_type = (uint32_t)owner.type;
	o->pid = (uint32_t)owner.pid;
	o->uid = uids[0];
	o->euid = uids[1];
	return 0;
}

/* What must be the same in descriptors of one open file, mixed into a number. */
static uint64_t hash_file(const struct seen *s)
{
	const uint64_t parts[] = { s->st.st_dev, s->st.st_ino, s->flags, s->info.pos };
	uint64_t h = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		h = (h ^ parts[i]) * 0x9E3779B97F4A7C15ULL;
		h ^= h >> 32;
	}
	return h;
}

/* @order: set to below, at or above zero */
static int compare_seen(const struct seen *s, uint64_t hash, const struct open_file *f, int *order)
{
	int ret;

	if (hash != f->hash) {
		*order = hash < f->hash ? -1 : 1;
		return 0;
	}
	ret = kcmp_file(s->p->pid, s->fd, f->pid, f->fd);
	if (ret < 0)
		return file_fail(s, -ret, "kcmp");
	*order = ret == 0 ? 0 : ret == 1 ? -1 : 1;
	return 0;
}

/* Find the link of the tree where the open file of @s is, or belongs. */
static int find_file(struct seen *s, struct open_file ***link)
{
	struct open_file **at = &s->d->files->root;
	uint64_t hash = hash_file(s);
	int order = 0, ret;

	while (*at) {
		ret = compare_seen(s, hash, *at, &order);
		if (ret < 0)
			return ret;
		if (!order)
			break;
		at = order < 0 ? &(*at)->less : &(*at)->greater;
	}
	*link = at;
	return 0;
}

static struct open_file *new_file(struct dump *d, const struct file_kind *kind)
{
	struct file_table *t = d->files;
	struct open_file *f = arena_alloc(d->arena, sizeof(*f));
	FileEntry *e = arena_alloc(d->arena, sizeof(*e));

	if (!f || !e || grow(&t->files, t->nr, &t->cap, sizeof(*t->files)) < 0)
		return NULL;
	file_entry__init(e);
	e->type = kind->type;
	e->id = ++t->last_id;
	f->kind = kind;
	f->entry = e;
	t->files[t->nr++] = f;
	return f;
}

FileEntry *file_add(struct dump *d, const struct file_kind *kind)
{
	struct open_file *f = new_file(d, kind);

	return f ? f->entry : NULL;
}

static int read_link(struct seen *s)
{
	char path[32];
	ssize_t len;

	snprintf(path, sizeof(path), "fd/%d", s->fd);
	len = readlinkat(s->p->proc_fd, path, s->link, sizeof(s->link) - 1);
	if (len < 0)
		return file_fail(s, errno, "reading the name");
	s->link[len] = '\0';
	return 0;
}

/* An open file that was not seen before. */
static int dump_new(struct seen *s, struct open_file **link)
{
	const struct file_kind *kind = NULL;
	struct open_file *f;
	int ret = read_link(s);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < nr_file_kinds && !kind; i++)
		if (file_kinds[i]->match(s))
			kind = file_kinds[i];
	if (!kind)
		return file_refuse(s, "an open file of this kind",
				   "it is not supported yet; close it in the program before the dump");
	f = new_file(s->d, kind);
	if (!f)
		return no_memory(s->d->diag);
	f->pid = s->p->pid;
	f->fd = s->fd;
	f->ino = s->st.st_ino;
	f->hash = hash_file(s);
	*link = f;
	return kind->dump(s, f->entry);
}

static int look_at(struct seen *s, FdinfoEntry *e, const struct open_file **out)
{
	struct open_file **link;
	bool known;
	int ret;

	if (fstat(s->lfd, &s->st) < 0)
		return file_fail(s, errno, "fstat");
	ret = fdinfo_read(s->p->proc_fd, s->fd, &s->info);
	if (ret < 0)
		return file_fail(s, -ret, "reading fdinfo");
	s->flags = s->info.flags & ~(uint32_t)O_CLOEXEC;
	ret = find_file(s, &link);
	known = ret == 0 && *link;
	if (ret == 0 && !known)
		ret = dump_new(s, link);
	if (ret < 0)
		return ret;
	e->fd = (uint32_t)s->fd;
	e->id = (*link)->entry->id;
	e->type = (*link)->entry->type;
	e->flags = s->info.flags & O_CLOEXEC ? FD_CLOEXEC : 0;
	*out = *link;
	return file_locks_note(s, known);
}

static int dump_descriptor(struct dump *d, struct process *p, int fd, FdinfoEntry *e)
{
	struct seen s = { .d = d, .p = p, .fd = fd };
	const struct open_file *f;
	int ret;

	fdinfo_entry__init(e);
	s.lfd = (int)syscall(SYS_pidfd_getfd, p->pidfd, fd, 0);
	if (s.lfd < 0)
		return diag_fail(d->diag, errno, "cannot get descriptor %d of process %d: %s", fd, p->pid,
				 strerror(errno));
	ret = look_at(&s, e, &f);
	fdinfo_free(&s.info);
	close(s.lfd);
	return ret;
}

int file_in_flight(struct dump *d, const struct packet *p, int fd, const struct open_file **out)
{
	struct process *self = d->files->self;
	FdinfoEntry e = FDINFO_ENTRY__INIT;
	int ret;

	if (!self) {
		self = d->files->self = calloc(1, sizeof(*self));
		if (!self)
			return no_memory(d->diag);
		self->pid = getpid();
		self->pidfd = -1;
		self->proc_fd = proc_open(self->pid);
	}
	if (self->proc_fd < 0)
		return diag_fail(d->diag, -self->proc_fd, "cannot open /proc/%d: %s", self->pid,
				 strerror(-self->proc_fd));
	struct seen s = { .d = d, .p = self, .fd = fd, .lfd = fd, .flight = p };

	ret = look_at(&s, &e, out);
	fdinfo_free(&s.info);
	return ret;
}

int files_dump_process(struct dump *d, struct process *p)
{
	_cleanup_free_ int *fds = NULL;
	FdinfoEntry *entries;
	size_t nr;
	int ret;

	if (p->files_of) {
		p->fds = p->files_of->fds;
		p->nr_fds = p->files_of->nr_fds;
		return 0;
	}
	ret = proc_read_numbers(p->proc_fd, "fd", &fds, &nr);
	if (ret < 0)
		return diag_fail(d->diag, -ret, "cannot list the descriptors of process %d: %s", p->pid,
				 strerror(-ret));
	p->fds = arena_array(d->arena, nr + 1, sizeof(*p->fds));
	entries = arena_array(d->arena, nr + 1, sizeof(*entries));
	if (!p->fds || !entries)
		return no_memory(d->diag);
	for (p->nr_fds = 0; p->nr_fds < nr; p->nr_fds++) {
		p->fds[p->nr_fds] = &entries[p->nr_fds];
		ret = dump_descriptor(d, p, fds[p->nr_fds], &entries[p->nr_fds]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int files_dump_peers(struct dump *d)
{
	int ret = in_flight_resolve(d);

	for (size_t i = 0; i < nr_file_kinds && ret >= 0; i++)
		ret = file_kinds[i]->peers ? file_kinds[i]->peers(d) : 0;
	return MIN(ret, 0);
}

FdinfoEntry *process_fd(const struct process *p, int fd)
{
	size_t low = 0, high = p->nr_fds;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->fds[mid]->fd < (uint32_t)fd)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->nr_fds && p->fds[low]->fd == (uint32_t)fd ? p->fds[low] : NULL;
}

struct open_file *file_at(struct dump *d, const struct process *p, int fd)
{
	const FdinfoEntry *e = process_fd(p, fd);

	return e ? d->files->files[e->id - 1] : NULL;
}

static bool has_peer(const FileEntry *e)
{
	return e->usk && e->usk->peer;
}

/* CRIU wants UNIX sockets that listen, or are outside the tree, before those that wait for them or send to them. */
static int write_entries(struct dump *d, struct image_writer *w)
{
	const struct file_table *t = d->files;

	for (size_t i = 0; t->nr && i < 2 * t->nr; i++) {
		const FileEntry *e = t->files[i % t->nr]->entry;
		int ret = has_peer(e) == (i >= t->nr) ? image_put(w, e) : 0;

		if (ret < 0)
			return ret;
	}
	return 0;
}

int files_write(struct dump *d)
{
	struct image_writer *w;
	int ret;

	for (size_t i = 0; i < nr_file_kinds; i++) {
		ret = file_kinds[i]->stop ? file_kinds[i]->stop(d) : 0;
		if (ret < 0)
			return ret;
	}
	ret = image_create(d->dir, IMG_FILES, 0, &w, d->diag);
	if (ret < 0)
		return ret;
	ret = write_entries(d, w);
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	ret = image_finish(w);
	for (size_t i = 0; i < nr_file_kinds && ret >= 0; i++)
		if (file_kinds[i]->write)
			ret = file_kinds[i]->write(d);
	if (ret >= 0)
		ret = files_extra_write(d);
	return ret < 0 ? ret : file_locks_write(d);
}

void files_dump_resume(struct dump *d, bool failed)
{
	tcp_resume(d);
	if (failed)
		link_remap_undo(d);
}

int files_dump_init(struct dump *d)
{
	d->files = calloc(1, sizeof(*d->files));
	return d->files ? 0 : no_memory(d->diag);
}

void files_dump_free(struct dump *d)
{
	if (!d->files)
		return;
	for (size_t i = 0; i < nr_file_kinds; i++)
		if (file_kinds[i]->free_dump)
			file_kinds[i]->free_dump(d->files);
	in_flight_free(d->files);
	idmap_free(&d->files->named);
	free(d->files->files);
	free(d->files->extras);
	free(d->files);
	d->files = NULL;
}
