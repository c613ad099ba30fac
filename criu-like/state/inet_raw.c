// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/inet_raw.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/arena.h"

#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif
#define FILTER_WORDS 8 /* of ICMPv6; ICMP has one */

/* The packets of ICMP that are filtered out. */
static int filter_name(const InetSkEntry *e, int *level)
{
	*level = e->family == AF_INET ? SOL_RAW : SOL_ICMPV6;
	return e->family == AF_INET ? ICMP_FILTER : ICMPV6_FILTER;
}

static bool has_filter(const InetSkEntry *e)
{
	return e->proto == (e->family == AF_INET ? (uint32_t)IPPROTO_ICMP : (uint32_t)IPPROTO_ICMPV6);
}

static int dump_filter(struct seen *s, const InetSkEntry *e, IpOptsRawEntry *o)
{
	uint32_t words[FILTER_WORDS];
	socklen_t len = e->family == AF_INET ? sizeof(*words) : sizeof(words);
	int level, name = filter_name(e, &level);

	if (!has_filter(e))
		return 0;
	if (getsockopt(s->lfd, level, name, words, &len) < 0)
		return file_fail(s, errno, "asking for the ICMP filter");
	o->n_icmpv_filter = len / sizeof(*words);
	o->icmpv_filter = arena_array(s->d->arena, FILTER_WORDS, sizeof(*words));
	if (!o->icmpv_filter)
		return no_memory(s->d->diag);
	memcpy(o->icmpv_filter, words, len);
	return 0;
}

int inet_raw_dump(struct seen *s, InetSkEntry *e)
{
	IpOptsRawEntry *o = arena_alloc(s->d->arena, sizeof(*o));
	bool v4 = e->family == AF_INET;

	if (!o)
		return no_memory(s->d->diag);
	if (!v4 && e->proto != IPPROTO_ICMPV6 && socket_number(s, IPPROTO_IPV6, IPV6_CHECKSUM) > 0)
		return file_refuse(s, "a raw socket with IPV6_CHECKSUM", "close it before the dump");
	ip_opts_raw_entry__init(o);
	e->ip_opts->raw = o;
	o->hdrincl = v4 ? socket_number(s, IPPROTO_IP, IP_HDRINCL) : socket_number(s, IPPROTO_IPV6, IPV6_HDRINCL);
	o->has_hdrincl = o->hdrincl;
	o->nodefrag = v4 && socket_number(s, IPPROTO_IP, IP_NODEFRAG);
	o->has_nodefrag = o->nodefrag;
	return dump_filter(s, e, o);
}

static int set(struct restore *r, const struct opened_file *f, int level, int name, const void *value, size_t len)
{
	return setsockopt(f->fd, level, name, value, (socklen_t)len) < 0 ? opener_fail(r, errno, f, "setsockopt") : 0;
}

int inet_raw_restore(struct restore *r, const struct opened_file *f)
{
	const InetSkEntry *e = f->entry->isk;
	const IpOptsRawEntry *o = e->ip_opts ? e->ip_opts->raw : NULL;
	bool v4 = e->family == AF_INET;
	int on = 1, level, name = filter_name(e, &level), ret = 0;

	if (o && o->hdrincl)
		ret = set(r, f, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_HDRINCL : IPV6_HDRINCL, &on, sizeof(on));
	if (ret == 0 && o && o->nodefrag)
		ret = set(r, f, IPPROTO_IP, IP_NODEFRAG, &on, sizeof(on));
	if (ret == 0 && o && o->n_icmpv_filter && has_filter(e))
		ret = set(r, f, level, name, o->icmpv_filter, o->n_icmpv_filter * sizeof(*o->icmpv_filter));
	return ret;
}
