// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table, as nft(8) would show it:
 *
 *	table inet NAME {
 *		set conns4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; }	(remote, local)
 *		set conns6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; }
 *		chain input {
 *			type filter hook input priority filter; policy accept;
 *			meta mark 0xc114 accept
 *			ip saddr . tcp sport . ip daddr . tcp dport @conns4 drop
 *			ip6 saddr . tcp sport . ip6 daddr . tcp dport @conns6 drop
 *		}
 *		chain output { the same with source and destination swapped }
 *	}
 *
 * It is made through netlink, linux/netfilter/nf_tables.h: messages between BATCH_BEGIN and BATCH_END are one
 * transaction. The kernel is done with it when the send returns, and has then queued what went wrong. All numbers are
 * big-endian.
 */
#include "criu-like/state/net_lock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

#define ELEMENTS_AT_ONCE 500 /* an attribute is at most 64 KiB */
#define MESSAGE_MAX 65536

/* A transaction: whole messages, one behind the other. */
struct transaction {
	uint8_t *data;
	size_t len;
	int error;
};

static struct nl_msg *begin(struct transaction *t, int type, int flags, uint8_t family, uint16_t resource)
{
	struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource) };
	struct nl_msg *m = nlmsg_alloc_size(MESSAGE_MAX);

	if (!m || !nlmsg_put(m, 0, 0, type, 0, NLM_F_REQUEST | flags) || nlmsg_append(m, &head, sizeof(head), 4) < 0)
		t->error = -ENOMEM;
	return m;
}

/* Append a message that is complete; it is gone then. */
static void end(struct transaction *t, struct nl_msg *m)
{
	if (m && !t->error) {
		const struct nlmsghdr *h = nlmsg_hdr(m);
		size_t len = NLMSG_ALIGN(h->nlmsg_len);

		uint8_t *data = realloc(t->data, t->len + len);

		if (data) {
			t->data = data;
			memset(data + t->len, 0, len);
			memcpy(data + t->len, h, h->nlmsg_len);
			t->len += len;
		} else {
			t->error = -ENOMEM;
		}
	}
	nlmsg_free(m);
}

static void bracket(struct transaction *t, int type)
{
	end(t, begin(t, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

static struct nl_msg *command(struct transaction *t, int type, int flags)
{
	return begin(t, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
}

static void put_number(struct nl_msg *m, int attr, uint32_t value)
{
	nla_put_u32(m, attr, htonl(value));
}

/* The first error that the kernel has queued. */
static int first_error(int sk)
{
	uint8_t buf[8192];
	ssize_t len = recv(sk, buf, sizeof(buf), MSG_DONTWAIT);
	const struct nlmsghdr *h = (const void *)buf;

	if (len < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (int left = (int)len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if (h->nlmsg_type == NLMSG_ERROR && ((const struct nlmsgerr *)NLMSG_DATA(h))->error)
			return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
	return 0;
}

static int send_all(const struct transaction *t)
{
	_cleanup_close_ int sk = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int room = (int)t->len * 2;

	if (sk < 0)
		return -errno;
	setsockopt(sk, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (sendto(sk, t->data, t->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return first_error(sk);
}

/* Send a transaction, unless something went wrong while it was made; it is gone then. */
static int commit(struct transaction *t)
{
	int ret;

	bracket(t, NFNL_MSG_BATCH_END);
	ret = t->error ? t->error : send_all(t);
	free(t->data);
	return ret;
}

static void add_table(struct transaction *t, const char *table)
{
	struct nl_msg *m = command(t, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);

	if (m)
		nla_put_string(m, NFTA_TABLE_NAME, table);
	end(t, m);
}

/* nft's numbers of the types of addresses, and of ports: six bits each. */
#define KEY_TYPE(address) ((address) << 18 | 13 << 12 | (address) << 6 | 13)

static const struct family {
	uint8_t nfproto;
	const char *set;
	uint32_t set_id, address;     /* bytes of an address */
	uint32_t type;		      /* of the key, for nft(8) to show */
	uint32_t source, destination; /* their offsets in the IP header */
} families[] = {
	{ NFPROTO_IPV4, "conns4", 1, 4, KEY_TYPE(7), 12, 16 },
	{ NFPROTO_IPV6, "conns6", 2, 16, KEY_TYPE(8), 8, 24 },
};

/* A port takes a word of the key, as all its parts take whole words. */
static uint32_t key_length(const struct family *f)
{
	return 2 * (f->address + sizeof(uint32_t));
}

static void add_set(struct transaction *t, const char *table, const struct family *f)
{
	struct nl_msg *m = command(t, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);

	if (m) {
		nla_put_string(m, NFTA_SET_TABLE, table);
		nla_put_string(m, NFTA_SET_NAME, f->set);
		put_number(m, NFTA_SET_FLAGS, 0);
		put_number(m, NFTA_SET_KEY_TYPE, f->type);
		put_number(m, NFTA_SET_KEY_LEN, key_length(f));
		put_number(m, NFTA_SET_ID, f->set_id);
	}
	end(t, m);
}

static void add_chain(struct transaction *t, const char *table, const char *chain, uint32_t hook)
{
	struct nl_msg *m = command(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *nest;

	if (m) {
		nla_put_string(m, NFTA_CHAIN_TABLE, table);
		nla_put_string(m, NFTA_CHAIN_NAME, chain);
		nest = nla_nest_start(m, NFTA_CHAIN_HOOK);
		put_number(m, NFTA_HOOK_HOOKNUM, hook);
		put_number(m, NFTA_HOOK_PRIORITY, 0);
		nla_nest_end(m, nest);
		nla_put_string(m, NFTA_CHAIN_TYPE, "filter");
	}
	end(t, m);
}

/* Expressions of a rule: each puts something into a register, or ends the rule when it does not fit. */

static struct nlattr *expr_begin(struct nl_msg *m, const char *name, struct nlattr **data)
{
	struct nlattr *elem = nla_nest_start(m, NFTA_LIST_ELEM);

	nla_put_string(m, NFTA_EXPR_NAME, name);
	*data = nla_nest_start(m, NFTA_EXPR_DATA);
	return elem;
}

static void expr_end(struct nl_msg *m, struct nlattr *elem, struct nlattr *data)
{
	nla_nest_end(m, data);
	nla_nest_end(m, elem);
}

/* Is what the packet says about @key this? @value: as it stands in the register */
static void expr_meta_is(struct nl_msg *m, uint32_t key, const void *value, int len)
{
	struct nlattr *data, *elem = expr_begin(m, "meta", &data), *nest;

	put_number(m, NFTA_META_DREG, NFT_REG32_00);
	put_number(m, NFTA_META_KEY, key);
	expr_end(m, elem, data);
	elem = expr_begin(m, "cmp", &data);
	put_number(m, NFTA_CMP_SREG, NFT_REG32_00);
	put_number(m, NFTA_CMP_OP, NFT_CMP_EQ);
	nest = nla_nest_start(m, NFTA_CMP_DATA);
	nla_put(m, NFTA_DATA_VALUE, len, value);
	nla_nest_end(m, nest);
	expr_end(m, elem, data);
}

static void expr_payload(struct nl_msg *m, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
	struct nlattr *data, *elem = expr_begin(m, "payload", &data);

	put_number(m, NFTA_PAYLOAD_DREG, reg);
	put_number(m, NFTA_PAYLOAD_BASE, base);
	put_number(m, NFTA_PAYLOAD_OFFSET, offset);
	put_number(m, NFTA_PAYLOAD_LEN, len);
	expr_end(m, elem, data);
}

static void expr_lookup(struct nl_msg *m, const struct family *f)
{
	struct nlattr *data, *elem = expr_begin(m, "lookup", &data);

	nla_put_string(m, NFTA_LOOKUP_SET, f->set);
	put_number(m, NFTA_LOOKUP_SET_ID, f->set_id);
	put_number(m, NFTA_LOOKUP_SREG, NFT_REG32_00);
	expr_end(m, elem, data);
}

static void expr_verdict(struct nl_msg *m, uint32_t verdict)
{
	struct nlattr *data, *elem = expr_begin(m, "immediate", &data), *value, *nest;

	put_number(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = nla_nest_start(m, NFTA_IMMEDIATE_DATA);
	nest = nla_nest_start(m, NFTA_DATA_VERDICT);
	put_number(m, NFTA_VERDICT_CODE, verdict);
	nla_nest_end(m, nest);
	nla_nest_end(m, value);
	expr_end(m, elem, data);
}

static struct nl_msg *rule_begin(struct transaction *t, const char *table, const char *chain, struct nlattr **list)
{
	struct nl_msg *m = command(t, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);

	if (!m)
		return NULL;
	nla_put_string(m, NFTA_RULE_TABLE, table);
	nla_put_string(m, NFTA_RULE_CHAIN, chain);
	*list = nla_nest_start(m, NFTA_RULE_EXPRESSIONS);
	return m;
}

static void add_pass(struct transaction *t, const char *table, const char *chain)
{
	const uint32_t mark = NET_LOCK_MARK; /* the mark is in the host's byte order */
	struct nlattr *list;
	struct nl_msg *m = rule_begin(t, table, chain, &list);

	if (m) {
		expr_meta_is(m, NFT_META_MARK, &mark, sizeof(mark));
		expr_verdict(m, NF_ACCEPT);
		nla_nest_end(m, list);
	}
	end(t, m);
}

/* @in: the packet comes from the remote end */
static void add_drop(struct transaction *t, const char *table, const char *chain, const struct family *f, bool in)
{
	const uint32_t words = f->address / (uint32_t)sizeof(uint32_t);
	const uint8_t tcp = IPPROTO_TCP;
	struct nlattr *list;
	struct nl_msg *m = rule_begin(t, table, chain, &list);

	if (m) {
		expr_meta_is(m, NFT_META_NFPROTO, &f->nfproto, 1);
		expr_meta_is(m, NFT_META_L4PROTO, &tcp, 1);
		expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER, in ? f->source : f->destination, f->address, NFT_REG32_00);
		expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, in ? 0 : 2, 2, NFT_REG32_00 + words);
		expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER, in ? f->destination : f->source, f->address,
			     NFT_REG32_00 + words + 1);
		expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, in ? 2 : 0, 2, NFT_REG32_00 + 2 * words + 1);
		expr_lookup(m, f);
		expr_verdict(m, NF_DROP);
		nla_nest_end(m, list);
	}
	end(t, m);
}

static int create_table(const char *table)
{
	struct transaction t = { 0 };

	bracket(&t, NFNL_MSG_BATCH_BEGIN);
	add_table(&t, table);
	add_chain(&t, table, "input", NF_INET_LOCAL_IN);
	add_chain(&t, table, "output", NF_INET_LOCAL_OUT);
	add_pass(&t, table, "input");
	add_pass(&t, table, "output");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		add_set(&t, table, &families[i]);
		add_drop(&t, table, "input", &families[i], true);
		add_drop(&t, table, "output", &families[i], false);
	}
	return commit(&t);
}

static void put_element(struct nl_msg *m, const struct family *f, const struct net_connection *c)
{
	uint8_t key[64] = { 0 }, *at = key;
	struct nlattr *elem = nla_nest_start(m, NFTA_LIST_ELEM), *nest = nla_nest_start(m, NFTA_SET_ELEM_KEY);

	memcpy(at, c->remote, f->address);
	at += f->address;
	memcpy(at, &c->remote_port, sizeof(c->remote_port));
	at += sizeof(uint32_t);
	memcpy(at, c->local, f->address);
	at += f->address;
	memcpy(at, &c->local_port, sizeof(c->local_port));
	nla_put(m, NFTA_DATA_VALUE, (int)key_length(f), key);
	nla_nest_end(m, nest);
	nla_nest_end(m, elem);
}

/* Some of the connections of a family, from @first on. @first: moved on */
static int add_some(const char *table, const struct family *f, const struct net_connection *conns, size_t nr,
		    size_t *first)
{
	struct transaction t = { 0 };
	struct nlattr *list;
	struct nl_msg *m;
	unsigned put = 0;

	bracket(&t, NFNL_MSG_BATCH_BEGIN);
	m = command(&t, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	if (m) {
		nla_put_string(m, NFTA_SET_ELEM_LIST_TABLE, table);
		nla_put_string(m, NFTA_SET_ELEM_LIST_SET, f->set);
		list = nla_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (; *first < nr && put < ELEMENTS_AT_ONCE; ++*first)
			if ((conns[*first].family == AF_INET) == (f->nfproto == NFPROTO_IPV4)) {
				put_element(m, f, &conns[*first]);
				put++;
			}
		nla_nest_end(m, list);
	}
	end(&t, m);
	if (put)
		return commit(&t);
	free(t.data);
	return t.error;
}

int net_lock_create(const char *table, const struct net_connection *conns, size_t nr)
{
	int ret = create_table(table);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		for (size_t first = 0; first < nr && ret == 0;)
			ret = add_some(table, &families[i], conns, nr, &first);
	if (ret < 0)
		net_lock_remove(table);
	return ret;
}

int net_lock_remove(const char *table)
{
	struct transaction t = { 0 };
	struct nl_msg *m;

	bracket(&t, NFNL_MSG_BATCH_BEGIN);
	m = command(&t, NFT_MSG_DELTABLE, 0);
	if (m)
		nla_put_string(m, NFTA_TABLE_NAME, table);
	end(&t, m);
	return commit(&t);
}
