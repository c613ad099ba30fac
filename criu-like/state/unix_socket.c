// SPDX-License-Identifier: GPL-2.0-only
/*
 * UNIX sockets, unix(7).
 *
 * A restore has all of them in one process, so that it can go about it in this order:
 *	1. connected pairs (open): socketpair(2); or, where an end has a name, a listener of that name for a moment, so
 *that the accepted end gets the name, as it did before. No socket that stays has been bound to a name yet.
 *	2. (finish) the others are bound and listen; clients that wait connect, datagram sockets connect by name, and
 *what waits in the queue of a bound datagram socket is sent there. First those whose name has been deleted since, then
 *the rest, who may have taken over the name.
 *	3. queues of pairs, shutdown, options.
 *
 *With --ext-unix-sk a datagram socket may be connected to the name of a socket outside the tree, as to /dev/log. That
 *socket has an entry, too, and no descriptor: only the name is connected to again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inspect/sockdiag.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/unix_name.h"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

#define EXTERNAL 1 /* UnixSkEntry.uflags: a socket outside the tree */

/* Dump: a socket of the tree. */
struct unix_seen {
	const struct sockdiag_unix *diag;
	UnixSkEntry *entry;
	pid_t pid;
	int fd;
	struct unix_seen *next;
};

struct unix_table {
	struct sockdiag_unix_list list;
	struct idmap diag; /* inode -> struct sockdiag_unix */
	struct idmap seen; /* inode -> struct unix_seen */
	struct unix_seen *all;
};

static bool unix_match(const struct seen *s)
{
	int family = 0;
	socklen_t len = sizeof(family);

	return S_ISSOCK(s->st.st_mode) && getsockopt(s->lfd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
	       family == AF_UNIX;
}

/* The kernel lists all sockets at once. */
static int load_table(struct seen *s)
{
	struct file_table *t = s->d->files;
	struct unix_table *u;
	int ret;

	if (t->unixes)
		return 0;
	t->unixes = u = calloc(1, sizeof(*u));
	if (!u)
		return no_memory(s->d->diag);
	ret = sockdiag_unix(&u->list);
	if (ret < 0)
		return file_fail(s, -ret, "sock_diag");
	for (size_t i = 0; i < u->list.nr; i++)
		if (idmap_put(&u->diag, u->list.socks[i].ino, &u->list.socks[i]) < 0)
			return no_memory(s->d->diag);
	return 0;
}

/* Does a name relative to a directory of the process lead to the socket's file? */
static int find_relative(struct seen *s, const char *name, const struct stat *file, UnixSkEntry *e)
{
	static const char *const dirs[] = { "cwd", "root" };
	char target[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_close_ int dir = openat(s->p->proc_fd, dirs[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		ssize_t len = readlinkat(s->p->proc_fd, dirs[i], target, sizeof(target) - 1);
		struct stat st;

		if (dir < 0 || len < 0 || fstatat(dir, name, &st, 0) < 0 || st.st_ino != file->st_ino ||
		    st.st_dev != file->st_dev)
			continue;
		target[len] = '\0';
		e->name_dir = arena_strdup(s->d->arena, target);
		return e->name_dir ? 0 : no_memory(s->d->diag);
	}
	return file_refuse(s, "a socket with a relative name",
			   "the name does not lead to it from the process's directory; bind it by its full path");
}

/* The socket's file: permissions, and whether its name is still there. */
static int dump_path(struct seen *s, UnixSkEntry *e, const char *name)
{
	_cleanup_close_ int fd = ioctl(s->lfd, SIOCUNIXFILE);
	FilePermsEntry *perms = arena_alloc(s->d->arena, sizeof(*perms));
	struct stat file, now;

	if (!perms)
		return no_memory(s->d->diag);
	if (fd < 0 || fstat(fd, &file) < 0)
		return file_fail(s, errno, "asking for the socket's file");
	file_perms_entry__init(perms);
	perms->mode = file.st_mode;
	perms->uid = file.st_uid;
	perms->gid = file.st_gid;
	e->file_perms = perms;
	if (name[0] != '/')
		return find_relative(s, name, &file, e);
	if (lstat(name, &now) < 0 || now.st_ino != file.st_ino || now.st_dev != file.st_dev)
		e->has_deleted = e->deleted = true;
	return 0;
}

static int dump_name(struct seen *s, UnixSkEntry *e, const struct sockdiag_unix *diag)
{
	e->name.len = diag->name_len;
	e->name.data = arena_alloc(s->d->arena, diag->name_len + 1);
	if (!e->name.data)
		return no_memory(s->d->diag);
	memcpy(e->name.data, diag->name, diag->name_len);
	return diag->name_len && diag->name[0] ? dump_path(s, e, (const char *)e->name.data) : 0;
}

static int note_socket(struct seen *s, const struct sockdiag_unix *diag, UnixSkEntry *e)
{
	struct unix_table *u = s->d->files->unixes;
	struct unix_seen *x = arena_alloc(s->d->arena, sizeof(*x));

	if (!x || idmap_put(&u->seen, e->ino, x) < 0)
		return no_memory(s->d->diag);
	*x = (struct unix_seen){ .diag = diag, .entry = e, .pid = s->p->pid, .fd = s->fd, .next = u->all };
	u->all = x;
	return 0;
}

static int unix_dump(struct seen *s, FileEntry *fe)
{
	UnixSkEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	const struct sockdiag_unix *diag;
	int ret = load_table(s);

	if (ret < 0)
		return ret;
	if (!e)
		return no_memory(s->d->diag);
	unix_sk_entry__init(e);
	ret = socket_netns(s, &e->ns_id);
	if (ret < 0)
		return ret;
	diag = idmap_get(&s->d->files->unixes->diag, s->st.st_ino);
	if (!diag)
		return file_refuse(s, "a UNIX socket", "the kernel does not list it; dump again");
	fe->usk = e;
	e->has_ns_id = e->ns_id != 0;
	e->id = fe->id;
	e->ino = diag->ino;
	e->type = diag->type;
	e->state = diag->state;
	e->flags = s->flags;
	e->backlog = diag->wqueue;
	e->peer = diag->peer;
	e->has_shutdown = diag->shutdown != 0;
	e->shutdown = (SkShutdown)diag->shutdown;
	ret = dump_name(s, e, diag);
	if (ret == 0)
		ret = socket_options_dump(s, &e->opts);
	if (ret == 0)
		ret = file_owner(s, &e->fown);
	if (ret == 0 && e->state != TCP_LISTEN) /* empty messages do not count in rqueue */
		ret = sk_queue_dump(s, e->id);
	return ret < 0 ? ret : note_socket(s, diag, e);
}

static int refuse_peer(struct dump *d, const struct unix_seen *x, const char *why)
{
	return diag_fail(d->diag, ENOTSUP,
			 "the UNIX socket with inode %u, descriptor %d of process %d, cannot be dumped: %s",
			 x->entry->ino, x->fd, x->pid, why);
}

/* A listener's clients that wait: their sockets name no peer; in the images it is the listener. */
static int check_pending(struct dump *d, const struct unix_seen *x)
{
	for (size_t i = 0; i < x->diag->nr_pending; i++) {
		struct unix_seen *client = idmap_get(&d->files->unixes->seen, x->diag->pending[i]);

		if (!x->diag->pending[i] || !client)
			return refuse_peer(
				d, x,
				"a client outside the dumped tree, or gone, waits to be accepted; dump again "
				"when the program has accepted it");
		if (client->diag->wqueue)
			return refuse_peer(d, client,
					   "it has sent data to a listener that has not accepted it yet; dump again "
					   "when it has");
		client->entry->peer = x->entry->ino;
	}
	return 0;
}

/* The entry of a socket outside the tree that @x sends to. */
static int add_external(struct dump *d, const struct unix_seen *x, const struct sockdiag_unix *diag)
{
	FileEntry *fe = file_add(d, &unix_socket_kind);
	UnixSkEntry *e = arena_alloc(d->arena, sizeof(*e));
	SkOptsEntry *opts = arena_alloc(d->arena, sizeof(*opts));
	FownEntry *owner = arena_alloc(d->arena, sizeof(*owner));
	struct unix_seen *seen = arena_alloc(d->arena, sizeof(*seen));

	if (!fe || !e || !opts || !owner || !seen || idmap_put(&d->files->unixes->seen, diag->ino, seen) < 0)
		return no_memory(d->diag);
	unix_sk_entry__init(e);
	sk_opts_entry__init(opts);
	fown_entry__init(owner);
	fe->usk = e;
	e->id = fe->id;
	e->ino = diag->ino;
	e->type = diag->type;
	e->state = TCP_LISTEN;
	e->uflags = EXTERNAL;
	e->has_ns_id = x->entry->has_ns_id;
	e->ns_id = x->entry->ns_id;
	e->opts = opts;
	e->fown = owner;
	e->name.len = diag->name_len;
	e->name.data = (uint8_t *)arena_alloc(d->arena, diag->name_len + 1);
	if (!e->name.data)
		return no_memory(d->diag);
	memcpy(e->name.data, diag->name, diag->name_len);
	*seen = (struct unix_seen){ .diag = diag, .entry = e, .pid = x->pid, .fd = x->fd };
	return 0;
}

/* The other end is not in the tree. */
static int check_outside(struct dump *d, const struct unix_seen *x)
{
	const struct sockdiag_unix *diag = idmap_get(&d->files->unixes->diag, x->entry->peer);

	if (x->entry->type != SOCK_DGRAM || !diag || !diag->name_len || diag->peer == x->entry->ino)
		return refuse_peer(
			d, x,
			"its other end is outside the dumped tree; close the connection, or dump the tree that "
			"holds both ends");
	if (!d->opt->ext_unix)
		return refuse_peer(
			d, x,
			"it sends to a socket outside the dumped tree; use --ext-unix-sk if one of that name "
			"will be there at the restore");
	if (diag->name[0] && diag->name[0] != '/')
		return refuse_peer(d, x, "it sends to a socket outside the dumped tree that has a relative name");
	return add_external(d, x, diag);
}

static int check_peer(struct dump *d, const struct unix_seen *x)
{
	const UnixSkEntry *e = x->entry;
	const struct unix_seen *peer = idmap_get(&d->files->unixes->seen, e->peer);

	if (!e->peer) {
		bool alone = e->state == TCP_ESTABLISHED && e->type != SOCK_DGRAM && !e->has_shutdown;

		return alone ? refuse_peer(d, x, "its other end cannot be found; dump again") : 0;
	}
	if (!peer)
		return check_outside(d, x);
	if (peer->entry->state != TCP_LISTEN && peer->entry->peer != e->ino && !peer->entry->name.len)
		return refuse_peer(d, x, "it is connected to a socket without a name that is not connected to it");
	return 0;
}

static int unix_peers(struct dump *d)
{
	struct unix_table *u = d->files->unixes;
	int ret = 0;

	for (struct unix_seen *x = u ? u->all : NULL; x && ret == 0; x = x->next)
		ret = check_pending(d, x);
	for (struct unix_seen *x = u ? u->all : NULL; x && ret == 0; x = x->next)
		ret = check_peer(d, x);
	return ret;
}

static void unix_free_dump(struct file_table *t)
{
	if (!t->unixes)
		return;
	sockdiag_unix_free(&t->unixes->list);
	idmap_free(&t->unixes->diag);
	idmap_free(&t->unixes->seen);
	free(t->unixes);
}

struct unix_store {
	struct idmap by_ino; /* -> struct opened_file */
	struct idmap listen; /* hash of a name -> a listener that has it */
};

static int unix_read(struct restore *r)
{
	struct file_opener *o = r->files;

	o->unixes = calloc(1, sizeof(*o->unixes));
	if (!o->unixes)
		return no_memory(r->diag);
	for (size_t i = 0; i < o->nr; i++) {
		struct opened_file *f = &o->files[i];
		const UnixSkEntry *e = f->entry->usk;

		if (f->kind != &unix_socket_kind)
			continue;
		if (e->name.len > sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return diag_fail(r->diag, EPROTO, "files.img: the UNIX socket with id %u has too long a name",
					 e->id);
		if (idmap_put(&o->unixes->by_ino, e->ino, f) < 0 ||
		    (e->state == TCP_LISTEN && idmap_put(&o->unixes->listen, unix_name_hash(e), f) < 0))
			return no_memory(r->diag);
	}
	return sk_queue_read(r);
}

static struct opened_file *peer_of(const struct restore *r, const struct opened_file *f)
{
	return f->entry->usk->peer ? idmap_get(&r->files->unixes->by_ino, f->entry->usk->peer) : NULL;
}

/* The other end of a connected pair; NULL: there is none. */
static struct opened_file *other_end(const struct restore *r, const struct opened_file *f)
{
	struct opened_file *g = peer_of(r, f);

	return g && g->entry->usk->peer == f->entry->usk->ino ? g : NULL;
}

/* Put one end of a pair in place. */
static int take_end(struct restore *r, struct opened_file *f, int *fd)
{
	f->fd = opener_keep(r, TAKE_FD(*fd));
	return f->fd < 0 ? f->fd : opener_setup(r, f, f->entry->usk->flags, f->entry->usk->fown);
}

static bool listener_has_name(const struct restore *r, const UnixSkEntry *e)
{
	return idmap_get(&r->files->unixes->listen, unix_name_hash(e)) != NULL;
}

/* A connection whose end @g has a name: accepted, as it seems. @f: the other end, NULL when it has been closed. */
static int connect_named(struct restore *r, struct opened_file *f, struct opened_file *g, int ends[2])
{
	int ret = 0;

	ends[0] = socket(AF_UNIX, (int)g->entry->usk->type | SOCK_CLOEXEC, 0);
	if (ends[0] < 0)
		return opener_fail(r, errno, g, "socket");
	if (f && f->entry->usk->name.len)
		ret = unix_name_bind(r, f, ends[0]);
	if (ret == 0 && f && f->entry->usk->name.len)
		ret = unix_name_settle(r, f);
	if (ret == 0)
		ret = unix_name_accept(r, g, ends[0], listener_has_name(r, g->entry->usk));
	if (ret < 0)
		return ret;
	ends[1] = ret;
	return 0;
}

static int connect_ends(struct restore *r, struct opened_file *f, struct opened_file *g, int ends[2])
{
	const UnixSkEntry *e = f->entry->usk;

	if (e->type != SOCK_DGRAM && e->name.len + (g ? g->entry->usk->name.len : 0))
		return connect_named(r, g, f, ends);
	return socketpair(AF_UNIX, (int)e->type | SOCK_CLOEXEC, 0, ends) < 0 ? opener_fail(r, errno, f, "socketpair")
									     : 0;
}

/* @f and its other end @g, NULL when that is closed: then its descriptor is kept for a while, to fill the queue. */
static int open_pair(struct restore *r, struct opened_file *f, struct opened_file *g)
{
	int ends[2] = { -1, -1 }, ret;

	/* The accepted end is the one with a name, or with the name of a listener. It comes first here. */
	if (g && g->entry->usk->name.len && (!f->entry->usk->name.len || listener_has_name(r, g->entry->usk))) {
		struct opened_file *swap = f;

		f = g;
		g = swap;
	}
	ret = connect_ends(r, f, g, ends);
	if (ret == 0)
		ret = take_end(r, f, &ends[1]);
	if (ret == 0 && g)
		ret = take_end(r, g, &ends[0]);
	else if (ret == 0 && sk_queue_empty(r, f))
		f->own = NULL;
	else if (ret == 0)
		f->own = (void *)(intptr_t)(TAKE_FD(ends[0]) + 1);
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return ret;
}

/* A connection once made, whether or not the other end is still there. */
static bool connected(const struct restore *r, const struct opened_file *f)
{
	const UnixSkEntry *e = f->entry->usk;

	return other_end(r, f) || (e->type != SOCK_DGRAM && e->state == TCP_ESTABLISHED && !e->peer);
}

static int unix_open(struct restore *r, struct opened_file *f)
{
	const UnixSkEntry *e = f->entry->usk;
	int fd;

	if (e->peer && !peer_of(r, f))
		return diag_fail(r->diag, EPROTO,
				 "the UNIX socket with id %u is connected to one that is not in the images", e->id);
	if (e->peer && peer_of(r, f)->entry->usk->uflags & EXTERNAL && !r->opt->ext_unix)
		return diag_fail(
			r->diag, ENOTSUP,
			"the UNIX socket with id %u sends to a socket outside the images: use --ext-unix-sk to "
			"connect it to the one that has its name here",
			e->id);
	if (connected(r, f))
		return open_pair(r, f, other_end(r, f));
	fd = socket(AF_UNIX, (int)e->type | SOCK_CLOEXEC, 0);
	return fd < 0 ? opener_fail(r, errno, f, "socket") : take_end(r, f, &fd);
}

/* A name that is still to be bound: accepted ends have theirs. */
static bool to_bind(const struct restore *r, const struct opened_file *f)
{
	return f->entry->usk->name.len && (f->entry->usk->type == SOCK_DGRAM || !connected(r, f));
}

static int fill_by_name(struct restore *r, const struct opened_file *f)
{
	_cleanup_close_ int sender = -1;
	int ret;

	if (sk_queue_empty(r, f) || other_end(r, f))
		return 0;
	sender = socket(AF_UNIX, (int)f->entry->usk->type | SOCK_CLOEXEC, 0);
	if (sender < 0)
		return opener_fail(r, errno, f, "socket");
	ret = unix_name_connect(r, f, sender);
	return ret < 0 ? ret : sk_queue_fill(r, f, sender);
}

static int bind_one(struct restore *r, struct opened_file *f)
{
	const UnixSkEntry *e = f->entry->usk;
	int ret = unix_name_bind(r, f, f->fd);

	if (ret == 0 && e->state == TCP_LISTEN && listen(f->fd, (int)e->backlog) < 0)
		return opener_fail(r, errno, f, "listen");
	return ret < 0 || e->type != SOCK_DGRAM ? ret : fill_by_name(r, f);
}

/* Step 2 of the above, for names that had been deleted or that had not. */
static int attach_named(struct restore *r, bool deleted)
{
	int ret = 0;

	for_each_used (r, &unix_socket_kind, f)
		if (ret == 0 && to_bind(r, f) && f->entry->usk->deleted == deleted)
			ret = bind_one(r, f);
	for_each_used (r, &unix_socket_kind, f) {
		const struct opened_file *g = peer_of(r, f);

		if (ret == 0 && g && !other_end(r, f) && g->entry->usk->deleted == deleted)
			ret = unix_name_connect(r, g, f->fd);
	}
	for_each_used (r, &unix_socket_kind, f)
		if (ret == 0 && to_bind(r, f) && f->entry->usk->deleted == deleted)
			ret = unix_name_settle(r, f);
	return ret;
}

/* Step 3 begins: what waits in the queues of pairs. */
static int fill_pair(struct restore *r, struct opened_file *f)
{
	const struct opened_file *g = other_end(r, f);
	int ret = 0;

	if (g)
		return sk_queue_fill(r, f, g->fd);
	if (f->own) {
		ret = sk_queue_fill(r, f, (int)(intptr_t)f->own - 1);
		close((int)(intptr_t)f->own - 1);
		f->own = NULL;
	}
	return ret;
}

static int set_options(struct restore *r, const struct opened_file *f)
{
	const UnixSkEntry *e = f->entry->usk;

	if (e->has_shutdown && e->shutdown != SK_SHUTDOWN__NONE && shutdown(f->fd, (int)e->shutdown - 1) < 0)
		return opener_fail(r, errno, f, "shutdown");
	return socket_options_restore(r, f, e->opts);
}

static int unix_finish(struct restore *r)
{
	int ret = attach_named(r, true);

	if (ret == 0)
		ret = attach_named(r, false);
	for_each_used (r, &unix_socket_kind, f)
		if (ret == 0)
			ret = fill_pair(r, f);
	for_each_used (r, &unix_socket_kind, f)
		if (ret == 0)
			ret = set_options(r, f);
	return ret;
}

static void unix_free_restore(struct file_opener *o)
{
	for (size_t i = 0; i < o->nr; i++)
		if (o->files[i].kind == &unix_socket_kind && o->files[i].own)
			close((int)(intptr_t)o->files[i].own - 1);
	if (!o->unixes)
		return;
	idmap_free(&o->unixes->by_ino);
	idmap_free(&o->unixes->listen);
	free(o->unixes);
}

const struct file_kind unix_socket_kind = {
	.type = FD_TYPES__UNIXSK,
	.name = "UNIX socket",
	.member = offsetof(FileEntry, usk),
	.owner = offsetof(UnixSkEntry, fown),
	.flags = offsetof(UnixSkEntry, flags),
	.match = unix_match,
	.dump = unix_dump,
	.peers = unix_peers,
	.write = sk_queue_write,
	.free_dump = unix_free_dump,
	.read = unix_read,
	.open = unix_open,
	.finish = unix_finish,
	.free_restore = unix_free_restore,
};
