// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP connections, the dump half: --tcp-established.
 *
 * While the tree is frozen its connections go on: the kernel answers for them. They are stopped last. First they are
 * locked, so that nothing comes in and nobody answers for them from then on (net_lock.c); then they are switched to
 * repair mode, TCP_REPAIR, in which their queues and numbers can be read and closing them sends nothing. The lock stays
 * until the end of the restore.
 *
 *	receive queue		copied_seq .. rcv_nxt	inq_seq = rcv_nxt
 *	send queue		snd_una .. write_seq	outq_seq = write_seq; the last unsq_len bytes were never sent
 *
 * A FIN takes a number in the queues, and is no data: the lengths do not count it, the numbers do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "criu-like/state/files.h"
#include "criu-like/state/net_lock.h"
#include "criu-like/state/tcp.h"
#include "criu-like/state/tcp_repair.h"

/* Dump: a connection of the tree. */
struct tcp_seen {
	InetSkEntry *entry;
	int fd; /* an own duplicate */
	bool stopped;
	pid_t pid;
	int number; /* the descriptor in that process */
	struct tcp_seen *next;
};

struct tcp_table {
	struct tcp_seen *all;
	size_t nr;
	char table[NET_LOCK_NAME_MAX];
	bool locked;
};

static int fail(struct dump *d, const struct tcp_seen *c, int code, const char *what)
{
	return diag_fail(d->diag, code, "%s failed for the TCP connection at descriptor %d of process %d: %s", what,
			 c->number, c->pid, strerror(code));
}

/* As many descriptors as there are connections are kept. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int keep(struct seen *s, InetSkEntry *e)
{
	struct file_table *t = s->d->files;
	struct tcp_seen *c = arena_alloc(s->d->arena, sizeof(*c));

	if (!t->tcp) {
		raise_limit();
		t->tcp = arena_alloc(s->d->arena, sizeof(*t->tcp));
	}
	if (!t->tcp || !c)
		return no_memory(s->d->diag);
	*c = (struct tcp_seen){ .entry = e, .pid = s->p->pid, .number = s->fd, .next = t->tcp->all };
	c->fd = fcntl(s->lfd, F_DUPFD_CLOEXEC, 0);
	if (c->fd < 0)
		return file_fail(s, errno, "keeping a TCP connection");
	t->tcp->all = c;
	t->tcp->nr++;
	return 0;
}

int tcp_note(struct seen *s, InetSkEntry *e)
{
	switch (e->state) {
	case TCP_ESTABLISHED:
	case TCP_SYN_SENT:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
	case TCP_CLOSE: /* with data that has not been read */
		break;
	default:
		return file_refuse(s, "a TCP socket in this state", "it is about to change; dump again");
	}
	if (s->d->opt->tcp_close)
		return 0;
	if (!s->d->opt->tcp_established && e->state == TCP_CLOSE_WAIT)
		return file_refuse(s, "a TCP connection that its other end has closed",
				   "use --tcp-established to keep it, --tcp-close to have it closed, or dump again "
				   "when the program has closed it");
	if (!s->d->opt->tcp_established)
		return file_refuse(
			s, "a TCP connection",
			"use --tcp-established to keep it, --tcp-close to have it closed, or end it before the dump");
	return keep(s, e);
}

void tcp_fill(const InetSkEntry *e, struct net_connection *c)
{
	size_t len = e->family == AF_INET ? sizeof(uint32_t) : 4 * sizeof(uint32_t);

	*c = (struct net_connection){ .family = (int)e->family,
				      .local_port = htons((uint16_t)e->src_port),
				      .remote_port = htons((uint16_t)e->dst_port) };
	memcpy(c->local, e->src_addr, len);
	memcpy(c->remote, e->dst_addr, len);
	if (e->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)c->local)) {
		c->family = AF_INET;
		c->local[0] = c->local[3];
		c->remote[0] = c->remote[3];
	}
}

void tcp_lock_name(const char *run_id, pid_t root, char *name)
{
	char whole[64];

	if (run_id)
		snprintf(whole, sizeof(whole), "CRIU-%s", run_id);
	else
		snprintf(whole, sizeof(whole), "CRIU-%d", root);
	snprintf(name, NET_LOCK_NAME_MAX, "%.*s", NET_LOCK_NAME_MAX - 1, whole);
}

static int lock_all(struct dump *d, struct tcp_table *t)
{
	struct net_connection *conns = arena_array(d->arena, t->nr, sizeof(*conns));
	size_t nr = 0;
	int ret = 0;

	if (!conns)
		return no_memory(d->diag);
	for (const struct tcp_seen *c = t->all; c; c = c->next)
		tcp_fill(c->entry, &conns[nr++]);
	if (!tcp_skips_lock(d->opt->network_lock)) {
		tcp_lock_name(image_dir_run_id(d->dir), 0, t->table);
		ret = net_lock_create(t->table, conns, nr);
		t->locked = ret == 0;
	}
	if (ret < 0)
		return diag_fail(d->diag, -ret,
				 "cannot lock TCP connections by nftables: %s; with --network-lock skip something else "
				 "must keep their packets from coming in until they are restored",
				 strerror(-ret));
	return 0;
}

static int read_lengths(struct dump *d, const struct tcp_seen *c, TcpStreamEntry *e)
{
	int in = 0, out = 0, unsent = 0;

	if (ioctl(c->fd, SIOCINQ, &in) < 0 || ioctl(c->fd, SIOCOUTQ, &out) < 0 ||
	    ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0)
		return fail(d, c, errno, "asking for the length of the queues");
	if (c->entry->state == TCP_CLOSE)
		out = unsent = 0; /* nobody will have it */
	if (tcp_fin_sent(c->entry->state)) {
		out -= out > 0;
		unsent -= unsent > 0;
	}
	e->inq_len = (uint32_t)in;
	e->outq_len = (uint32_t)out;
	e->has_unsq_len = true;
	e->unsq_len = (uint32_t)unsent;
	return 0;
}

static int read_options(struct dump *d, const struct tcp_seen *c, const struct tcp_info *info, TcpStreamEntry *e)
{
	struct tcp_repair_window w = { 0 };
	socklen_t len = sizeof(int), window_len = sizeof(w);

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &e->mss_clamp, &len) < 0 ||
	    getsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &window_len) < 0)
		return fail(d, c, errno, "reading its window");
	e->opt_mask = info->tcpi_options;
	if (info->tcpi_options & TCPI_OPT_WSCALE) {
		e->snd_wscale = info->tcpi_snd_wscale;
		e->has_rcv_wscale = true;
		e->rcv_wscale = info->tcpi_rcv_wscale;
	}
	if (info->tcpi_options & TCPI_OPT_TIMESTAMPS) {
		e->has_timestamp = true;
		if (getsockopt(c->fd, IPPROTO_TCP, TCP_TIMESTAMP, &e->timestamp, &len) < 0)
			return fail(d, c, errno, "reading its clock");
	}
	e->has_snd_wl1 = e->has_snd_wnd = e->has_max_window = e->has_rcv_wnd = e->has_rcv_wup = true;
	e->snd_wl1 = w.snd_wl1;
	e->snd_wnd = w.snd_wnd;
	e->max_window = w.max_window;
	e->rcv_wnd = w.rcv_wnd;
	e->rcv_wup = w.rcv_wup;
	return 0;
}

/* Number and content of a queue. @out: malloc'ed */
static int read_queue(struct dump *d, const struct tcp_seen *c, int queue, uint32_t *seq, uint32_t len, uint8_t **out)
{
	socklen_t seq_len = sizeof(*seq);
	ssize_t n;

	if (setsockopt(c->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    getsockopt(c->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, seq, &seq_len) < 0)
		return fail(d, c, errno, "reading a queue");
	*out = malloc(len + 1);
	if (!*out)
		return no_memory(d->diag);
	if (!len)
		return 0;
	n = recv(c->fd, *out, len, MSG_PEEK | MSG_DONTWAIT);
	if (n != (ssize_t)len)
		return fail(d, c, n < 0 ? errno : EIO, "reading a queue");
	return 0;
}

static int write_stream(struct dump *d, const struct tcp_seen *c, const TcpStreamEntry *e, const uint8_t *in,
			const uint8_t *out)
{
	struct image_writer *w;
	int ret = image_create(d->dir, IMG_TCP_STREAM, c->entry->ino, &w, d->diag);

	if (ret < 0)
		return ret;
	ret = image_put(w, e);
	if (ret == 0 && e->inq_len)
		ret = image_put_raw(w, in, e->inq_len);
	if (ret == 0 && e->outq_len)
		ret = image_put_raw(w, out, e->outq_len);
	if (ret < 0) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

static int dump_queues(struct dump *d, const struct tcp_seen *c, TcpStreamEntry *e)
{
	uint8_t *in = NULL, *out = NULL;
	int ret = read_queue(d, c, TCP_RECV_QUEUE, &e->inq_seq, e->inq_len, &in);

	if (ret == 0)
		ret = read_queue(d, c, TCP_SEND_QUEUE, &e->outq_seq, e->outq_len, &out);
	if (ret == 0)
		ret = write_stream(d, c, e, in, out);
	free(in);
	free(out);
	return ret;
}

static int dump_one(struct dump *d, struct tcp_seen *c)
{
	TcpStreamEntry e = TCP_STREAM_ENTRY__INIT;
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int ret = tcp_repair(c->fd, TCP_REPAIR_ON);

	if (ret < 0)
		return fail(d, c, -ret, "TCP_REPAIR");
	c->stopped = true;
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return fail(d, c, errno, "TCP_INFO");
	c->entry->state = info.tcpi_state; /* the other end may have closed it meanwhile */
	ret = read_lengths(d, c, &e);
	if (ret == 0)
		ret = read_options(d, c, &info, &e);
	return ret < 0 ? ret : dump_queues(d, c, &e);
}

#define RESUME_TRIES 3

int tcp_dump(struct dump *d)
{
	struct tcp_table *t = d->files->tcp;
	int ret = t ? lock_all(d, t) : 0;

	for (struct tcp_seen *c = t ? t->all : NULL; c && ret == 0; c = c->next)
		ret = dump_one(d, c);
	return ret;
}

/* Tried again: a connection that is not let go hangs. The end of repair mode clears SO_REUSEADDR. */
static int resume_one(const struct tcp_seen *c)
{
	int reuse = c->entry->opts && c->entry->opts->reuseaddr, ret = -EAGAIN;

	for (int i = 0; ret && i < RESUME_TRIES; i++) {
		ret = tcp_repair(c->fd, TCP_REPAIR_OFF);
		if (!ret && setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
			ret = -errno;
	}
	return ret;
}

void tcp_resume(struct dump *d)
{
	struct tcp_table *t = d->files ? d->files->tcp : NULL;
	int ret = t && t->locked ? -EAGAIN : 0;

	if (!t)
		return;
	for (int i = 0; ret < 0 && i < RESUME_TRIES; i++)
		ret = net_lock_remove(t->table);
	if (ret < 0)
		diag_warn(d->diag, "cannot remove the nftables table inet %s, which locks TCP connections", t->table);
	for (struct tcp_seen *c = t->all; c; c = c->next) {
		if (c->stopped && resume_one(c) < 0)
			diag_warn(d->diag, "a TCP connection (descriptor %d of process %d) cannot be let go", c->number,
				  c->pid);
	}
}

void tcp_dump_free(struct file_table *t)
{
	for (struct tcp_seen *c = t->tcp ? t->tcp->all : NULL; c; c = c->next)
		close(c->fd);
}

void files_describe(struct dump *d, InventoryEntry *inv)
{
	struct tcp_table *t = d->files->tcp;

	inv->has_tcp_close = inv->tcp_close = d->opt->tcp_close;
	if (!t)
		return;
	inv->has_network_lock_method = true;
	inv->network_lock_method = tcp_skips_lock(d->opt->network_lock) ? NETWORK_LOCK_SKIP : NETWORK_LOCK_NFTABLES;
}
