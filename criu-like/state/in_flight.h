/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_IN_FLIGHT_H
#define THAW_STATE_IN_FLIGHT_H

#include "criu-like/state/file_kind.h"

/*
 * Descriptors in flight: sent over a UNIX socket (SCM_RIGHTS, unix(7)) and not received yet. A dump peeks at the
 * messages, and so has a descriptor of each of these files itself until its end. They are looked at when those of all
 * processes have been: most are open in some process as well.
 */

#define IN_FLIGHT_MAX 253 /* descriptors of one message; the kernel's SCM_MAX_FD */

/** in_flight_keep() - Let @p carry descriptors of this process, which are the dump's from now on. Return: 0, or -errno
 * with a sentence; they are the dump's in any case */
int in_flight_keep(struct dump *d, struct packet *p, const int *fds, size_t nr);

/** in_flight_resolve() - After the descriptors of all processes: give the ones in flight their ids. Return: 0, or
 * -errno with a sentence */
int in_flight_resolve(struct dump *d);

/** in_flight_free() - Close them */
void in_flight_free(struct file_table *t);

/** in_flight_read() - What a message of the images carries. Return: 0, or -errno with a sentence */
int in_flight_read(struct restore *r, struct packet *p, const SkPacketEntry *e);

/** in_flight_use() - Note which files have to be opened as they are in flight. Return: 0, or -errno with a sentence */
int in_flight_use(struct restore *r);

/**
 * in_flight_send() - sendmsg(2) of a part of a message, with the descriptors that it carries where it is the first
 *
 * Return: bytes sent, or -errno
 */
ssize_t in_flight_send(struct restore *r, const struct packet *p, size_t done, int sender);

#endif
