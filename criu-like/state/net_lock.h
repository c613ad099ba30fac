/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_NET_LOCK_H
#define THAW_STATE_NET_LOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Locking TCP connections: from the dump to the end of the restore nothing may answer for them, or the other end would
 * be told that they are gone. An nftables table in the network namespace drops their packets, both ways, except those
 * marked with NET_LOCK_MARK. It outlives the dump; table name and mark are those of the image format.
 */

#define NET_LOCK_MARK 0xC114

#define NET_LOCK_NAME_MAX 27 /* with the NUL; CRIU cuts longer names off there */

struct net_connection {
	int family;	   /* of the addresses: AF_INET (one word each) or AF_INET6 (four) */
	uint32_t local[4]; /* network byte order, as the ports */
	uint32_t remote[4];
	uint16_t local_port, remote_port;
};

/**
 * net_lock_create() - Lock connections of the caller's network namespace
 * @table: name of the table, new
 *
 * Return: 0, -EEXIST when there is such a table, or another -errno (-EPERM: without CAP_NET_ADMIN); then nothing is
 * locked
 */
int net_lock_create(const char *table, const struct net_connection *conns, size_t nr);

/** net_lock_remove() - Unlock all that was locked under a name. Return: 0, -ENOENT when there is none, or -errno */
int net_lock_remove(const char *table);

#endif
