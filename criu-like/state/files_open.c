// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files, the restore half.
 *
 * All files are opened by the restorer itself, at descriptors that no process of the images has: above all of those,
 * or in a gap between them. The tasks are created with a copy of this table (clone3 without CLONE_FILES), so that
 * whatever was one open file is one again without any passing of descriptors. In each task dup3() then moves its
 * descriptors down, and close_range() closes the rest. What can only be done under a descriptor's final number, or by
 * the process itself (epoll targets, the owner of signals), is between the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/files.h"
#include "criu-like/state/in_flight.h"
#include "criu-like/state/link_remap.h"
#include "criu-like/state/tcp.h"
#include "criu-like/state/tty.h"

#define SETFL_FLAGS \
	(O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME) /* F_SETFL can change these; and O_ASYNC, in the task */

/* Beside one for each open file: those of shared memory, and of mapped files that are open otherwise too. */
#define SPARE_FDS 1024

int opener_keep(struct restore *r, int fd)
{
	_cleanup_close_ int old = fd;
	struct file_opener *o = r->files;

	if (grow(&o->fds, o->nr_fds, &o->cap_fds, sizeof(*o->fds)) < 0)
		return no_memory(r->diag);
	fd = files_dup(r, old);
	if (fd < 0)
		return diag_fail(r->diag, -fd,
				 "no descriptor from %d to %d for an open file (%s): raise the hard limit, ulimit -Hn",
				 o->base, o->top - 1, strerror(-fd));
	o->fds[o->nr_fds++] = fd;
	return fd;
}

int opener_placeholder(struct restore *r, struct opened_file *f)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return opener_fail(r, errno, f, "opening /dev/null");
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : 0;
}

void opener_tell_made(const struct process *p, const FdinfoEntry *first, size_t made, struct batch *b)
{
	size_t moved = batch_call(b, BATCH_MUST, SYS_dup3, 0, first->fd, first->flags & FD_CLOEXEC ? O_CLOEXEC : 0);

	batch_store(b, made, moved, 0);
	for (size_t i = 0; i < p->nr_fds; i++)
		if (p->fds[i]->id == first->id && p->fds[i] != first)
			batch_call(b, BATCH_MUST, SYS_dup3, first->fd, p->fds[i]->fd,
				   p->fds[i]->flags & FD_CLOEXEC ? O_CLOEXEC : 0);
}

int opener_setup(struct restore *r, const struct opened_file *f, uint32_t flags, const FownEntry *owner)
{
	int now = fcntl(f->fd, F_GETFL);

	if (now < 0)
		return opener_fail(r, errno, f, "F_GETFL");
	if ((now ^ (int)flags) & SETFL_FLAGS && fcntl(f->fd, F_SETFL, (int)flags & SETFL_FLAGS) < 0)
		return opener_fail(r, errno, f, "F_SETFL");
	if (owner->signum && fcntl(f->fd, F_SETSIG, (int)owner->signum) < 0)
		return opener_fail(r, errno, f, "F_SETSIG");
	return 0;
}

struct opened_file *opener_file(const struct restore *r, uint32_t id)
{
	return idmap_get(&r->files->by_id, id);
}

static const char *type_name(FdTypes type)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)type);

	return v ? v->name : "unknown";
}

static int add_entry(struct restore *r, FileEntry *e)
{
	struct file_opener *o = r->files;
	const struct file_kind *kind = NULL;
	const uint8_t *message;

	if (grow(&o->files, o->nr, &o->cap, sizeof(*o->files)) < 0)
		return no_memory(r->diag);
	for (size_t i = 0; i < nr_file_kinds && !kind; i++)
		if (file_kinds[i]->type == e->type)
			kind = file_kinds[i];
	if (!kind)
		return diag_fail(r->diag, ENOTSUP,
				 "files.img: the file with id %u is of kind %s (%d), which cannot be restored", e->id,
				 type_name(e->type), (int)e->type);
	message = *(uint8_t **)((uint8_t *)e + kind->member);
	if (!message || *(uint32_t *)(message + offsetof(RegFileEntry, id)) != e->id) /* it stands there in all kinds */
		return diag_fail(r->diag, EPROTO, "files.img: the %s with id %u has no content, or another id in it",
				 kind->name, e->id);
	o->files[o->nr++] = (struct opened_file){ .kind = kind, .entry = e, .fd = -1 };
	return 1;
}

/* The array moves while it grows, so that the map is made at the end. */
static int map_ids(struct restore *r)
{
	struct file_opener *o = r->files;

	for (size_t i = 0; i < o->nr; i++) {
		uint32_t id = o->files[i].entry->id;

		if (idmap_get(&o->by_id, id))
			return diag_fail(r->diag, EPROTO, "files.img: two files with the id %u", id);
		if (idmap_put(&o->by_id, id, &o->files[i]) < 0)
			return no_memory(r->diag);
	}
	return 0;
}

int files_read(struct restore *r)
{
	struct image_reader *reader;
	FileEntry *e;
	int ret;

	r->files = calloc(1, sizeof(*r->files));
	if (!r->files)
		return no_memory(r->diag);
	ret = image_open(r->dir, IMG_FILES, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &e)) > 0) {
		ret = add_entry(r, e);
		if (ret < 0) {
			image_free(e);
			break;
		}
	}
	image_close(reader);
	if (ret == 0)
		ret = map_ids(r);
	if (ret == 0)
		ret = files_extra_read(r);
	for (size_t i = 0; i < nr_file_kinds && ret == 0; i++)
		if (file_kinds[i]->read)
			ret = file_kinds[i]->read(r);
	return ret < 0 ? ret : file_locks_read(r);
}

static int by_number(const void *a, const void *b)
{
	const FdinfoEntry *x = *(FdinfoEntry *const *)a, *y = *(FdinfoEntry *const *)b;

	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

/* The owner of signals, NULL: none in the kind's message. */
static const FownEntry *entry_owner(const struct opened_file *f)
{
	const uint8_t *message = *(uint8_t **)((uint8_t *)f->entry + f->kind->member);

	return f->kind->owner ? *(FownEntry **)(message + f->kind->owner) : NULL;
}

/* Note a descriptor: its file has to be opened, and its in-task part done here, unless the owner can do it himself. */
static int use_descriptor(struct restore *r, struct process *p, const FdinfoEntry *e)
{
	struct opened_file *f = opener_file(r, e->id);
	const FownEntry *owner;

	if (!f || f->entry->type != e->type)
		return diag_fail(r->diag, EPROTO,
				 "descriptor %u of process %d: files.img has no file of kind %s with id %u", e->fd,
				 p->pid, type_name(e->type), e->id);
	f->used = true;
	owner = entry_owner(f);
	if (!f->first || (owner && owner->pid == (uint32_t)p->pid))
		f->first = p;
	return 0;
}

static int use_directory(struct restore *r, const struct process *p, uint32_t id)
{
	struct opened_file *f = opener_file(r, id);

	if (!f || f->kind != &reg_file_kind)
		return diag_fail(r->diag, EPROTO, "directory of process %d: files.img has no such file with id %u",
				 p->pid, id);
	f->used = true;
	return 0;
}

static int use_process(struct restore *r, struct process *p)
{
	int ret = 0;

	if (p->nr_fds)
		qsort(p->fds, p->nr_fds, sizeof(*p->fds), by_number);
	for (size_t i = 0; i < p->nr_fds && ret == 0 && !p->files_of; i++) {
		if (p->fds[i]->fd > INT32_MAX / 2 || (i && p->fds[i]->fd == p->fds[i - 1]->fd))
			return diag_fail(r->diag, EPROTO,
					 "process %d: descriptor %u is twice in the images, or too large", p->pid,
					 p->fds[i]->fd);
		ret = use_descriptor(r, p, p->fds[i]);
	}
	if (ret == 0 && p->nr_fds)
		r->files->base = MAX(r->files->base, (int)p->fds[p->nr_fds - 1]->fd + 1);
	if (ret == 0 && p->fs)
		ret = use_directory(r, p, p->fs->cwd_id);
	if (ret == 0 && p->fs)
		ret = use_directory(r, p, p->fs->root_id);
	return ret;
}

static int compare_int(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Programs that put their own descriptors at the limit leave no room above: take the widest gap below. */
static int find_gap(struct restore *r)
{
	struct file_opener *o = r->files;
	_cleanup_free_ int *used = NULL;
	size_t nr = 0, n = 0;

	for (size_t i = 0; i < r->tree.nr; i++)
		nr += r->tree.procs[i]->nr_fds;
	used = calloc(nr + 1, sizeof(*used));
	if (!used)
		return no_memory(r->diag);
	used[n++] = STDERR_FILENO;
	for (size_t i = 0; i < r->tree.nr; i++)
		for (size_t j = 0; j < r->tree.procs[i]->nr_fds; j++)
			used[n++] = (int)r->tree.procs[i]->fds[j]->fd;
	qsort(used, n, sizeof(*used), compare_int);
	for (size_t i = 1; i < n; i++)
		if (used[i] - used[i - 1] - 1 > o->top - o->base) {
			o->base = used[i - 1] + 1;
			o->top = used[i];
		}
	return 0;
}

static int raise_limit(struct restore *r)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return diag_fail(r->diag, errno, "cannot read RLIMIT_NOFILE: %s", strerror(errno));
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		return diag_fail(r->diag, errno, "cannot raise RLIMIT_NOFILE: %s", strerror(errno));
	r->files->top = (int)MIN(l.rlim_max, (rlim_t)INT32_MAX);
	return 0;
}

int files_open_all(struct restore *r)
{
	struct file_opener *o = r->files;
	int ret = raise_limit(r);

	o->base = STDERR_FILENO + 1;
	for (size_t i = 0; i < r->tree.nr && ret == 0; i++)
		ret = use_process(r, r->tree.procs[i]);
	if (ret == 0)
		ret = in_flight_use(r);
	if (ret == 0 && o->top - o->base < (int)o->nr + SPARE_FDS)
		ret = find_gap(r);
	if (ret == 0)
		ret = tcp_lock(r);
	for (size_t i = 0; i < o->nr && ret == 0; i++)
		if (o->files[i].used && o->files[i].fd < 0)
			ret = o->files[i].kind->open(r, &o->files[i]);
	for (size_t i = 0; i < nr_file_kinds && ret == 0; i++)
		if (file_kinds[i]->finish)
			ret = file_kinds[i]->finish(r);
	return ret < 0 ? ret : file_locks_finish(r);
}

int files_dup(const struct restore *r, int fd)
{
	int new = fcntl(fd, F_DUPFD_CLOEXEC, r->files->base);

	if (new >= 0 && new >= r->files->top) {
		close(new);
		return -EMFILE;
	}
	return new < 0 ? -errno : new;
}

int files_fd(struct restore *r, uint32_t id)
{
	const struct opened_file *f = opener_file(r, id);

	if (!f || f->fd < 0)
		return diag_fail(r->diag, EPROTO, "files.img has no open file with id %u", id);
	return f->fd;
}

int files_open_mapped(struct restore *r, uint32_t id, uint32_t open_flags)
{
	uint64_t key = (uint64_t)id << 32 | open_flags;
	intptr_t known = (intptr_t)idmap_get(&r->files->mapped, key);
	const struct opened_file *f = opener_file(r, id);
	int fd;

	if (known)
		return (int)known - 1;
	if (!f || !f->kind->open_mapped)
		return diag_fail(r->diag, EPROTO, "a mapping needs the file with id %u, which is not in files.img", id);
	fd = f->kind->open_mapped(r, f, open_flags);
	if (fd < 0)
		return fd;
	fd = opener_keep(r, fd);
	if (fd < 0)
		return fd;
	if (idmap_put(&r->files->mapped, key, (void *)(intptr_t)(fd + 1)) < 0)
		return no_memory(r->diag);
	return fd;
}

static uint32_t entry_flags(const struct opened_file *f)
{
	const uint8_t *message = *(uint8_t **)((uint8_t *)f->entry + f->kind->member);

	return f->kind->flags ? *(const uint32_t *)(message + f->kind->flags) : 0;
}

/*
 * The kernel remembers who made himself the owner, so the task is that user for a moment; the saved uid leads back.
 * O_ASYNC is set last: the kernel remembers the descriptor by which that was done, too, and signals carry it.
 */
static void tell_owner(const struct opened_file *f, const FdinfoEntry *e, struct batch *b)
{
	const FownEntry *owner = entry_owner(f);
	struct f_owner_ex ex;

	if (owner && owner->pid) {
		ex = (struct f_owner_ex){ .type = (int)owner->pid_type, .pid = (pid_t)owner->pid };
		if (owner->uid || owner->euid)
			batch_call(b, BATCH_MUST, SYS_setresuid, owner->uid, owner->euid, 0);
		batch_call(b, BATCH_MUST, SYS_fcntl, e->fd, F_SETOWN_EX, batch_data(b, &ex, sizeof(ex)));
		if (owner->uid || owner->euid)
			batch_call(b, BATCH_MUST, SYS_setresuid, 0, 0, 0);
	}
	if (entry_flags(f) & O_ASYNC)
		batch_call(b, BATCH_MUST, SYS_fcntl, e->fd, F_SETFL, entry_flags(f));
}

/* What the task itself has to do for an open file, by its first descriptor. */
static int tell_file(struct restore *r, struct process *p, const FdinfoEntry *e, bool epoll, struct batch *b)
{
	struct opened_file *f = opener_file(r, e->id);

	if (f->told == p || (f->kind == &epoll_kind) != epoll)
		return 0;
	f->told = p;
	if (f->first == p)
		tell_owner(f, e, b);
	return f->kind->tell ? f->kind->tell(r, p, e, f, b) : 0;
}

static void tell_close(const struct restore *r, const struct process *p, struct batch *b)
{
	int kept = tty_kept(r, p);
	uint64_t next = 0; /* the lowest descriptor that may be left over */

	for (size_t i = 0; i < p->nr_fds || kept >= 0;) {
		bool own = kept >= 0 && (i == p->nr_fds || (uint32_t)kept < p->fds[i]->fd);
		uint64_t fd = own ? (uint64_t)kept : p->fds[i++]->fd;

		if (fd > next)
			batch_call(b, BATCH_MUST, SYS_close_range, next, fd - 1, 0);
		next = fd + 1;
		if (own)
			kept = -1;
	}
	batch_call(b, BATCH_MUST, SYS_close_range, next, UINT32_MAX, 0);
}

int files_tell(struct restore *r, struct process *p, struct batch *b)
{
	int ret = 0;

	for (size_t i = 0; i < p->nr_fds; i++) {
		const FdinfoEntry *e = p->fds[i];

		batch_call(b, BATCH_MUST, SYS_dup3, (uint64_t)opener_file(r, e->id)->fd, e->fd,
			   e->flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	}
	for (size_t i = 0; i < p->nr_fds && ret == 0; i++)
		ret = tell_file(r, p, p->fds[i], false, b);
	for (size_t i = 0; i < p->nr_fds && ret == 0; i++) /* epoll instances when all their targets are there */
		ret = tell_file(r, p, p->fds[i], true, b);
	tell_close(r, p, b);
	file_locks_tell(r, p, b);
	return ret;
}

void files_room(const struct restore *r, const struct process *p, size_t *records, size_t *bytes)
{
	*records += 2 * p->nr_fds + 6;
	*bytes += 16;
	for (const struct file_lock *l = r->files->locks; l; l = l->next) {
		*records += 1;
		*bytes += 32;
	}
	for (size_t i = 0; i < p->nr_fds; i++) {
		const struct opened_file *f = opener_file(r, p->fds[i]->id);
		size_t nr = 4 + (f->kind->records ? f->kind->records(f->entry) : 0);

		*records += nr;
		*bytes += 32 * nr;
	}
}

int files_go(struct restore *r)
{
	int ret = tcp_go(r);

	if (ret == 0)
		link_remap_done(r);
	return ret;
}

void files_close(struct restore *r)
{
	struct file_opener *o = r->files;

	if (!o)
		return;
	tcp_unlock_failed(r);
	for (size_t i = 0; i < nr_file_kinds; i++)
		if (file_kinds[i]->free_restore)
			file_kinds[i]->free_restore(o);
	for (size_t i = 0; i < o->nr_fds; i++)
		close(o->fds[i]);
	for (size_t i = 0; i < o->nr; i++) {
		image_free(o->files[i].extra);
		image_free(o->files[i].entry);
	}
	idmap_free(&o->by_id);
	idmap_free(&o->mapped);
	idmap_free(&o->queues);
	free(o->fds);
	free(o->files);
	free(o);
	r->files = NULL;
}
