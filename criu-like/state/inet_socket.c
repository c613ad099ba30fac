// SPDX-License-Identifier: GPL-2.0-only
/*
 * IPv4 and IPv6 sockets: TCP that listens, is bound, is new, or is a connection (tcp.c); UDP in all its states.
 * Datagrams that wait in a UDP socket are lost, as UDP may lose them.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "criu-like/inspect/sockdiag.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/inet_raw.h"
#include "criu-like/state/tcp.h"
#include "criu-like/state/tcp_repair.h"

#define DEFAULT_TTL 64

static bool inet_match(const struct seen *s)
{
	int family = S_ISSOCK(s->st.st_mode) ? socket_number(s, SOL_SOCKET, SO_DOMAIN) : 0;

	return family == AF_INET || family == AF_INET6;
}

static int put_address(struct seen *s, const union inet_address *a, uint32_t **words, size_t *nr, uint32_t *port)
{
	bool v6 = a->any.sa_family == AF_INET6;

	*nr = v6 ? 4 : 1;
	*words = arena_array(s->d->arena, *nr, sizeof(**words));
	if (!*words)
		return no_memory(s->d->diag);
	memcpy(*words, v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, *nr * sizeof(**words));
	*port = ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port);
	return 0;
}

static int put_addresses(struct seen *s, InetSkEntry *e)
{
	union inet_address src = { 0 }, dst = { .any.sa_family = (sa_family_t)e->family };
	socklen_t src_len = sizeof(src), dst_len = sizeof(dst);
	char device[IFNAMSIZ];
	int ret;

	if (getsockname(s->lfd, &src.any, &src_len) < 0)
		return file_fail(s, errno, "getsockname");
	if (getpeername(s->lfd, &dst.any, &dst_len) < 0 && errno != ENOTCONN)
		return file_fail(s, errno, "getpeername");
	ret = put_address(s, &src, &e->src_addr, &e->n_src_addr, &e->src_port);
	if (ret == 0)
		ret = put_address(s, &dst, &e->dst_addr, &e->n_dst_addr, &e->dst_port);
	if (ret == 0 && e->family == AF_INET6 && src.v6.sin6_scope_id && if_indextoname(src.v6.sin6_scope_id, device)) {
		e->ifname = arena_strdup(s->d->arena, device);
		ret = e->ifname ? 0 : no_memory(s->d->diag);
	}
	return ret;
}

/* Where a connection that is being made goes, or has gone: getpeername(2) does not say it. */
static int put_wanted_peer(struct seen *s, InetSkEntry *e)
{
	union inet_address dst = { 0 };
	socklen_t len = e->family == AF_INET ? sizeof(dst.v4) : sizeof(dst.v6); /* not more */

	if (getsockopt(s->lfd, SOL_SOCKET, SO_PEERNAME, &dst, &len) < 0)
		return file_fail(s, errno, "SO_PEERNAME");
	return put_address(s, &dst, &e->dst_addr, &e->n_dst_addr, &e->dst_port);
}

static bool is_shut(const struct seen *s)
{
	struct pollfd p = { .fd = s->lfd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP;
}

/*
 * A connection that is over on both sides, so that only the descriptor is left: reading says end of file, and the port
 * that getsockname(2) still names is free. It must not be bound again, a listening socket may have it.
 */
static int dump_over(struct seen *s, InetSkEntry *e)
{
	int unread = 0;

	if (ioctl(s->lfd, FIONREAD, &unread) == 0 && unread && !s->d->opt->tcp_close) {
		int ret = put_wanted_peer(s, e);

		return ret < 0 ? ret : tcp_note(s, e);
	}
	e->src_port = 0;
	e->dst_port = 0;
	e->has_shutdown = true;
	e->shutdown = SK_SHUTDOWN__BOTH;
	return 0;
}

static int dump_tcp(struct seen *s, InetSkEntry *e)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(s->lfd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return file_fail(s, errno, "TCP_INFO");
	e->state = info.tcpi_state;
	if (e->state == TCP_CLOSE)
		return is_shut(s) ? dump_over(s, e) : 0;
	if (e->state == TCP_SYN_SENT) {
		int ret = put_wanted_peer(s, e);

		if (ret < 0)
			return ret;
	}
	if (e->state != TCP_LISTEN)
		return tcp_note(s, e);
	if (info.tcpi_unacked && !s->d->opt->skip_in_flight && !s->d->opt->tcp_close)
		return file_refuse(s, "a listening socket with connections that wait to be accepted",
				   "use --skip-in-flight to drop them, or dump again when the program has accepted "
				   "them");
	if (info.tcpi_unacked)
		diag_warn(s->d->diag, "descriptor %d of process %d: %u connections that wait to be accepted are lost",
			  s->fd, s->p->pid, info.tcpi_unacked);
	e->backlog = info.tcpi_sacked; /* of a listening socket: the most that may wait */
	return 0;
}

static int dump_udp(struct seen *s, InetSkEntry *e)
{
	struct file_table *t = s->d->files;
	int waiting = 0, ret = t->udp_listed ? 0 : sockdiag_udp_shutdowns(&t->udp_shutdowns);
	uintptr_t shut;

	if (ret < 0)
		return file_fail(s, -ret, "sock_diag");
	t->udp_listed = true;
	shut = (uintptr_t)idmap_get(&t->udp_shutdowns, s->st.st_ino);
	e->has_shutdown = shut != 0;
	e->shutdown = (SkShutdown)shut;
	e->state = e->dst_port ? TCP_ESTABLISHED : TCP_CLOSE;
	if (ioctl(s->lfd, FIONREAD, &waiting) == 0 && waiting)
		diag_warn(s->d->diag, "descriptor %d of process %d: datagrams that wait in a UDP socket are lost",
			  s->fd, s->p->pid);
	return 0;
}

static int dump_ip_options(struct seen *s, InetSkEntry *e)
{
	IpOptsEntry *o = arena_alloc(s->d->arena, sizeof(*o));
	bool v4 = e->family == AF_INET;

	if (!o)
		return no_memory(s->d->diag);
	ip_opts_entry__init(o);
	e->ip_opts = o;
	o->freebind = socket_number(s, IPPROTO_IP, IP_FREEBIND);
	o->has_freebind = o->freebind;
	o->pktinfo = v4 ? socket_number(s, IPPROTO_IP, IP_PKTINFO) : socket_number(s, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	o->has_pktinfo = o->pktinfo;
	o->tos = v4 ? (uint32_t)socket_number(s, IPPROTO_IP, IP_TOS) : 0;
	o->has_tos = o->tos != 0;
	o->ttl = v4 ? (uint32_t)socket_number(s, IPPROTO_IP, IP_TTL) : DEFAULT_TTL;
	o->has_ttl = o->ttl != DEFAULT_TTL;
	e->has_v6only = !v4;
	e->v6only = !v4 && socket_number(s, IPPROTO_IPV6, IPV6_V6ONLY);
	return 0;
}

static int dump_tcp_options(struct seen *s, InetSkEntry *e)
{
	TcpOptsEntry *o = arena_alloc(s->d->arena, sizeof(*o));

	if (!o)
		return no_memory(s->d->diag);
	tcp_opts_entry__init(o);
	o->nodelay = socket_number(s, IPPROTO_TCP, TCP_NODELAY);
	o->has_nodelay = o->nodelay;
	o->cork = socket_number(s, IPPROTO_TCP, TCP_CORK);
	o->has_cork = o->cork;
	if (o->has_nodelay || o->has_cork)
		e->tcp_opts = o;
	return 0;
}

static bool is_tcp(const InetSkEntry *e)
{
	return e->type == SOCK_STREAM && e->proto == IPPROTO_TCP;
}

static int dump_protocol(struct seen *s, InetSkEntry *e)
{
	if (e->type == SOCK_RAW) {
		e->state = e->dst_port ? TCP_ESTABLISHED : TCP_CLOSE;
		return 0;
	}
	return is_tcp(e) ? dump_tcp(s, e) : dump_udp(s, e);
}

static int inet_dump(struct seen *s, FileEntry *fe)
{
	InetSkEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	inet_sk_entry__init(e);
	fe->isk = e;
	e->id = fe->id;
	e->ino = (uint32_t)s->st.st_ino;
	e->flags = s->flags;
	e->family = (uint32_t)socket_number(s, SOL_SOCKET, SO_DOMAIN);
	e->type = (uint32_t)socket_number(s, SOL_SOCKET, SO_TYPE);
	e->proto = (uint32_t)socket_number(s, SOL_SOCKET, SO_PROTOCOL);
	if (e->type != SOCK_RAW && e->proto != IPPROTO_TCP && e->proto != IPPROTO_UDP)
		return file_refuse(s, "an IP socket that is neither TCP, UDP nor raw",
				   "it is not supported yet; close it");
	ret = put_addresses(s, e);
	if (ret == 0)
		ret = dump_protocol(s, e);
	if (ret == 0)
		ret = dump_ip_options(s, e);
	if (ret == 0 && e->type == SOCK_RAW)
		ret = inet_raw_dump(s, e);
	if (ret == 0 && is_tcp(e))
		ret = dump_tcp_options(s, e);
	if (ret == 0)
		ret = socket_netns(s, &e->ns_id);
	e->has_ns_id = e->ns_id != 0;
	if (ret == 0)
		ret = socket_options_dump(s, &e->opts);
	return ret < 0 ? ret : file_owner(s, &e->fown);
}

socklen_t inet_address_of(const InetSkEntry *e, const uint32_t *words, uint32_t port, union inet_address *a)
{
	memset(a, 0, sizeof(*a));
	a->any.sa_family = (sa_family_t)e->family;
	if (e->family == AF_INET) {
		a->v4.sin_port = htons((uint16_t)port);
		memcpy(&a->v4.sin_addr, words, sizeof(a->v4.sin_addr));
		return sizeof(a->v4);
	}
	a->v6.sin6_port = htons((uint16_t)port);
	memcpy(&a->v6.sin6_addr, words, sizeof(a->v6.sin6_addr));
	if (e->ifname)
		a->v6.sin6_scope_id = if_nametoindex(e->ifname);
	return sizeof(a->v6);
}

static int set(struct restore *r, const struct opened_file *f, int level, int name, int value)
{
	return setsockopt(f->fd, level, name, &value, sizeof(value)) < 0 ? opener_fail(r, errno, f, "setsockopt") : 0;
}

static int check_entry(struct restore *r, const InetSkEntry *e)
{
	size_t words = e->family == AF_INET ? 1 : 4;

	if ((e->family != AF_INET && e->family != AF_INET6) || e->n_src_addr < words || e->n_dst_addr < words)
		return diag_fail(r->diag, EPROTO, "files.img: the IP socket with id %u has no proper addresses", e->id);
	if (e->type != SOCK_RAW && e->proto != IPPROTO_TCP && e->proto != IPPROTO_UDP)
		return diag_fail(r->diag, ENOTSUP,
				 "the IP socket with id %u has protocol %u, which is not supported yet", e->id,
				 e->proto);
	return 0;
}

/*
 * Past connections of a socket without SO_REUSEADDR keep its port for a minute; it had the port all the same, so they
 * are ended before their time if they must.
 */
static int bind_again(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	union inet_address a;
	socklen_t len = inet_address_of(e, e->src_addr, e->src_port, &a);
	int code = bind(f->fd, &a.any, len) < 0 ? errno : 0;

	if (code == EADDRINUSE && e->proto == IPPROTO_TCP && sockdiag_end_waits((uint16_t)e->src_port) == 0)
		code = bind(f->fd, &a.any, len) < 0 ? errno : 0;
	if (code)
		return diag_fail(r->diag, code, "cannot bind a socket to port %u again: %s", e->src_port,
				 strerror(code));
	return 0;
}

/* Bound, and listening or connected. SO_REUSEADDR is on meanwhile, connections of the past shall not hinder. */
static int attach(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	union inet_address a;
	int ret = set(r, f, SOL_SOCKET, SO_REUSEADDR, 1);

	if (ret == 0 && e->opts->so_reuseport)
		ret = set(r, f, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ret == 0 && e->has_v6only && e->type != SOCK_RAW)
		ret = set(r, f, IPPROTO_IPV6, IPV6_V6ONLY, e->v6only);
	if (ret == 0 && e->ip_opts && e->ip_opts->freebind)
		ret = set(r, f, IPPROTO_IP, IP_FREEBIND, 1);
	if (ret == 0 && e->src_port)
		ret = bind_again(r, f);
	if (ret < 0)
		return ret;
	if (e->state == TCP_LISTEN && listen(f->fd, (int)e->backlog) < 0)
		return opener_fail(r, errno, f, "listen");
	if (e->dst_port && connect(f->fd, &a.any, inet_address_of(e, e->dst_addr, e->dst_port, &a)) < 0)
		return opener_fail(r, errno, f, "connect");
	return 0;
}

/* CRIU 4.2 has the times of keepalive here, and not among the options that all sockets have. */
static int restore_tcp_options(struct restore *r, const struct opened_file *f)
{
	const TcpOptsEntry *o = f->entry->isk->tcp_opts;
	int ret = 0;

	if (o && o->nodelay)
		ret = set(r, f, IPPROTO_TCP, TCP_NODELAY, 1);
	if (ret == 0 && o && o->cork)
		ret = set(r, f, IPPROTO_TCP, TCP_CORK, 1);
	if (ret == 0 && o && o->has_keepcnt)
		ret = set(r, f, IPPROTO_TCP, TCP_KEEPCNT, (int)o->keepcnt);
	if (ret == 0 && o && o->has_keepidle)
		ret = set(r, f, IPPROTO_TCP, TCP_KEEPIDLE, (int)o->keepidle);
	if (ret == 0 && o && o->has_keepintvl)
		ret = set(r, f, IPPROTO_TCP, TCP_KEEPINTVL, (int)o->keepintvl);
	return ret;
}

static int restore_ip_options(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	const IpOptsEntry *o = e->ip_opts;
	bool v4 = e->family == AF_INET;
	int ret = 0;

	if (o && o->pktinfo)
		ret = v4 ? set(r, f, IPPROTO_IP, IP_PKTINFO, 1) : set(r, f, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (ret == 0 && o && o->has_tos)
		ret = set(r, f, IPPROTO_IP, IP_TOS, (int)o->tos);
	if (ret == 0 && o && o->has_ttl)
		ret = set(r, f, IPPROTO_IP, IP_TTL, (int)o->ttl);
	return ret < 0 ? ret : restore_tcp_options(r, f);
}

static int inet_open(struct restore *r, struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	int ret = check_entry(r, e);

	if (ret == 0)
		ret = opener_socket(r, f, (int)e->family, (int)e->type, (int)e->proto);
	if (ret < 0)
		return ret;
	if (tcp_is_connection(r, e))
		ret = tcp_open(r, f);
	else if (!is_tcp(e) || e->state == TCP_LISTEN || !e->dst_port)
		ret = attach(r, f);
	else if (shutdown(f->fd, SHUT_RDWR) < 0 && errno != ENOTCONN) /* --tcp-close: reading says end of file */
		return opener_fail(r, errno, f, "shutdown");
	if (ret == 0)
		ret = restore_ip_options(r, f);
	if (ret == 0 && e->type == SOCK_RAW)
		ret = inet_raw_restore(r, f);
	return ret < 0 ? ret : opener_setup(r, f, e->flags, e->fown);
}

/* A connection that does not send any more, or gets nothing more, has a state that says so: CRIU notes both. */
static unsigned shutdown_to_do(const struct restore *r, const InetSkEntry *e)
{
	unsigned what = e->has_shutdown ? e->shutdown : SK_SHUTDOWN__NONE;

	if (!tcp_is_connection(r, e))
		return what;
	return tcp_fin_received(e->state) ? SK_SHUTDOWN__NONE : what & SK_SHUTDOWN__READ;
}

/* When all are bound: the options, among them whether others may bind to the same port. */
static int set_options(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	unsigned what = shutdown_to_do(r, e);
	int ret = socket_options_restore(r, f, e->opts);

	if (ret == 0 && what != SK_SHUTDOWN__NONE && shutdown(f->fd, (int)what - 1) < 0 && errno != ENOTCONN)
		return opener_fail(r, errno, f, "shutdown");
	return ret;
}

static int inet_finish(struct restore *r)
{
	int ret = 0;

	for_each_used (r, &inet_socket_kind, f) {
		ret = set_options(r, f);
		if (ret < 0)
			break;
	}
	return ret;
}

static void inet_free_dump(struct file_table *t)
{
	tcp_dump_free(t);
	idmap_free(&t->udp_shutdowns);
}

const struct file_kind inet_socket_kind = {
	.type = FD_TYPES__INETSK,
	.name = "IP socket",
	.member = offsetof(FileEntry, isk),
	.owner = offsetof(InetSkEntry, fown),
	.flags = offsetof(InetSkEntry, flags),
	.match = inet_match,
	.dump = inet_dump,
	.stop = tcp_dump,
	.free_dump = inet_free_dump,
	.open = inet_open,
	.finish = inet_finish,
	.free_restore = tcp_restore_free,
};
