// SPDX-License-Identifier: GPL-2.0-only
/* What sockets of all families have: the options of SOL_SOCKET, socket(7), and those of TCP, tcp(7). */
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* An option that is a number, and its field: optional ones have their has_ flag before them. */
struct option {
	int level, name;
	size_t field, has;
	enum { NUMBER, YES_NO } type;
	enum { ALL, UNIX, TCP } sockets;
};

#define FIELD(f) offsetof(SkOptsEntry, f), offsetof(SkOptsEntry, has_##f)

int opener_socket(struct restore *r, struct opened_file *f, int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return opener_fail(r, errno, f, "socket");
	f->fd = opener_keep(r, fd);
	return MIN(f->fd, 0);
}

static const struct option options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, FIELD(reuseaddr), YES_NO, ALL },
	{ SOL_SOCKET, SO_REUSEPORT, FIELD(so_reuseport), YES_NO, ALL },
	{ SOL_SOCKET, SO_PRIORITY, FIELD(so_priority), NUMBER, ALL },
	{ SOL_SOCKET, SO_RCVLOWAT, FIELD(so_rcvlowat), NUMBER, ALL },
	{ SOL_SOCKET, SO_MARK, FIELD(so_mark), NUMBER, ALL },
	{ SOL_SOCKET, SO_PASSCRED, FIELD(so_passcred), YES_NO, UNIX },
	{ SOL_SOCKET, SO_PASSSEC, FIELD(so_passsec), YES_NO, UNIX },
	{ SOL_SOCKET, SO_DONTROUTE, FIELD(so_dontroute), YES_NO, ALL },
	{ SOL_SOCKET, SO_NO_CHECK, FIELD(so_no_check), YES_NO, ALL },
	{ SOL_SOCKET, SO_BROADCAST, FIELD(so_broadcast), YES_NO, ALL },
	{ SOL_SOCKET, SO_KEEPALIVE, FIELD(so_keepalive), YES_NO, ALL },
	{ SOL_SOCKET, SO_OOBINLINE, FIELD(so_oobinline), NUMBER, ALL },
	{ IPPROTO_TCP, TCP_KEEPCNT, FIELD(tcp_keepcnt), NUMBER, TCP },
	{ IPPROTO_TCP, TCP_KEEPIDLE, FIELD(tcp_keepidle), NUMBER, TCP },
	{ IPPROTO_TCP, TCP_KEEPINTVL, FIELD(tcp_keepintvl), NUMBER, TCP },
};

static bool concerns(const struct option *o, int family, int protocol)
{
	return o->sockets == ALL || (o->sockets == UNIX ? family == AF_UNIX : protocol == IPPROTO_TCP);
}

static int get_number(struct seen *s, int level, int name, int *value)
{
	socklen_t len = sizeof(*value);

	*value = 0;
	return getsockopt(s->lfd, level, name, value, &len) < 0 ? file_fail(s, errno, "getsockopt") : 0;
}

/* Is a number worth a place in the images? Zero is what a new socket has. */
static bool absent(const struct option *o, int value)
{
	return o->name == SO_MARK && o->level == SOL_SOCKET && !value;
}

static int dump_numbers(struct seen *s, SkOptsEntry *e)
{
	int family, protocol, type, ret = get_number(s, SOL_SOCKET, SO_DOMAIN, &family);

	if (ret == 0)
		ret = get_number(s, SOL_SOCKET, SO_PROTOCOL, &protocol);
	if (ret == 0)
		ret = get_number(s, SOL_SOCKET, SO_TYPE, &type);
	if (ret == 0 && type == SOCK_RAW)
		protocol = 0; /* it sees packets of that protocol, and does not speak it */
	for (size_t i = 0; i < ARRAY_SIZE(options) && ret == 0; i++) {
		const struct option *o = &options[i];
		int value;

		if (!concerns(o, family, protocol))
			continue;
		ret = get_number(s, o->level, o->name, &value);
		if (ret < 0 || absent(o, value))
			continue;
		*(protobuf_c_boolean *)((uint8_t *)e + o->has) = true;
		if (o->type == YES_NO)
			*(protobuf_c_boolean *)((uint8_t *)e + o->field) = value != 0;
		else
			*(uint32_t *)((uint8_t *)e + o->field) = (uint32_t)value;
	}
	return ret;
}

static int dump_timeouts(struct seen *s, SkOptsEntry *e)
{
	struct timeval snd, rcv;
	struct linger linger;
	socklen_t len = sizeof(snd), linger_len = sizeof(linger);

	if (getsockopt(s->lfd, SOL_SOCKET, SO_SNDTIMEO, &snd, &len) < 0 ||
	    getsockopt(s->lfd, SOL_SOCKET, SO_RCVTIMEO, &rcv, &len) < 0 ||
	    getsockopt(s->lfd, SOL_SOCKET, SO_LINGER, &linger, &linger_len) < 0)
		return file_fail(s, errno, "getsockopt");
	e->so_snd_tmo_sec = (uint64_t)snd.tv_sec;
	e->so_snd_tmo_usec = (uint64_t)snd.tv_usec;
	e->so_rcv_tmo_sec = (uint64_t)rcv.tv_sec;
	e->so_rcv_tmo_usec = (uint64_t)rcv.tv_usec;
	e->has_so_linger = linger.l_onoff != 0;
	e->so_linger = (uint32_t)linger.l_linger;
	return 0;
}

static int dump_buffers(struct seen *s, SkOptsEntry *e)
{
	int sndbuf = 0, rcvbuf = 0, lock = 0;
	int ret = get_number(s, SOL_SOCKET, SO_SNDBUF, &sndbuf);

	if (ret == 0)
		ret = get_number(s, SOL_SOCKET, SO_RCVBUF, &rcvbuf);
	if (ret == 0)
		ret = get_number(s, SOL_SOCKET, SO_BUF_LOCK, &lock);
	if (ret < 0)
		return ret;
	e->so_sndbuf = (uint32_t)sndbuf;
	e->so_rcvbuf = (uint32_t)rcvbuf;
	e->has_so_buf_lock = true;
	e->so_buf_lock = (uint32_t)lock;
	return 0;
}

static int dump_device(struct seen *s, SkOptsEntry *e)
{
	char device[IFNAMSIZ + 1] = "";
	socklen_t len = IFNAMSIZ;

	if (getsockopt(s->lfd, SOL_SOCKET, SO_BINDTODEVICE, device, &len) < 0)
		return file_fail(s, errno, "getsockopt");
	if (!device[0])
		return 0;
	e->so_bound_dev = arena_strdup(s->d->arena, device);
	return e->so_bound_dev ? 0 : no_memory(s->d->diag);
}

/* The length is in instructions. Each is a number in the images, its fields from high to low. */
static int dump_filter(struct seen *s, SkOptsEntry *e)
{
	struct sock_filter filter[BPF_MAXINSNS];
	socklen_t nr = 0;

	if (getsockopt(s->lfd, SOL_SOCKET, SO_GET_FILTER, NULL, &nr) < 0)
		return file_fail(s, errno, "reading the socket's filter");
	if (!nr)
		return 0;
	if (nr > BPF_MAXINSNS || getsockopt(s->lfd, SOL_SOCKET, SO_GET_FILTER, filter, &nr) < 0)
		return file_fail(s, errno, "reading the socket's filter");
	e->so_filter = arena_array(s->d->arena, nr, sizeof(*e->so_filter));
	if (!e->so_filter)
		return no_memory(s->d->diag);
	for (e->n_so_filter = 0; e->n_so_filter < nr; e->n_so_filter++) {
		const struct sock_filter *f = &filter[e->n_so_filter];

		e->so_filter[e->n_so_filter] =
			(uint64_t)f->code << 48 | (uint64_t)f->jt << 40 | (uint64_t)f->jf << 32 | f->k;
	}
	return 0;
}

int socket_options_dump(struct seen *s, SkOptsEntry **out)
{
	SkOptsEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	sk_opts_entry__init(e);
	*out = e;
	ret = dump_buffers(s, e);
	if (ret == 0)
		ret = dump_timeouts(s, e);
	if (ret == 0)
		ret = dump_numbers(s, e);
	if (ret == 0)
		ret = dump_device(s, e);
	return ret < 0 ? ret : dump_filter(s, e);
}

static int set(struct restore *r, const struct opened_file *f, int level, int name, const void *value, size_t len)
{
	return setsockopt(f->fd, level, name, value, (socklen_t)len) < 0 ? opener_fail(r, errno, f, "setsockopt") : 0;
}

/* Only what differs from a new socket is set: some options take privileges. */
static int restore_numbers(struct restore *r, const struct opened_file *f, const SkOptsEntry *e)
{
	int family = 0, protocol = 0, type = 0, ret = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(f->fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 ||
	    getsockopt(f->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ||
	    getsockopt(f->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return opener_fail(r, errno, f, "getsockopt");
	if (type == SOCK_RAW)
		protocol = 0;
	for (size_t i = 0; i < ARRAY_SIZE(options) && ret == 0; i++) {
		const struct option *o = &options[i];
		int value, now = 0;

		if (!*(const protobuf_c_boolean *)((const uint8_t *)e + o->has) || !concerns(o, family, protocol))
			continue;
		value = o->type == YES_NO ? *(const protobuf_c_boolean *)((const uint8_t *)e + o->field)
					  : (int)*(const uint32_t *)((const uint8_t *)e + o->field);
		if (getsockopt(f->fd, o->level, o->name, &now, &len) < 0 || now != value)
			ret = set(r, f, o->level, o->name, &value, sizeof(value));
	}
	return ret;
}

/* The kernel doubles what it is given. Without CAP_NET_ADMIN the size is limited by sysctl. */
static int restore_buffer(struct restore *r, const struct opened_file *f, int force, int name, uint32_t size)
{
	int half = (int)(size / 2), now = 0;
	socklen_t len = sizeof(now);

	if (getsockopt(f->fd, SOL_SOCKET, name, &now, &len) == 0 && (uint32_t)now == size)
		return 0;
	if (setsockopt(f->fd, SOL_SOCKET, force, &half, sizeof(half)) == 0)
		return 0;
	return set(r, f, SOL_SOCKET, name, &half, sizeof(half));
}

int socket_buffers_restore(struct restore *r, const struct opened_file *f, const SkOptsEntry *e)
{
	int lock = (int)e->so_buf_lock, ret = restore_buffer(r, f, SO_SNDBUFFORCE, SO_SNDBUF, e->so_sndbuf);

	if (ret == 0)
		ret = restore_buffer(r, f, SO_RCVBUFFORCE, SO_RCVBUF, e->so_rcvbuf);
	if (ret == 0 && e->has_so_buf_lock)
		ret = set(r, f, SOL_SOCKET, SO_BUF_LOCK, &lock, sizeof(lock));
	return ret;
}

static int restore_timeouts(struct restore *r, const struct opened_file *f, const SkOptsEntry *e)
{
	struct timeval snd = { (time_t)e->so_snd_tmo_sec, (suseconds_t)e->so_snd_tmo_usec };
	struct timeval rcv = { (time_t)e->so_rcv_tmo_sec, (suseconds_t)e->so_rcv_tmo_usec };
	struct linger linger = { .l_onoff = 1, .l_linger = (int)e->so_linger };
	int ret = 0;

	if (snd.tv_sec || snd.tv_usec)
		ret = set(r, f, SOL_SOCKET, SO_SNDTIMEO, &snd, sizeof(snd));
	if (ret == 0 && (rcv.tv_sec || rcv.tv_usec))
		ret = set(r, f, SOL_SOCKET, SO_RCVTIMEO, &rcv, sizeof(rcv));
	if (ret == 0 && e->has_so_linger)
		ret = set(r, f, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return ret;
}

static int restore_filter(struct restore *r, const struct opened_file *f, const SkOptsEntry *e)
{
	struct sock_filter filter[BPF_MAXINSNS];
	struct sock_fprog program = { .len = (unsigned short)e->n_so_filter, .filter = filter };

	if (!e->n_so_filter)
		return 0;
	if (e->n_so_filter > BPF_MAXINSNS)
		return opener_fail(r, EPROTO, f, "the filter is too long");
	for (size_t i = 0; i < e->n_so_filter; i++)
		filter[i] = (struct sock_filter){ .code = (uint16_t)(e->so_filter[i] >> 48),
						  .jt = (uint8_t)(e->so_filter[i] >> 40),
						  .jf = (uint8_t)(e->so_filter[i] >> 32),
						  .k = (uint32_t)e->so_filter[i] };
	return set(r, f, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int socket_options_restore(struct restore *r, const struct opened_file *f, const SkOptsEntry *e)
{
	int ret = restore_numbers(r, f, e);

	if (ret == 0)
		ret = restore_timeouts(r, f, e);
	if (ret == 0 && e->so_bound_dev)
		ret = set(r, f, SOL_SOCKET, SO_BINDTODEVICE, e->so_bound_dev, strlen(e->so_bound_dev));
	if (ret == 0)
		ret = restore_filter(r, f, e);
	return ret < 0 ? ret : socket_buffers_restore(r, f, e);
}

int socket_number(const struct seen *s, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	if (getsockopt(s->lfd, level, name, &value, &len) < 0 && errno != ENOPROTOOPT && errno != EOPNOTSUPP &&
	    errno != EINVAL)
		file_fail(s, errno, "getsockopt");
	return value;
}

int socket_netns(struct seen *s, uint32_t *id)
{
	_cleanup_close_ int own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t here = 0, there = 0;
	socklen_t len = sizeof(here);

	if (own < 0 || getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &here, &len) < 0 ||
	    getsockopt(s->lfd, SOL_SOCKET, SO_NETNS_COOKIE, &there, &len) < 0)
		return file_fail(s, errno, "asking for the socket's network namespace");
	if (here != there)
		return file_refuse(s, "a socket of another network namespace", "dump from inside that namespace");
	*id = s->p->ids && s->p->ids->has_net_ns_id ? s->p->ids->net_ns_id : 0;
	return 0;
}
