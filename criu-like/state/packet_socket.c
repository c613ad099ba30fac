// SPDX-License-Identifier: GPL-2.0-only
/* Packet sockets, packet(7). What waits in one is lost, as packets may be. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/packet_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/inspect/sockdiag.h"
#include "criu-like/state/file_kind.h"

#define ADDRESS_MAX 32

/* packet_mreq with room for every address. */
struct membership {
	int index;
	unsigned short type, address_len;
	unsigned char address[ADDRESS_MAX];
};

static bool packet_match(const struct seen *s)
{
	int family = 0;
	socklen_t len = sizeof(family);

	return S_ISSOCK(s->st.st_mode) && getsockopt(s->lfd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
	       family == AF_PACKET;
}

static int dump_members(struct seen *s, const struct sockdiag_packet *p, PacketSockEntry *e)
{
	PacketMclist *list = arena_array(s->d->arena, p->nr_members + 1, sizeof(*list));

	e->mclist = arena_array(s->d->arena, p->nr_members + 1, sizeof(*e->mclist));
	if (!list || !e->mclist)
		return no_memory(s->d->diag);
	for (; e->n_mclist < p->nr_members; e->n_mclist++) {
		const struct packet_diag_mclist *m = &p->members[e->n_mclist];
		PacketMclist *to = &list[e->n_mclist];
		bool addressed = m->pdmc_type == PACKET_MR_MULTICAST || m->pdmc_type == PACKET_MR_UNICAST;

		packet_mclist__init(to);
		to->index = m->pdmc_index;
		to->type = m->pdmc_type;
		to->addr.len = addressed ? MIN(m->pdmc_alen, sizeof(m->pdmc_addr)) : 0;
		to->addr.data = arena_alloc(s->d->arena, sizeof(m->pdmc_addr));
		if (!to->addr.data)
			return no_memory(s->d->diag);
		memcpy(to->addr.data, m->pdmc_addr, to->addr.len);
		e->mclist[e->n_mclist] = to;
	}
	return 0;
}

static int dump_packet(struct seen *s, const struct sockdiag_packet *p, PacketSockEntry *e)
{
	if (p->rings)
		return file_refuse(s, "a packet socket with rings in memory", "they are not supported yet; close it");
	e->type = p->type;
	e->protocol = htons(p->protocol);
	e->ifindex = p->info.pdi_index;
	e->version = p->info.pdi_version;
	e->reserve = p->info.pdi_reserve;
	e->timestamp = p->info.pdi_tstamp;
	e->copy_thresh = p->info.pdi_copy_thresh;
	e->aux_data = p->info.pdi_flags & PDI_AUXDATA;
	e->orig_dev = p->info.pdi_flags & PDI_ORIGDEV;
	e->vnet_hdr = p->info.pdi_flags & PDI_VNETHDR;
	e->loss = p->info.pdi_flags & PDI_LOSS;
	e->has_fanout = p->has_fanout;
	e->fanout = p->fanout;
	return dump_members(s, p, e);
}

static int packet_dump(struct seen *s, FileEntry *fe)
{
	PacketSockEntry *e = arena_alloc(s->d->arena, sizeof(*e));
	struct sockdiag_packet p;
	int ret;

	if (!e)
		return no_memory(s->d->diag);
	packet_sock_entry__init(e);
	fe->psk = e;
	e->id = fe->id;
	e->flags = s->flags;
	ret = socket_netns(s, &e->ns_id);
	if (ret < 0)
		return ret;
	e->has_ns_id = e->ns_id != 0;
	ret = sockdiag_packet(s->st.st_ino, &p);
	ret = ret < 0 ? file_fail(s, -ret, "sock_diag") : dump_packet(s, &p, e);
	free(p.members);
	if (ret == 0)
		ret = socket_options_dump(s, &e->opts);
	return ret < 0 ? ret : file_owner(s, &e->fown);
}

static int set(struct restore *r, const struct opened_file *f, int name, const void *value, size_t len)
{
	return setsockopt(f->fd, SOL_PACKET, name, value, (socklen_t)len) < 0 ? opener_fail(r, errno, f, "setsockopt")
									      : 0;
}

static int set_flag(struct restore *r, const struct opened_file *f, int name, bool on)
{
	int value = 1;

	return on ? set(r, f, name, &value, sizeof(value)) : 0;
}

static int set_number(struct restore *r, const struct opened_file *f, int name, uint32_t value)
{
	return value ? set(r, f, name, &value, sizeof(value)) : 0;
}

static int join(struct restore *r, const struct opened_file *f)
{
	const PacketSockEntry *e = f->entry->psk;
	int ret = 0;

	for (size_t i = 0; i < e->n_mclist && ret == 0; i++) {
		const PacketMclist *from = e->mclist[i];
		struct membership m = { .index = (int)from->index,
					.type = (unsigned short)from->type,
					.address_len = (unsigned short)from->addr.len };

		if (from->addr.len > sizeof(m.address))
			return opener_fail(r, EPROTO, f, "an address that is too long");
		if (from->addr.len) /* else data is NULL */
			memcpy(m.address, from->addr.data, from->addr.len);
		ret = set(r, f, PACKET_ADD_MEMBERSHIP, &m, sizeof(m));
	}
	return ret;
}

static int attach(struct restore *r, const struct opened_file *f)
{
	const PacketSockEntry *e = f->entry->psk;
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = (uint16_t)e->protocol,
				 .sll_ifindex = (int)e->ifindex };
	int ret = 0;

	if (e->rx_ring || e->tx_ring)
		return diag_fail(r->diag, ENOTSUP,
				 "the packet socket with id %u has rings, which are not supported yet", e->id);
	if (e->ifindex && bind(f->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return opener_fail(r, errno, f, "bind");
	ret = set_number(r, f, PACKET_VERSION, e->version);
	if (ret == 0)
		ret = set_number(r, f, PACKET_RESERVE, e->reserve);
	if (ret == 0)
		ret = set_number(r, f, PACKET_TIMESTAMP, e->timestamp);
	if (ret == 0)
		ret = set_number(r, f, PACKET_COPY_THRESH, e->copy_thresh);
	if (ret == 0)
		ret = set_flag(r, f, PACKET_AUXDATA, e->aux_data);
	if (ret == 0)
		ret = set_flag(r, f, PACKET_ORIGDEV, e->orig_dev);
	if (ret == 0)
		ret = set_flag(r, f, PACKET_VNET_HDR, e->vnet_hdr);
	if (ret == 0)
		ret = set_flag(r, f, PACKET_LOSS, e->loss);
	if (ret == 0)
		ret = join(r, f);
	return ret < 0 || !e->has_fanout ? ret : set(r, f, PACKET_FANOUT, &e->fanout, sizeof(e->fanout));
}

static int packet_open(struct restore *r, struct opened_file *f)
{
	const PacketSockEntry *e = f->entry->psk;
	int ret = opener_socket(r, f, AF_PACKET, (int)e->type, (int)e->protocol);

	if (ret == 0)
		ret = attach(r, f);
	if (ret == 0)
		ret = socket_options_restore(r, f, e->opts);
	return ret < 0 ? ret : opener_setup(r, f, e->flags, e->fown);
}

const struct file_kind packet_socket_kind = {
	.type = FD_TYPES__PACKETSK,
	.name = "packet socket",
	.member = offsetof(FileEntry, psk),
	.owner = offsetof(PacketSockEntry, fown),
	.flags = offsetof(PacketSockEntry, flags),
	.match = packet_match,
	.dump = packet_dump,
	.open = packet_open,
};
