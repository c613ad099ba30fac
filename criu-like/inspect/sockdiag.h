/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_SOCKDIAG_H
#define THAW_INSPECT_SOCKDIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/packet_diag.h>

#include "common/idmap.h"

/* What sock_diag(7) says about the sockets of the caller's network namespace. */

#define SOCKDIAG_NAME_MAX 108

struct sockdiag_unix {
	uint32_t ino, type, state;
	uint32_t peer; /* inode, 0: none */
	uint8_t name[SOCKDIAG_NAME_MAX + 1];
	size_t name_len;   /* bytes of sun_path, with its NUL for a path */
	uint32_t *pending; /* a listener's: inodes of clients that wait to be accepted, 0: closed since; malloc'ed */
	size_t nr_pending;
	uint32_t rqueue, wqueue; /* bytes; a listener's: connections waiting, and at most waiting */
	uint8_t shutdown;	 /* 1: reading, 2: writing */
};

struct sockdiag_unix_list {
	struct sockdiag_unix *socks;
	size_t nr, cap;
	int error;
};

/** sockdiag_unix() - All UNIX sockets. Return: 0, or -errno; free with sockdiag_unix_free() in both cases */
int sockdiag_unix(struct sockdiag_unix_list *out);

/** sockdiag_unix_free() - Free a list */
void sockdiag_unix_free(struct sockdiag_unix_list *list);

struct sockdiag_packet {
	uint32_t ino;
	bool found;
	int type;
	uint16_t protocol;
	struct packet_diag_info info;
	struct packet_diag_mclist *members; /* malloc'ed */
	size_t nr_members;
	bool has_fanout, rings;
	uint32_t fanout;
	int error;
};

/** sockdiag_packet() - The packet socket with an inode. @out: the caller frees members, in any case. Return: 0, or
 * -errno (-ENOENT: it is not listed) */
int sockdiag_packet(uint64_t ino, struct sockdiag_packet *out);

/**
 * sockdiag_udp_shutdowns() - Which UDP sockets have been shut down, over IPv4 and IPv6
 * @out: inode -> 1 for reading, 2 for writing, 3 for both; others are not in it; free with idmap_free() in any case
 *
 * Return: 0, or -errno
 */
int sockdiag_udp_shutdowns(struct idmap *out);

/**
 * sockdiag_end_waits() - Forget the TCP connections of a local port that are over, and wait (TIME_WAIT) for late
 * packets
 * @port: in host order
 *
 * Return: 0, or -errno (-EPERM: takes CAP_NET_ADMIN; -EOPNOTSUPP: this kernel cannot)
 */
int sockdiag_end_waits(uint16_t port);

#endif
