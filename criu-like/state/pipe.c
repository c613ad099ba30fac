// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pipes and FIFOs with what is in them.
 *
 * The content is copied with tee(2), which leaves it in the pipe, and read from the copy: the reads keep the boundaries
 * of packets (O_DIRECT), so there is an entry in pipes-data.img for each packet, and a single one for a plain stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

struct chunk {
	PipeDataEntry entry;
	uint8_t *data;
	struct chunk *next;
};

/* Dump: a pipe or FIFO. */
struct pipe_seen {
	struct pipe_seen *next;
	uint32_t id;
	bool fifo;
	bool reads, writes;	     /* ends in the tree */
	bool has_reader, has_writer; /* ends anywhere, as far as poll(2) tells */
	bool copied;
	pid_t pid; /* where it was seen first */
	int fd;
	struct chunk *chunks, **last;
};

struct pipe_table {
	struct idmap by_id[2]; /* pipes, FIFOs */
	struct pipe_seen *all, **last;
};

static struct pipe_seen *find_pipe(struct seen *s, bool fifo)
{
	struct file_table *t = s->d->files;
	uint32_t id = (uint32_t)s->st.st_ino;
	struct pipe_seen *p;

	if (!t->pipes) {
		t->pipes = calloc(1, sizeof(*t->pipes));
		if (!t->pipes)
			return NULL;
		t->pipes->last = &t->pipes->all;
	}
	p = idmap_get(&t->pipes->by_id[fifo], id);
	if (p)
		return p;
	p = arena_alloc(s->d->arena, sizeof(*p));
	if (!p || idmap_put(&t->pipes->by_id[fifo], id, p) < 0)
		return NULL;
	*p = (struct pipe_seen){ .id = id, .fifo = fifo, .pid = s->p->pid, .fd = s->fd, .last = &p->chunks };
	*t->pipes->last = p;
	t->pipes->last = &p->next;
	return p;
}

/* @data stays */
static int add_chunk(struct seen *s, struct pipe_seen *p, uint8_t *data, size_t len, size_t size)
{
	struct chunk *c = arena_alloc(s->d->arena, sizeof(*c));

	if (!c)
		return no_memory(s->d->diag);
	pipe_data_entry__init(&c->entry);
	c->entry.pipe_id = p->id;
	c->entry.bytes = (uint32_t)len;
	c->entry.has_size = true;
	c->entry.size = (uint32_t)size;
	c->data = data;
	*p->last = c;
	p->last = &c->next;
	return 0;
}

/* Copy the content by way of a second pipe. */
static int copy_through(struct seen *s, struct pipe_seen *p, size_t size, const int copy[2])
{
	ssize_t left, got;
	uint8_t *buf;

	if (fcntl(copy[1], F_SETPIPE_SZ, size) < 0)
		return file_fail(s, errno, "making a pipe of the same size");
	left = tee(s->lfd, copy[1], size, SPLICE_F_NONBLOCK);
	if (left < 0)
		return errno == EAGAIN ? 0 : file_fail(s, errno, "tee");
	buf = arena_alloc(s->d->arena, (size_t)left + 1);
	if (!buf)
		return no_memory(s->d->diag);
	for (; left > 0; left -= got, buf += got) {
		int ret;

		got = read(copy[0], buf, (size_t)left);
		if (got <= 0)
			return file_fail(s, got ? errno : EIO, "reading the pipe's copy");
		ret = add_chunk(s, p, buf, (size_t)got, size);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int copy_content(struct seen *s, struct pipe_seen *p)
{
	int size = fcntl(s->lfd, F_GETPIPE_SZ), bytes = 0, copy[2], ret;

	if (size < 0 || ioctl(s->lfd, FIONREAD, &bytes) < 0)
		return file_fail(s, errno, "asking for the pipe's size");
	p->copied = true;
	if (!bytes)
		return add_chunk(s, p, NULL, 0, (size_t)size);
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK) < 0)
		return file_fail(s, errno, "making a pipe");
	ret = copy_through(s, p, (size_t)size, copy);
	close(copy[0]);
	close(copy[1]);
	return ret;
}

static int note_end(struct seen *s, bool fifo)
{
	struct pipe_seen *p = find_pipe(s, fifo);
	struct pollfd poller = { .fd = s->lfd, .events = POLLIN | POLLOUT };
	unsigned access = s->flags & O_ACCMODE;

	if (!p)
		return no_memory(s->d->diag);
	if (poll(&poller, 1, 0) < 0)
		return file_fail(s, errno, "poll");
	p->reads |= access != O_WRONLY;
	p->writes |= access != O_RDONLY;
	p->has_writer |= access != O_WRONLY && !(poller.revents & POLLHUP);
	p->has_reader |= access != O_RDONLY && !(poller.revents & POLLERR);
	return p->copied || access == O_WRONLY ? 0 : copy_content(s, p);
}

static bool pipe_match(const struct seen *s)
{
	return S_ISFIFO(s->st.st_mode) && !strncmp(s->link, "pipe:", 5);
}

static int pipe_dump(struct seen *s, FileEntry *fe)
{
	PipeEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	pipe_entry__init(e);
	e->id = fe->id;
	e->pipe_id = (uint32_t)s->st.st_ino;
	e->flags = s->flags;
	fe->pipe = e;
	ret = file_owner(s, &e->fown);
	return ret < 0 ? ret : note_end(s, false);
}

static int pipe_peers(struct dump *d)
{
	for (struct pipe_seen *p = d->files->pipes ? d->files->pipes->all : NULL; p; p = p->next) {
		bool alone = (!p->reads && p->has_reader) || (!p->writes && p->has_writer);

		if (!p->fifo && alone)
			return diag_fail(d->diag, ENOTSUP,
					 "pipe:[%u], descriptor %d of process %d: the process that %s is outside the "
					 "dumped tree; redirect it to a file, or dump the tree that holds both ends",
					 p->id, p->fd, p->pid, p->reads ? "writes to it" : "reads from it");
	}
	return 0;
}

static int write_chunks(struct dump *d, struct image_writer *w, bool fifo)
{
	for (struct pipe_seen *p = d->files->pipes ? d->files->pipes->all : NULL; p; p = p->next)
		for (struct chunk *c = p->fifo == fifo ? p->chunks : NULL; c; c = c->next) {
			int ret = image_put(w, &c->entry);

			if (ret == 0 && c->entry.bytes)
				ret = image_put_raw(w, c->data, c->entry.bytes);
			if (ret < 0)
				return ret;
		}
	return 0;
}

static int write_contents(struct dump *d, bool fifo)
{
	struct image_writer *w;
	int ret = image_create(d->dir, fifo ? IMG_FIFO_DATA : IMG_PIPES_DATA, 0, &w, d->diag);

	if (ret < 0)
		return ret;
	ret = write_chunks(d, w, fifo);
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static int pipe_write(struct dump *d)
{
	return write_contents(d, false);
}

static void pipe_free_dump(struct file_table *t)
{
	if (!t->pipes)
		return;
	idmap_free(&t->pipes->by_id[0]);
	idmap_free(&t->pipes->by_id[1]);
	free(t->pipes);
}

/* Restore: a pipe or FIFO. */
struct pipe_again {
	struct chunk *chunks, **last;
	uint32_t size; /* 0: not in the images */
	bool packets;  /* some end is in packet mode */
	bool filled;
	struct opened_file *ends; /* linked by next */
	int any;		  /* descriptor of one of them, once open */
};

struct pipe_store {
	struct idmap by_id[2]; /* pipes, FIFOs -> struct pipe_again */
};

static struct pipe_again *get_pipe(struct restore *r, bool fifo, uint32_t id)
{
	struct idmap *m = &r->files->pipes->by_id[fifo];
	struct pipe_again *p = idmap_get(m, id);

	if (p)
		return p;
	p = arena_alloc(r->arena, sizeof(*p));
	if (!p || idmap_put(m, id, p) < 0)
		return NULL;
	p->last = &p->chunks;
	p->any = -1;
	return p;
}

static int read_chunk(struct restore *r, struct image_reader *reader, bool fifo, const PipeDataEntry *e)
{
	struct pipe_again *p = get_pipe(r, fifo, e->pipe_id);
	struct chunk *c = arena_alloc(r->arena, sizeof(*c));

	if (!p || !c)
		return no_memory(r->diag);
	if (e->bytes > INT32_MAX)
		return diag_fail(r->diag, EPROTO, "the images claim %u bytes in pipe %u", e->bytes, e->pipe_id);
	if (e->has_size)
		p->size = e->size;
	if (!e->bytes)
		return 0;
	c->entry.bytes = e->bytes;
	c->data = arena_alloc(r->arena, e->bytes);
	if (!c->data)
		return no_memory(r->diag);
	*p->last = c;
	p->last = &c->next;
	return image_get_raw(reader, c->data, e->bytes);
}

static int read_contents(struct restore *r, bool fifo)
{
	enum image_kind kind = fifo ? IMG_FIFO_DATA : IMG_PIPES_DATA;
	struct image_reader *reader;
	PipeDataEntry *e;
	int ret;

	if (!image_exists(r->dir, kind, 0))
		return 0;
	ret = image_open(r->dir, kind, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &e)) > 0) {
		ret = read_chunk(r, reader, fifo, e);
		image_free(e);
		if (ret < 0)
			break;
	}
	image_close(reader);
	return ret;
}

static int pipe_read(struct restore *r)
{
	struct file_opener *o = r->files;
	int ret;

	o->pipes = calloc(1, sizeof(*o->pipes));
	if (!o->pipes)
		return no_memory(r->diag);
	for (struct opened_file *f = o->files + o->nr; f-- > o->files;) {
		struct pipe_again *p;

		if (f->kind != &pipe_kind)
			continue;
		p = get_pipe(r, false, f->entry->pipe->pipe_id);
		if (!p)
			return no_memory(r->diag);
		p->packets |= (f->entry->pipe->flags & O_DIRECT) != 0;
		f->next = p->ends;
		p->ends = f;
	}
	ret = read_contents(r, false);
	return ret < 0 ? ret : read_contents(r, true);
}

/* Set the size and write the contents; @fd does not block. Packets are at most a page: longer pieces are a stream's. */
static int fill_pipe(struct restore *r, const struct opened_file *f, struct pipe_again *p, int fd)
{
	if (p->filled)
		return 0;
	p->filled = true;
	if (p->size && fcntl(fd, F_GETPIPE_SZ) != (int)p->size && fcntl(fd, F_SETPIPE_SZ, p->size) < 0)
		return opener_fail(r, errno, f, "setting the pipe's size (see /proc/sys/fs/pipe-max-size)");
	for (struct chunk *c = p->chunks; c; c = c->next) {
		int mode = p->packets && c->entry.bytes <= PAGE_SIZE ? O_DIRECT : 0, ret;

		if (p->packets && fcntl(fd, F_SETFL, O_NONBLOCK | mode) < 0)
			return opener_fail(r, errno, f, "F_SETFL");
		ret = full_write(fd, c->data, c->entry.bytes);
		if (ret < 0)
			return opener_fail(r, -ret, f, "filling the pipe");
	}
	return 0;
}

/* Give @f an end: the new one, the first time; or another open file made from one that is there. */
static int take_end(struct restore *r, struct opened_file *f, struct pipe_again *p, int ends[2])
{
	const PipeEntry *e = f->entry->pipe;
	int *end = &ends[(e->flags & O_ACCMODE) == O_WRONLY], fd;
	char path[32];

	if (*end >= 0 && (e->flags & O_ACCMODE) != O_RDWR) {
		fd = TAKE_FD(*end);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", p->any >= 0 ? p->any : ends[0]);
		fd = open(path, (int)(e->flags & (O_ACCMODE | O_NONBLOCK | O_DIRECT)) | O_CLOEXEC);
		if (fd < 0)
			return opener_fail(r, errno, f, "opening the pipe again");
	}
	p->any = f->fd = opener_keep(r, fd);
	return f->fd < 0 ? f->fd : opener_setup(r, f, e->flags, e->fown);
}

static int pipe_open(struct restore *r, struct opened_file *f)
{
	struct pipe_again *p = get_pipe(r, false, f->entry->pipe->pipe_id);
	int ends[2], ret;

	if (!p)
		return no_memory(r->diag);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return opener_fail(r, errno, f, "pipe");
	ret = fill_pipe(r, f, p, ends[1]);
	for (f = p->ends; f && ret >= 0; f = f->next)
		if (f->used)
			ret = take_end(r, f, p, ends);
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	return ret;
}

static void pipe_free_restore(struct file_opener *o)
{
	if (!o->pipes)
		return;
	idmap_free(&o->pipes->by_id[0]);
	idmap_free(&o->pipes->by_id[1]);
	free(o->pipes);
}

const struct file_kind pipe_kind = {
	.type = FD_TYPES__PIPE,
	.name = "pipe",
	.member = offsetof(FileEntry, pipe),
	.owner = offsetof(PipeEntry, fown),
	.flags = offsetof(PipeEntry, flags),
	.match = pipe_match,
	.dump = pipe_dump,
	.peers = pipe_peers,
	.write = pipe_write,
	.free_dump = pipe_free_dump,
	.read = pipe_read,
	.open = pipe_open,
	.free_restore = pipe_free_restore,
};

static bool fifo_match(const struct seen *s)
{
	return S_ISFIFO(s->st.st_mode) && s->link[0] == '/' && !(s->flags & O_PATH);
}

/* Name, flags and owner are in an entry for a file with a name. */
static int fifo_dump(struct seen *s, FileEntry *fe)
{
	FifoEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	FileEntry *reg;
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	fifo_entry__init(e);
	e->id = fe->id;
	e->pipe_id = (uint32_t)s->st.st_ino;
	fe->fifo = e;
	reg = file_add(s->d, &reg_file_kind);
	if (!reg)
		return no_memory(s->d->diag);
	ret = reg_file_kind.dump(s, reg);
	if (ret < 0)
		return ret;
	e->has_regf_id = true;
	e->regf_id = reg->id;
	return note_end(s, true);
}

static int fifo_write(struct dump *d)
{
	return write_contents(d, true);
}

/* With both ends open here no open() waits, and what is written stays. */
static int fifo_open_named(struct restore *r, struct opened_file *f, const RegFileEntry *reg)
{
	_cleanup_close_ int both = reg_file_open(r, reg, O_RDWR | O_NONBLOCK);
	struct pipe_again *p = get_pipe(r, true, f->entry->fifo->pipe_id);
	int fd, bytes = 0;

	if (both < 0)
		return both;
	if (!p)
		return no_memory(r->diag);
	if (!p->filled && (ioctl(both, FIONREAD, &bytes) < 0 || bytes))
		return diag_fail(r->diag, EBUSY, "the FIFO %s is in use by another process: end that first", reg->name);
	fd = reg_file_open(r, reg, reg->flags);
	if (fd < 0)
		return fd;
	f->fd = opener_keep(r, fd);
	if (f->fd < 0)
		return f->fd;
	fd = fill_pipe(r, f, p, both);
	return fd < 0 ? fd : opener_setup(r, f, reg->flags, reg->fown);
}

static int fifo_open(struct restore *r, struct opened_file *f)
{
	const struct opened_file *reg = opener_file(r, f->entry->fifo->regf_id);

	if (!f->entry->fifo->has_regf_id || !reg || reg->kind != &reg_file_kind)
		return diag_fail(r->diag, EPROTO, "files.img: the FIFO with id %u has no name", f->entry->id);
	return fifo_open_named(r, f, reg->entry->reg);
}

const struct file_kind fifo_kind = {
	.type = FD_TYPES__FIFO,
	.name = "FIFO",
	.member = offsetof(FileEntry, fifo),
	.match = fifo_match,
	.dump = fifo_dump,
	.write = fifo_write,
	.open = fifo_open,
};
