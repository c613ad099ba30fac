// SPDX-License-Identifier: GPL-2.0-only
/*
 * What waits in the receive queue of a UNIX socket. It is read with MSG_PEEK, which leaves it there; SO_PEEK_OFF moves
 * on from message to message, and is set back. A restore sends the messages again, from the other end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

#define FIRST_BUFFER 65536
#define PACKET_MAX (256u << 20) /* sanity of images */

static int add_packet(struct seen *s, uint32_t id, const uint8_t *data, size_t len)
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
	memcpy(p->data, data, len);
	*(t->last_packet ? &t->last_packet->next : &t->packets) = p;
	t->last_packet = p;
	return 0;
}

/* Descriptors that came along were installed here. Return: how many */
static unsigned close_received(struct msghdr *msg)
{
	unsigned nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int), nr++)
				close(*(int *)((uint8_t *)c + at));
	return nr;
}

/* Peek at the next message. Return: its length, -ENODATA at the end, -EMSGSIZE when @cap is too small, or -errno */
static ssize_t peek(const struct seen *s, uint8_t *buf, size_t cap, size_t *need, unsigned *passed)
{
	_Alignas(struct cmsghdr) uint8_t control[2048];
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(s->lfd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);

	if (len < 0)
		return errno == EAGAIN ? -ENODATA : -errno;
	*passed = close_received(&msg);
	*need = (size_t)len;
	return (size_t)len > cap ? -EMSGSIZE : len;
}

static bool is_stream(const struct seen *s)
{
	int type = 0;
	socklen_t len = sizeof(type);

	getsockopt(s->lfd, SOL_SOCKET, SO_TYPE, &type, &len);
	return type == SOCK_STREAM;
}

static int copy_queue(struct seen *s, uint32_t id)
{
	uint8_t first[FIRST_BUFFER], *buf = first;
	size_t cap = sizeof(first), need = 0;
	bool stream = is_stream(s);
	int off = 0, ret = 0; /* off: how far the peeking has come, to start again with a larger buffer */

	while (ret == 0) {
		unsigned passed = 0;
		ssize_t len = peek(s, buf, cap, &need, &passed);

		if (passed)
			return file_refuse(s, "a socket with descriptors in flight",
					   "dump again when the program has received them");
		if (len == -ENODATA || (len == 0 && stream))
			return 0;
		if (len == -EMSGSIZE) {
			cap = need;
			buf = arena_alloc(s->d->arena, cap);
			if (!buf)
				return no_memory(s->d->diag);
			if (setsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0)
				return file_fail(s, errno, "SO_PEEK_OFF");
			continue;
		}
		if (len < 0)
			return file_fail(s, (int)-len, "reading the queue");
		ret = add_packet(s, id, buf, (size_t)len);
		off += (int)len;
	}
	return ret;
}

int sk_queue_dump(struct seen *s, uint32_t id)
{
	int before = -1, start = 0, ret;
	socklen_t len = sizeof(before);

	if (getsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &before, &len) < 0 ||
	    setsockopt(s->lfd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) < 0)
		return file_fail(s, errno, "SO_PEEK_OFF");
	ret = copy_queue(s, id);
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

	if (e->n_scm)
		return diag_fail(r->diag, ENOTSUP, "sk-queues.img: descriptors in flight (id %u) are not supported yet",
				 e->id_for);
	if (e->length > PACKET_MAX)
		return diag_fail(r->diag, EPROTO, "sk-queues.img: a message of %u bytes (id %u)", e->length, e->id_for);
	if (p)
		p->data = arena_alloc(r->arena, e->length + 1);
	if (!p || !q || !p->data)
		return no_memory(r->diag);
	p->entry.length = e->length;
	*q->last = p;
	q->last = &p->next;
	return e->length ? image_get_raw(reader, p->data, e->length) : 0;
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
			ssize_t n = send(sender, p->data + done, p->entry.length - done, MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n < 0)
				return opener_fail(r, errno, f, "filling the receive queue");
			done += (size_t)n;
		} while (done < p->entry.length);
	}
	return 0;
}
