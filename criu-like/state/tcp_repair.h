/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TCP_REPAIR_H
#define THAW_STATE_TCP_REPAIR_H

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "criu-like/process.h"
#include "criu-like/state/net_lock.h"

/* What both halves of TCP connections know. Inside tcp.c and tcp_restore.c only. */

/* InventoryEntry.network_lock_method */
enum { NETWORK_LOCK_IPTABLES, NETWORK_LOCK_NFTABLES, NETWORK_LOCK_SKIP };

#define TCP_STATES(...)                                                \
	({                                                             \
		static const uint8_t _in[] = { __VA_ARGS__ };          \
		bool _found = false;                                   \
		for (size_t _i = 0; _i < sizeof(_in) && !_found; _i++) \
			_found = _in[_i] == state;                     \
		_found;                                                \
	})

/** tcp_skips_lock() - Is this --network-lock skip? */
static inline bool tcp_skips_lock(const char *method)
{
	return method && !strcmp(method, "skip");
}

/** tcp_fin_sent() - Is a FIN in the send queue, or was one there? */
static inline bool tcp_fin_sent(uint32_t state)
{
	return TCP_STATES(TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSING, TCP_LAST_ACK, TCP_CLOSE);
}

/** tcp_fin_received() - Was a FIN received? */
static inline bool tcp_fin_received(uint32_t state)
{
	return TCP_STATES(TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING, TCP_CLOSE);
}

/** tcp_fin_acked() - Was the FIN that was sent acknowledged? */
static inline bool tcp_fin_acked(uint32_t state)
{
	return TCP_STATES(TCP_FIN_WAIT2, TCP_CLOSE);
}

/** tcp_repair() - Switch repair mode. Return: 0, or -errno */
static inline int tcp_repair(int fd, int mode)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &mode, sizeof(mode)) < 0 ? -errno : 0;
}

/**
 * tcp_lock_name() - The name of the lock's table
 * @run_id: of the dump, or NULL
 * @root: pid of the tree's root, for dumps without such a number
 * @name: NET_LOCK_NAME_MAX bytes
 */
void tcp_lock_name(const char *run_id, pid_t root, char *name);

/** tcp_fill() - The addresses of a connection for its lock; IPv4 in IPv6 is IPv4 on the wire */
void tcp_fill(const InetSkEntry *e, struct net_connection *c);

#endif
