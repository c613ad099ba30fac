// SPDX-License-Identifier: GPL-2.0-only
/*
 * What waits in the receive queue of a UNIX socket. It is read with MSG_PEEK, which leaves it there; SO_PEEK_OFF moves
 * on from message to message, and is set back. A restore sends the messages again, from the other end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/in_flight.h"

#define FIRST_BUFFER 65536
#define PACKET_MAX (256u << 20) /* sanity of images */

/* What came along with a message, installed here. */
struct received {
	int fds[IN_FLIGHT_MAX];
	size_t nr;
	bool sender; /* its sender's ids were there */
};

static int add_packet(struct seen *s, uint32_t id, const uint8_t *data, size_t len, const struct received *got)
{
	struct file_table *t = s->d->files;
	struct packet *p = arena_alloc(s->d->arena, sizeof(*p));

	if (p)
		p->data = arena_alloc(s->d->arena, len + 1);
	if (!p || !p->data)
		return no_memory(s->d->diag);
	sk_packet_entry__init(&p->entry);
	p->entry.id_for = id;
	p->entry.length = (uint32_t)len;
	p->pid = seen_pid(s);
	p->fd = seen_fd(s);
	memcpy(p->data, data, len);
	*(t->last_packet ? &t->last_packet->next : &t->packets) = p;
	t->last_packet = p;
	return got && got->nr ? in_flight_keep(s->d, p, got->fds, got->nr) : 0;
}

static void take_received(struct msghdr *msg, struct received *got)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		got->sender |= c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS;
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len && got->nr < IN_FLIGHT_MAX;
		     at += sizeof(int))
			got->fds[got->nr++] = *(int *)((uint8_t *)c + at);
	}
}

static void close_received(struct received *got)
{
	while (got->nr)
		close(got->fds[--got->nr]);
}

/* Peek at the next message. Return: its length, -ENODATA at the end, -EMSGSIZE when @cap is too small, or -errno */
static ssize_t peek(const struct seen *s, uint8_t *buf, size_t cap, size_t *need, struct received *got)
{
	_Alignas(struct cmsghdr) uint8_t control[2048];
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(s->lfd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);

	*got = (struct received){ 0 };
	if (len < 0)
		return errno == EAGAIN ? -ENODATA : -errno;
	take_received(&msg, got);
	*need = (size_t)len;
	if ((size_t)len <= cap)
		return len;
	close_received(got);
	return -EMSGSIZE;
}

static int peek_from(struct seen *s, int off)
{
	return setsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0 ? file_fail(s, errno, "SO_PEEK_OFF")
										  : 0;
}

/*
 * Of a stream, a read ends with the first message that carries descriptors: where does that begin? A read whose last
 * byte cannot be written ends before the message that has it.
 *
 * @off: where the read began, @len: its length. Return: bytes before that message, or -errno with a sentence
 */
static ssize_t find_carrier(struct seen *s, int off, size_t len)
{
	size_t size = PAGE_UP(len) + PAGE_SIZE, need;
	uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct received got;
	ssize_t n;
	int ret;

	if (map == MAP_FAILED)
		return no_memory(s->d->diag);
	ret = peek_from(s, off);
	n = ret ? ret : mprotect(map + size - PAGE_SIZE, PAGE_SIZE, PROT_NONE) < 0 ? -errno : 0;
	if (n == 0)
		n = peek(s, map + size - PAGE_SIZE - (len - 1), len, &need, &got);
	munmap(map, size);
	if (n == -EFAULT)
		return 0;
	return n < 0 && !ret ? file_fail(s, (int)-n, "reading the queue") : n;
}

/* One read of a queue: a message, or a piece of a stream. */
static int add_read(struct seen *s, uint32_t id, int off, const uint8_t *buf, size_t len, bool stream,
		    struct received *got)
{
	ssize_t before = stream && got->nr ? find_carrier(s, off, len) : 0;
	int ret = (int)MIN(before, 0);

	if (before > 0)
		ret = add_packet(s, id, buf, (size_t)before, NULL);
	if (ret < 0) {
		close_received(got);
		return ret;
	}
	return add_packet(s, id, buf + before, len - (size_t)before, got);
}

static int copy_queue(struct seen *s, uint32_t id, int type)
{
	uint8_t first[FIRST_BUFFER], *buf = first;
	size_t cap = sizeof(first), need = 0;
	int off = 0, ret = 0; /* off: how far the peeking has come, to start again with a larger buffer */

	while (ret == 0) {
		struct received got;
		ssize_t len = peek(s, buf, cap, &need, &got);

		/* An end of file is no message: nobody has sent it. */
		if (len == -ENODATA || (len == 0 && (type == SOCK_STREAM || (type == SOCK_SEQPACKET && !got.sender))))
			return 0;
		if (len == -EMSGSIZE) {
			cap = need;
			buf = arena_alloc(s->d->arena, cap);
			if (!buf)
				return no_memory(s->d->diag);
			ret = peek_from(s, off);
			continue;
		}
		if (len < 0)
			return file_fail(s, (int)-len, "reading the queue");
		ret = add_read(s, id, off, buf, (size_t)len, type == SOCK_STREAM, &got);
		off += (int)len;
		if (ret == 0)
			ret = peek_from(s, off);
	}
	return ret;
}

int sk_queue_dump(struct seen *s, uint32_t id)
{
	int before = -1, start = 0, on = 1, passes = socket_number(s, SOL_SOCKET, SO_PASSCRED), ret;
	int type = socket_number(s, SOL_SOCKET, SO_TYPE);
	socklen_t len = sizeof(before);

	if (getsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &before, &len) < 0 ||
	    setsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0)
		return file_fail(s, errno, "SO_PEEK_OFF");
	if (type == SOCK_SEQPACKET && setsockopt(s->lfd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return file_fail(s, errno, "SO_PASSCRED");
	ret = copy_queue(s, id, type);
	if (type == SOCK_SEQPACKET)
		setsockopt(s->lfd, SOL_SOCKET, SO_PASSCRED, &passes, sizeof(passes));
	if (setsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof(before)) < 0)
		return file_fail(s, errno, "SO_PEEK_OFF");
	return ret;
}

int sk_queue_write(struct dump *d)
{
	struct image_writer *w;
	int ret = image_create(d->dir, IMG_SK_QUEUES, 0, &w, d->diag);

	if (ret < 0)
		return ret;
	for (struct packet *p = d->files->packets; p && ret == 0; p = p->next) {
		ret = image_put(w, &p->entry);
		if (ret == 0 && p->entry.length)
			ret = image_put_raw(w, p->data, p->entry.length);
	}
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static struct queue *get_queue(struct restore *r, uint32_t id)
{
	struct queue *q = idmap_get(&r->files->queues, id);

	if (q)
		return q;
	q = arena_alloc(r->arena, sizeof(*q));
	if (!q || idmap_put(&r->files->queues, id, q) < 0)
		return NULL;
	q->last = &q->first;
	return q;
}

static int read_packet(struct restore *r, struct image_reader *reader, const SkPacketEntry *e)
{
	struct packet *p = arena_alloc(r->arena, sizeof(*p));
	struct queue *q = get_queue(r, e->id_for);
	int ret;

	if (e->length > PACKET_MAX)
		return diag_fail(r->diag, EPROTO, "sk-queues.img: a message of %u bytes (id %u)", e->length, e->id_for);
	if (p)
		p->data = arena_alloc(r->arena, e->length + 1);
	if (!p || !q || !p->data)
		return no_memory(r->diag);
	p->entry.length = e->length;
	*q->last = p;
	q->last = &p->next;
	p->of_all = r->files->packets;
	r->files->packets = p;
	ret = in_flight_read(r, p, e);
	return ret == 0 && e->length ? image_get_raw(reader, p->data, e->length) : ret;
}

int sk_queue_read(struct restore *r)
{
	struct image_reader *reader;
	SkPacketEntry *e;
	int ret;

	if (!image_exists(r->dir, IMG_SK_QUEUES, 0))
		return 0;
	ret = image_open(r->dir, IMG_SK_QUEUES, 0, &reader, r->diag);
	if (ret < 0)
		return ret;
	while ((ret = image_get(reader, &e)) > 0) {
		ret = read_packet(r, reader, e);
		image_free(e);
		if (ret < 0)
			break;
	}
	image_close(reader);
	return ret;
}

bool sk_queue_empty(const struct restore *r, const struct opened_file *f)
{
	return !idmap_get(&r->files->queues, f->entry->id);
}

/* A message may take more room than what it took before. */
static void widen(int sender)
{
	int most = INT32_MAX / 2;

	if (setsockopt(sender, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		setsockopt(sender, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
}

int sk_queue_fill(struct restore *r, const struct opened_file *f, int sender)
{
	const struct queue *q = idmap_get(&r->files->queues, f->entry->id);

	if (!q)
		return 0;
	widen(sender);
	for (const struct packet *p = q->first; p; p = p->next) {
		size_t done = 0;

		do {
			ssize_t n = in_flight_send(r, p, done, sender);

			if (n < 0)
				return opener_fail(r, (int)-n, f, "filling the receive queue");
			done += (size_t)n;
		} while (done < p->entry.length);
	}
	return 0;
}
