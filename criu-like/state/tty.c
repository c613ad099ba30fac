// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pseudo terminals, pty(7), with both ends in the tree; and with --shell-job, the terminal that the tree was started
 * from, whose other end is outside: in its place comes the terminal of the restore.
 *
 * tty-info.img has an entry for each end; master and slave of number N are 2N + 1 and 2N. What belongs to the terminal
 * (settings, window size, session, foreground group) is asked of the master, who may ask from outside the session.
 * /dev/tty is another name for the slave of the session's terminal.
 *
 * A restore opens new masters until the wanted number comes. The session's leader takes its controlling terminal before
 * its children are born, since they inherit it; the foreground group is set when all groups are there.
 */
#include "criu-like/state/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/tty_settings.h"

#define TTYAUX_MAJOR 5
#define PTY_SLAVE_MAJOR 136
#define PTY_SLAVE_MAJORS 8
#define CTTY_ID 2012 /* what the format has for /dev/tty */

/* Dump: a terminal, of which one or both ends have been seen. */
struct tty_seen {
	struct tty_seen *next;
	TtyInfoEntry *master, *slave;
	pid_t pid; /* where the slave was seen first */
	int fd;
};

struct tty_table {
	struct tty_seen *all;
	TtyInfoEntry *current; /* /dev/tty */
};

enum tty_end { MASTER, SLAVE, CURRENT, NONE };

static enum tty_end which_end(const struct stat *st)
{
	unsigned maj = major(st->st_rdev), min = minor(st->st_rdev);

	if (!S_ISCHR(st->st_mode))
		return NONE;
	if (maj >= PTY_SLAVE_MAJOR && maj < PTY_SLAVE_MAJOR + PTY_SLAVE_MAJORS)
		return SLAVE;
	return maj != TTYAUX_MAJOR ? NONE : min == 2 ? MASTER : min == 0 ? CURRENT : NONE;
}

static bool tty_match(const struct seen *s)
{
	return !(s->flags & O_PATH) && which_end(&s->st) != NONE;
}

static int get_flag(const struct seen *s, unsigned long request)
{
	int value = 0;

	if (ioctl(s->lfd, request, &value) < 0) {
		file_fail(s, errno, "asking the terminal");
		return 0;
	}
	return value != 0;
}

static int make_info(struct seen *s, enum tty_end end, unsigned index, TtyInfoEntry **out)
{
	TtyInfoEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	TtyPtyEntry *pty = arena_alloc(s->d->arena, sizeof(*pty));
	pid_t sid, pgrp;

	if (!e || !pty)
		return no_memory(s->d->diag);
	tty_info_entry__init(e);
	e->id = end == CURRENT ? CTTY_ID : 2 * index + (end == MASTER);
	e->type = end == CURRENT ? TTY_TYPE__CTTY : TTY_TYPE__PTY;
	e->rdev = (uint32_t)(major(s->st.st_rdev) << 8 | (minor(s->st.st_rdev) & 0xff));
	e->has_dev = e->has_uid = e->has_gid = true;
	e->dev = (uint32_t)s->st.st_dev;
	e->uid = s->st.st_uid;
	e->gid = s->st.st_gid;
	e->exclusive = get_flag(s, TIOCGEXCL);
	e->locked = end == MASTER && get_flag(s, TIOCGPTLCK);
	e->packet_mode = end == MASTER && get_flag(s, TIOCGPKT);
	if (end == MASTER && ioctl(s->lfd, TIOCGSID, &sid) == 0 && ioctl(s->lfd, TIOCGPGRP, &pgrp) == 0) {
		e->sid = (uint32_t)sid;
		e->pgrp = (uint32_t)pgrp;
	} else if (end == MASTER && errno != ENOTTY) { /* that is: no session has it */
		return file_fail(s, errno, "asking for the terminal's session");
	}
	tty_pty_entry__init(pty);
	pty->index = index;
	e->pty = end == CURRENT ? NULL : pty;
	*out = e;
	return tty_settings_dump(s, e);
}

static struct tty_seen *find_seen(struct seen *s, unsigned index)
{
	struct file_table *t = s->d->files;
	struct tty_seen *x;

	for (x = t->ttys->all; x; x = x->next)
		if ((x->master ?: x->slave)->pty->index == index)
			return x;
	x = arena_alloc(s->d->arena, sizeof(*x));
	if (!x)
		return NULL;
	x->next = t->ttys->all;
	t->ttys->all = x;
	return x;
}

/* The entry of the end in tty-info.img, made the first time. */
static int note_end(struct seen *s, enum tty_end end, uint32_t *id)
{
	unsigned index = (major(s->st.st_rdev) - PTY_SLAVE_MAJOR) * 256 + minor(s->st.st_rdev);
	TtyInfoEntry **info;
	struct tty_seen *x;
	int ret = 0;

	if (end == MASTER && ioctl(s->lfd, TIOCGPTN, &index) < 0)
		return file_fail(s, errno, "asking for the terminal's number");
	if (!s->d->files->ttys && !(s->d->files->ttys = arena_alloc(s->d->arena, sizeof(struct tty_table))))
		return no_memory(s->d->diag);
	x = end == CURRENT ? NULL : find_seen(s, index);
	if (end != CURRENT && !x)
		return no_memory(s->d->diag);
	info = end == CURRENT ? &s->d->files->ttys->current : end == MASTER ? &x->master : &x->slave;
	if (end == SLAVE && !x->slave) {
		x->pid = s->p->pid;
		x->fd = s->fd;
	}
	if (!*info)
		ret = make_info(s, end, index, info);
	if (ret == 0)
		*id = (*info)->id;
	return ret;
}

static int tty_dump(struct seen *s, FileEntry *fe)
{
	TtyFileEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	FileEntry *reg;
	int ret, unread = 0;

	if (!e)
		return no_memory(s->d->diag);
	tty_file_entry__init(e);
	e->id = fe->id;
	e->flags = s->flags;
	fe->tty = e;
	reg = file_add(s->d, &reg_file_kind);
	if (!reg)
		return no_memory(s->d->diag);
	ret = reg_file_kind.dump(s, reg);
	if (ret == 0)
		ret = note_end(s, which_end(&s->st), &e->tty_info_id);
	if (ret < 0)
		return ret;
	reg->reg->has_size = false;
	e->has_regf_id = true;
	e->regf_id = reg->id;
	if (ioctl(s->lfd, FIONREAD, &unread) == 0 && unread)
		diag_warn(s->d->diag, "descriptor %d of process %d: %d bytes that wait in a terminal are lost", s->fd,
			  s->p->pid, unread);
	return file_owner(s, &e->fown);
}

static int tty_peers(struct dump *d)
{
	const struct tty_table *t = d->files->ttys;

	for (struct tty_seen *x = t ? t->all : NULL; x; x = x->next) {
		if (!x->master && !d->opt->shell_job)
			return diag_fail(
				d->diag, ENOTSUP,
				"descriptor %d of process %d is the terminal /dev/pts/%u, whose other end is outside "
				"the "
				"dumped tree: use --shell-job (-j), or start the program with setsid and redirected "
				"input and output",
				x->fd, x->pid, x->slave->pty->index);
		if (x->master && x->slave) {
			x->slave->sid = x->master->sid;
			x->slave->pgrp = x->master->pgrp;
		}
	}
	return 0;
}

static int write_infos(const struct tty_table *t, struct image_writer *w)
{
	int ret = t->current ? image_put(w, t->current) : 0;

	for (const struct tty_seen *x = t->all; x && ret == 0; x = x->next) {
		if (x->master)
			ret = image_put(w, x->master);
		if (x->slave && ret == 0)
			ret = image_put(w, x->slave);
	}
	return ret;
}

static int tty_write(struct dump *d)
{
	struct image_writer *w;
	int ret;

	if (!d->files->ttys)
		return 0;
	ret = image_create(d->dir, IMG_TTY_INFO, 0, &w, d->diag);
	if (ret < 0)
		return ret;
	ret = write_infos(d->files->ttys, w);
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

/* Restore: a terminal. */
struct tty_again {
	struct tty_again *next;
	unsigned index;
	const TtyInfoEntry *master_info, *slave_info;
	struct opened_file *master;
	mode_t mode; /* of the slave's node, 0: not known */
	int slave;   /* a descriptor for the session's leader, -1: none */
};

struct tty_store {
	TtyInfoEntry **infos;
	size_t nr, cap;
	struct tty_again *all;
};

static const TtyInfoEntry *find_info(const struct restore *r, uint32_t id)
{
	const struct tty_store *t = r->files->ttys;

	for (size_t i = 0; i < t->nr; i++)
		if (t->infos[i]->id == id)
			return t->infos[i];
	return NULL;
}

static bool is_master(const TtyInfoEntry *e)
{
	return e->rdev >> 8 == TTYAUX_MAJOR;
}

static struct tty_again *find_again(const struct restore *r, unsigned index)
{
	for (struct tty_again *t = r->files->ttys->all; t; t = t->next)
		if (t->index == index)
			return t;
	return NULL;
}

static int add_info(struct restore *r, const TtyInfoEntry *e)
{
	struct tty_again *t;

	if (e->type == TTY_TYPE__CTTY)
		return 0;
	if (e->type != TTY_TYPE__PTY || !e->pty)
		return diag_fail(r->diag, ENOTSUP,
				 "tty-info.img: terminal %u is no pseudo terminal, which is not supported", e->id);
	t = find_again(r, e->pty->index);
	if (!t) {
		t = arena_alloc(r->arena, sizeof(*t));
		if (!t)
			return no_memory(r->diag);
		*t = (struct tty_again){ .index = e->pty->index, .slave = -1, .next = r->files->ttys->all };
		r->files->ttys->all = t;
	}
	*(is_master(e) ? &t->master_info : &t->slave_info) = e;
	return 0;
}

static int read_infos(struct restore *r)
{
	struct tty_store *t = r->files->ttys;
	struct image_reader *reader;
	TtyInfoEntry *e;
	int ret;

	if (!image_exists(r->dir, IMG_TTY_INFO, 0))
		return 0;
	ret = image_open(r->dir, IMG_TTY_INFO, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &e)) > 0) {
		if (grow(&t->infos, t->nr, &t->cap, sizeof(*t->infos)) < 0) {
			image_free(e);
			ret = no_memory(r->diag);
			break;
		}
		t->infos[t->nr++] = e;
		ret = add_info(r, e);
		if (ret < 0)
			break;
	}
	image_close(reader);
	return ret;
}

static const char *path_of(const struct restore *r, const struct opened_file *f)
{
	const struct opened_file *reg = f->entry->tty->has_regf_id ? opener_file(r, f->entry->tty->regf_id) : NULL;

	return reg && reg->kind == &reg_file_kind ? reg->entry->reg->name : NULL;
}

static int note_file(struct restore *r, struct opened_file *f)
{
	const TtyInfoEntry *info = find_info(r, f->entry->tty->tty_info_id);
	struct tty_again *t = info && info->pty ? find_again(r, info->pty->index) : NULL;

	if (!info || !path_of(r, f))
		return diag_fail(r->diag, EPROTO,
				 "files.img: the terminal with id %u is not in tty-info.img, or has no path",
				 f->entry->id);
	if (t && is_master(info)) {
		if (t->master)
			return diag_fail(r->diag, EPROTO, "files.img: two open files for the master of terminal %u",
					 t->index);
		t->master = f;
	}
	if (t && !is_master(info))
		t->mode = (mode_t)opener_file(r, f->entry->tty->regf_id)->entry->reg->mode & 07777;
	return 0;
}

static int tty_read(struct restore *r)
{
	struct file_opener *o = r->files;
	int ret;

	o->ttys = calloc(1, sizeof(*o->ttys));
	if (!o->ttys)
		return no_memory(r->diag);
	ret = read_infos(r);
	for (size_t i = 0; i < o->nr && ret == 0; i++)
		if (o->files[i].kind == &tty_kind)
			ret = note_file(r, &o->files[i]);
	return ret;
}

/* Open masters until the one with the number comes: the kernel gives the lowest free one. */
static int open_number(struct restore *r, const struct opened_file *f, unsigned index)
{
	int unlock = 0, last = -1;
	int fd = open(path_of(r, f), O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, TIOCGPTN, &last) == 0 && (unsigned)last < index) {
		int other = open_number(r, f, index);

		close(fd);
		fd = other;
		if (fd < 0)
			return fd;
	} else if (fd >= 0 && (unsigned)last != index) {
		close(fd);
		return diag_fail(r->diag, EBUSY, "the terminal /dev/pts/%u is in use: close it first", index);
	}
	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0)
		return opener_fail(r, errno, f, "opening a pseudo terminal");
	return fd;
}

static int open_master(struct restore *r, struct opened_file *f, unsigned index)
{
	int fd = f->fd < 0 ? open_number(r, f, index) : 0;

	if (f->fd >= 0 || fd < 0)
		return MIN(fd, 0);
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, f->entry->tty->flags, f->entry->tty->fown);
}

/* With --shell-job: the terminal that this program was started from. */
static int open_own(struct restore *r, const struct opened_file *f)
{
	char path[32];

	if (!r->opt->shell_job)
		return diag_fail(r->diag, ENOTSUP, "the tree was started from a terminal (%s): use --shell-job (-j)",
				 path_of(r, f));
	for (int i = 0; i <= STDERR_FILENO; i++) {
		if (!isatty(i))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
		return open(path, (int)(f->entry->tty->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC);
	}
	return diag_fail(r->diag, ENOTTY, "the tree needs a terminal in place of %s: start the restore from one",
			 path_of(r, f));
}

static struct tty_again *tty_of_session(const struct restore *r, pid_t sid)
{
	for (struct tty_again *t = r->files && r->files->ttys ? r->files->ttys->all : NULL; t; t = t->next)
		if (t->master && t->master_info->sid == (uint32_t)sid)
			return t;
	return NULL;
}

static int open_slave(struct restore *r, const struct opened_file *f, struct tty_again *t, uint32_t flags)
{
	char path[32];
	int ret = open_master(r, t->master, t->index), fd;

	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	fd = open(path, (int)(flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? opener_fail(r, errno, f, "opening the slave") : fd;
}

static int tty_open(struct restore *r, struct opened_file *f)
{
	const TtyFileEntry *e = f->entry->tty;
	const TtyInfoEntry *info = find_info(r, e->tty_info_id);
	struct tty_again *t =
		info->pty ? find_again(r, info->pty->index) : tty_of_session(r, f->first ? f->first->sid : 0);
	int fd;

	if (t && t->master == f)
		return open_master(r, f, t->index);
	fd = t && t->master ? open_slave(r, f, t, e->flags) : open_own(r, f);
	if (fd < 0)
		return fd;
	f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, e->flags, e->fown);
}

static int set_terminal(struct restore *r, const struct tty_again *t)
{
	const TtyInfoEntry *e = t->master_info;
	int on = 1, fd = t->master->fd;

	if (tty_settings_restore(fd, e) < 0 || (e->packet_mode && ioctl(fd, TIOCPKT, &on) < 0) ||
	    (e->locked && ioctl(fd, TIOCSPTLCK, &on) < 0) || (e->exclusive && ioctl(fd, TIOCEXCL) < 0))
		return opener_fail(r, errno, t->master, "setting the terminal");
	return 0;
}

static int set_node(struct restore *r, const struct tty_again *t)
{
	const TtyInfoEntry *e = t->slave_info;
	char path[32];

	if (!e)
		return 0;
	snprintf(path, sizeof(path), "/dev/pts/%u", t->index);
	if ((e->has_uid && e->has_gid && chown(path, e->uid, e->gid) < 0) || (t->mode && chmod(path, t->mode) < 0))
		return opener_fail(r, errno, t->master, "setting owner and mode");
	return 0;
}

static int tty_finish(struct restore *r)
{
	int ret = 0;

	for (struct tty_again *t = r->files->ttys->all; t && ret == 0; t = t->next) {
		if (!t->master || t->master->fd < 0)
			continue;
		if (t->master_info->sid) {
			ret = open_slave(r, t->master, t, O_RDWR);
			t->slave = ret < 0 ? -1 : opener_keep(r, ret);
			ret = MIN(t->slave, 0);
		}
		if (ret == 0)
			ret = set_node(r, t);
		if (ret == 0)
			ret = set_terminal(r, t);
	}
	return ret;
}

void tty_tell_session(struct restore *r, const struct process *p, struct batch *b)
{
	const struct tty_again *t = p->sid == p->pid ? tty_of_session(r, p->sid) : NULL;

	if (t && t->slave >= 0)
		batch_call(b, BATCH_MUST, SYS_ioctl, (uint64_t)t->slave, TIOCSCTTY, 0);
}

static bool has_group(const struct tree *tree, uint32_t pgrp)
{
	for (size_t i = 0; i < tree->nr; i++)
		if (tree->procs[i]->pgid == (pid_t)pgrp)
			return true;
	return false;
}

/* The terminal whose foreground group the process has to set. */
static const struct tty_again *to_set(const struct restore *r, const struct process *p)
{
	const struct tty_again *t = p->sid == p->pid ? tty_of_session(r, p->sid) : NULL;

	return t && t->slave >= 0 && has_group(&r->tree, t->master_info->pgrp) ? t : NULL;
}

int tty_kept(const struct restore *r, const struct process *p)
{
	const struct tty_again *t = to_set(r, p);

	return t ? t->slave : -1;
}

/* The call is refused to a group in the background unless SIGTTOU is blocked, which it is now. */
static int foreground_tell(struct restore *r, struct process *p, struct thread *th, struct batch *b)
{
	const struct tty_again *t = to_set(r, p);
	int32_t pgrp;

	if (!t)
		return 0;
	pgrp = (int32_t)t->master_info->pgrp;
	batch_call(b, BATCH_MUST, SYS_ioctl, (uint64_t)t->slave, TIOCSPGRP, batch_data(b, &pgrp, sizeof(pgrp)));
	batch_call(b, BATCH_MUST, SYS_close, (uint64_t)t->slave);
	return 0;
}

const struct state_kind kind_foreground = {
	.name = "foreground group",
	.leader_only = true,
	.tell = foreground_tell,
};

static void tty_free_restore(struct file_opener *o)
{
	for (size_t i = 0; o->ttys && i < o->ttys->nr; i++)
		image_free(o->ttys->infos[i]);
	if (o->ttys)
		free(o->ttys->infos);
	free(o->ttys);
}

const struct file_kind tty_kind = {
	.type = FD_TYPES__TTY,
	.name = "terminal",
	.member = offsetof(FileEntry, tty),
	.owner = offsetof(TtyFileEntry, fown),
	.flags = offsetof(TtyFileEntry, flags),
	.match = tty_match,
	.dump = tty_dump,
	.peers = tty_peers,
	.write = tty_write,
	.read = tty_read,
	.open = tty_open,
	.finish = tty_finish,
	.free_restore = tty_free_restore,
};
