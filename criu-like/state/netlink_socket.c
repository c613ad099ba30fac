// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets to the kernel, netlink(7). What waits to be read came from the kernel, which alone can send it, so such a
 * socket is refused: a program that waits for an answer would wait for ever without it.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"

#define GROUP_WORDS_MAX 64 /* of 32 groups each */

enum { UNCONNECTED, CONNECTED }; /* in the image, as sock_diag(7) says it */

/* Options that are on or off: bit N of thaw_file_entry.netlink_options is option N. */
static const int switches[] = { NETLINK_PKTINFO,	 NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
				NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK,	  NETLINK_EXT_ACK,
				NETLINK_GET_STRICT_CHK };

static bool netlink_match(const struct seen *s)
{
	return S_ISSOCK(s->st.st_mode) && socket_number(s, SOL_SOCKET, SO_DOMAIN) == AF_NETLINK;
}

static int dump_addresses(struct seen *s, NetlinkSkEntry *e)
{
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	if (getsockname(s->lfd, (struct sockaddr *)&own, &own_len) < 0 ||
	    getpeername(s->lfd, (struct sockaddr *)&peer, &peer_len) < 0)
		return file_fail(s, errno, "asking for the addresses");
	e->portid = own.nl_pid;
	e->dst_portid = peer.nl_pid;
	e->dst_group = peer.nl_groups ? (uint32_t)__builtin_ctz(peer.nl_groups) + 1 : 0;
	e->state = e->dst_portid || e->dst_group ? CONNECTED : UNCONNECTED;
	return 0;
}

static int dump_groups(struct seen *s, NetlinkSkEntry *e)
{
	uint32_t words[GROUP_WORDS_MAX] = { 0 };
	socklen_t len = sizeof(words);

	if (getsockopt(s->lfd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &len) < 0)
		return file_fail(s, errno, "NETLINK_LIST_MEMBERSHIPS");
	e->n_groups = MIN((size_t)len / sizeof(*words), (size_t)GROUP_WORDS_MAX);
	while (e->n_groups && !words[e->n_groups - 1])
		e->n_groups--;
	e->groups = arena_array(s->d->arena, e->n_groups + 1, sizeof(*words));
	if (!e->groups)
		return no_memory(s->d->diag);
	memcpy(e->groups, words, e->n_groups * sizeof(*words));
	return 0;
}

static int dump_switches(struct seen *s, uint32_t id)
{
	ThawFileEntry *extra;
	uint32_t options = 0;

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (socket_number(s, SOL_NETLINK, switches[i]))
			options |= 1U << switches[i];
	if (!options)
		return 0;
	extra = file_extra(s->d, id);
	if (!extra)
		return no_memory(s->d->diag);
	extra->has_netlink_options = true;
	extra->netlink_options = options;
	return 0;
}

static int netlink_dump(struct seen *s, FileEntry *fe)
{
	NetlinkSkEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	struct pollfd p = { .fd = s->lfd, .events = POLLIN };
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	if (poll(&p, 1, 0) == 1 && p.revents & POLLIN)
		return file_refuse(s, "a netlink socket with messages that wait to be read",
				   "only the kernel could send them again; dump again when the program has read them");
	netlink_sk_entry__init(e);
	fe->nlsk = e;
	e->id = fe->id;
	e->ino = (uint32_t)s->st.st_ino;
	e->flags = s->flags;
	e->protocol = (uint32_t)socket_number(s, SOL_SOCKET, SO_PROTOCOL);
	ret = dump_addresses(s, e);
	if (ret == 0)
		ret = dump_groups(s, e);
	if (ret == 0)
		ret = dump_switches(s, e->id);
	if (ret == 0)
		ret = socket_netns(s, &e->ns_id);
	e->has_ns_id = e->ns_id != 0;
	if (ret == 0)
		ret = socket_options_dump(s, &e->opts);
	return ret < 0 ? ret : file_owner(s, &e->fown);
}

static int join_groups(struct restore *r, const struct opened_file *f)
{
	const NetlinkSkEntry *e = f->entry->nlsk;

	for (size_t i = 0; i < MIN(e->n_groups, (size_t)GROUP_WORDS_MAX) * 32; i++) {
		int group = (int)i + 1;

		if (e->groups[i / 32] & 1U << i % 32 &&
		    setsockopt(f->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return opener_fail(r, errno, f, "NETLINK_ADD_MEMBERSHIP");
	}
	return 0;
}

static int attach(struct restore *r, const struct opened_file *f)
{
	const NetlinkSkEntry *e = f->entry->nlsk;
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = e->portid };
	struct sockaddr_nl peer = { .nl_family = AF_NETLINK, .nl_pid = e->dst_portid };
	const int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (f->extra && f->extra->netlink_options & 1U << switches[i] &&
		    setsockopt(f->fd, SOL_NETLINK, switches[i], &on, sizeof(on)) < 0)
			return opener_fail(r, errno, f, "setsockopt");
	if (e->portid && bind(f->fd, (struct sockaddr *)&own, sizeof(own)) < 0)
		return diag_fail(r->diag, errno, "cannot bind a netlink socket to port id %u again: %s", e->portid,
				 strerror(errno));
	if (e->dst_group > 32)
		return diag_fail(r->diag, EPROTO, "files.img: the netlink socket with id %u has group %u as its peer",
				 e->id, e->dst_group);
	peer.nl_groups = e->dst_group ? 1U << (e->dst_group - 1) : 0;
	if (e->state == CONNECTED && connect(f->fd, (struct sockaddr *)&peer, sizeof(peer)) < 0)
		return opener_fail(r, errno, f, "connect");
	return join_groups(r, f);
}

static int netlink_open(struct restore *r, struct opened_file *f)
{
	const NetlinkSkEntry *e = f->entry->nlsk;
	int ret = opener_socket(r, f, AF_NETLINK, SOCK_RAW, (int)e->protocol);

	if (ret == 0)
		ret = attach(r, f);
	if (ret == 0)
		ret = socket_options_restore(r, f, e->opts);
	return ret < 0 ? ret : opener_setup(r, f, e->flags, e->fown);
}

const struct file_kind netlink_socket_kind = {
	.type = FD_TYPES__NETLINKSK,
	.name = "netlink socket",
	.member = offsetof(FileEntry, nlsk),
	.owner = offsetof(NetlinkSkEntry, fown),
	.flags = offsetof(NetlinkSkEntry, flags),
	.match = netlink_match,
	.dump = netlink_dump,
	.open = netlink_open,
};
