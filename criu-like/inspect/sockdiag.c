// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/util.h"

/* libnl's own error numbers, those that stand for an errno. */
static int nl_errno(int err)
{
	switch (-err) {
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
		return -EPERM;
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	default:
		return -EIO;
	}
}

/* Ask for a dump, and have @take called with each message of the answer. */
static int ask(void *request, size_t len, nl_recvmsg_msg_cb_t take, void *arg)
{
	struct nl_sock *sk = nl_socket_alloc();
	int ret;

	if (!sk)
		return -ENOMEM;
	nl_socket_set_buffer_size(sk, 1 << 20, 0);
	nl_socket_disable_seq_check(sk);
	nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, take, arg);
	ret = nl_connect(sk, NETLINK_SOCK_DIAG);
	if (ret >= 0)
		ret = nl_send_simple(sk, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request, len);
	if (ret >= 0)
		ret = nl_recvmsgs_default(sk);
	nl_socket_free(sk);
	return ret < 0 ? nl_errno(ret) : 0;
}

static int take_pending(struct nlattr *attr, struct sockdiag_unix *s)
{
	size_t len = (size_t)nla_len(attr);

	s->pending = malloc(len + 1);
	if (!s->pending)
		return -ENOMEM;
	memcpy(s->pending, nla_data(attr), len);
	s->nr_pending = len / sizeof(uint32_t);
	return 0;
}

static int parse_unix(struct nl_msg *msg, struct sockdiag_unix_list *list)
{
	struct nlattr *tb[UNIX_DIAG_MAX + 1];
	const struct unix_diag_msg *m = nlmsg_data(nlmsg_hdr(msg));
	struct sockdiag_unix *s;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*m), tb, UNIX_DIAG_MAX, NULL) < 0)
		return -EPROTO;
	if (grow(&list->socks, list->nr, &list->cap, sizeof(*list->socks)) < 0)
		return -ENOMEM;
	s = &list->socks[list->nr++];
	*s = (struct sockdiag_unix){ .ino = m->udiag_ino, .type = m->udiag_type, .state = m->udiag_state };
	if (tb[UNIX_DIAG_NAME]) {
		s->name_len = MIN((size_t)nla_len(tb[UNIX_DIAG_NAME]), sizeof(s->name));
		memcpy(s->name, nla_data(tb[UNIX_DIAG_NAME]), s->name_len);
	}
	if (tb[UNIX_DIAG_PEER])
		s->peer = nla_get_u32(tb[UNIX_DIAG_PEER]);
	if (tb[UNIX_DIAG_SHUTDOWN])
		s->shutdown = nla_get_u8(tb[UNIX_DIAG_SHUTDOWN]);
	if (tb[UNIX_DIAG_RQLEN]) {
		const struct unix_diag_rqlen *len = nla_data(tb[UNIX_DIAG_RQLEN]);

		s->rqueue = len->udiag_rqueue;
		s->wqueue = len->udiag_wqueue;
	}
	return tb[UNIX_DIAG_ICONS] ? take_pending(tb[UNIX_DIAG_ICONS], s) : 0;
}

static int take_unix(struct nl_msg *msg, void *arg)
{
	struct sockdiag_unix_list *list = arg;

	list->error = parse_unix(msg, list);
	return list->error ? NL_STOP : NL_OK;
}

int sockdiag_unix(struct sockdiag_unix_list *out)
{
	struct unix_diag_req req = {
		.sdiag_family = AF_UNIX,
		.udiag_states = UINT32_MAX,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN,
	};
	int ret;

	*out = (struct sockdiag_unix_list){ 0 };
	ret = ask(&req, sizeof(req), take_unix, out);
	return ret < 0 ? ret : out->error;
}

void sockdiag_unix_free(struct sockdiag_unix_list *list)
{
	for (size_t i = 0; i < list->nr; i++)
		free(list->socks[i].pending);
	free(list->socks);
	*list = (struct sockdiag_unix_list){ 0 };
}

static int take_udp(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[INET_DIAG_MAX + 1];
	const struct inet_diag_msg *m = nlmsg_data(nlmsg_hdr(msg));
	uintptr_t shutdown = 0;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*m), tb, INET_DIAG_MAX, NULL) >= 0 && tb[INET_DIAG_SHUTDOWN])
		shutdown = nla_get_u8(tb[INET_DIAG_SHUTDOWN]);
	if (shutdown && idmap_put(arg, m->idiag_inode, (void *)shutdown) < 0)
		return -NLE_NOMEM;
	return NL_OK;
}

int sockdiag_udp_shutdowns(struct idmap *out)
{
	struct inet_diag_req_v2 req = { .sdiag_family = AF_INET,
					.sdiag_protocol = IPPROTO_UDP,
					.idiag_states = UINT32_MAX };
	int ret = ask(&req, sizeof(req), take_udp, out);

	req.sdiag_family = AF_INET6;
	return ret < 0 ? ret : ask(&req, sizeof(req), take_udp, out);
}

struct waits {
	struct inet_diag_req_v2 *reqs; /* one for each, that would end it */
	size_t nr, cap;
};

static int take_wait(struct nl_msg *msg, void *arg)
{
	const struct inet_diag_msg *m = nlmsg_data(nlmsg_hdr(msg));
	struct waits *waits = arg;

	if (m->idiag_state != TCP_TIME_WAIT)
		return NL_OK;
	if (grow(&waits->reqs, waits->nr, &waits->cap, sizeof(*waits->reqs)) < 0)
		return -NLE_NOMEM;
	waits->reqs[waits->nr++] = (struct inet_diag_req_v2){ .sdiag_family = m->idiag_family,
							      .sdiag_protocol = IPPROTO_TCP,
							      .idiag_states = 1 << TCP_TIME_WAIT,
							      .id = m->id };
	return NL_OK;
}

static int destroy(const struct waits *waits)
{
	struct nl_sock *sk = nl_socket_alloc();
	int ret = sk ? nl_connect(sk, NETLINK_SOCK_DIAG) : -NLE_NOMEM;

	for (size_t i = 0; ret >= 0 && i < waits->nr; i++) {
		ret = nl_send_simple(sk, SOCK_DESTROY, NLM_F_ACK, &waits->reqs[i], sizeof(waits->reqs[i]));
		if (ret >= 0)
			ret = nl_wait_for_ack(sk);
		if (ret == -NLE_OBJ_NOTFOUND)
			ret = 0; /* its time is over */
	}
	nl_socket_free(sk);
	return ret < 0 ? nl_errno(ret) : 0;
}

int sockdiag_end_waits(uint16_t port)
{
	struct inet_diag_req_v2 req = { .sdiag_family = AF_INET,
					.sdiag_protocol = IPPROTO_TCP,
					.idiag_states = 1 << TCP_TIME_WAIT,
					.id.idiag_sport = htons(port) };
	struct waits waits = { 0 };
	int ret = ask(&req, sizeof(req), take_wait, &waits);

	req.sdiag_family = AF_INET6;
	if (ret == 0)
		ret = ask(&req, sizeof(req), take_wait, &waits);
	if (ret == 0)
		ret = destroy(&waits);
	free(waits.reqs);
	return ret;
}

static int parse_packet(struct nl_msg *msg, struct sockdiag_packet *p)
{
	struct nlattr *tb[PACKET_DIAG_MAX + 1];
	const struct packet_diag_msg *m = nlmsg_data(nlmsg_hdr(msg));
	const struct nlattr *list;

	if (m->pdiag_ino != p->ino)
		return 0;
	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*m), tb, PACKET_DIAG_MAX, NULL) < 0 || !tb[PACKET_DIAG_INFO] ||
	    nla_len(tb[PACKET_DIAG_INFO]) < (int)sizeof(p->info))
		return -EPROTO;
	p->found = true;
	p->type = m->pdiag_type;
	p->protocol = m->pdiag_num;
	memcpy(&p->info, nla_data(tb[PACKET_DIAG_INFO]), sizeof(p->info));
	list = tb[PACKET_DIAG_MCLIST];
	if (list) {
		p->members = malloc((size_t)nla_len(list) + 1);
		if (!p->members)
			return -ENOMEM;
		memcpy(p->members, nla_data(list), (size_t)nla_len(list));
		p->nr_members = (size_t)nla_len(list) / sizeof(*p->members);
	}
	p->has_fanout = tb[PACKET_DIAG_FANOUT] != NULL;
	p->fanout = p->has_fanout ? nla_get_u32(tb[PACKET_DIAG_FANOUT]) : 0;
	p->rings = tb[PACKET_DIAG_RX_RING] || tb[PACKET_DIAG_TX_RING];
	return 0;
}

static int take_packet(struct nl_msg *msg, void *arg)
{
	struct sockdiag_packet *p = arg;

	p->error = parse_packet(msg, p);
	return p->error ? NL_STOP : NL_OK;
}

int sockdiag_packet(uint64_t ino, struct sockdiag_packet *out)
{
	struct packet_diag_req req = {
		.sdiag_family = AF_PACKET,
		.pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG | PACKET_SHOW_FANOUT,
	};
	int ret;

	*out = (struct sockdiag_packet){ .ino = (uint32_t)ino };
	ret = ask(&req, sizeof(req), take_packet, out);
	if (ret == 0)
		ret = out->error;
	return ret < 0 || out->found ? ret : -ENOENT;
}
