/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TCP_H
#define THAW_STATE_TCP_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "criu-like/state/file_kind.h"

/* TCP connections, both halves. See tcp.c. */

union inet_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/** inet_address_of() - An address of the images as the kernel takes it. Return: its length */
socklen_t inet_address_of(const InetSkEntry *e, const uint32_t *words, uint32_t port, union inet_address *a);

/** tcp_note() - Keep a connection for tcp_dump(), or refuse it. Return: 0, or -errno with a sentence */
int tcp_note(struct seen *s, InetSkEntry *e);

/**
 * tcp_dump() - Lock all connections that were noted, stop them, and write their images
 *
 * When the tree is gone and the descriptors kept here are closed, the connections end without a word. tcp_resume() lets
 * them go on.
 *
 * Return: 0, or -errno with a sentence
 */
int tcp_dump(struct dump *d);

/** tcp_resume() - Let connections go on after tcp_dump(), also one that failed; before the tree is let go */
void tcp_resume(struct dump *d);

/** tcp_dump_free() - Close what was kept */
void tcp_dump_free(struct file_table *t);

/** tcp_is_connection() - Is this socket of the images a connection, and not to be restored as closed? */
bool tcp_is_connection(const struct restore *r, const InetSkEntry *e);

/** tcp_lock() - Before the first tcp_open(): lock all connections of the images. Return: 0, or -errno with a sentence
 */
int tcp_lock(struct restore *r);

/** tcp_open() - Make @f, a new socket at f->fd, the connection again, still stopped. Return: 0, or -errno with a
 * sentence */
int tcp_open(struct restore *r, struct opened_file *f);

/** tcp_go() - At the very end of a restore: unlock all connections, and let them go on. Return: 0, or -errno with a
 * sentence */
int tcp_go(struct restore *r);

/** tcp_restore_free() - Free what tcp_open() has read */
void tcp_restore_free(struct file_opener *o);

/** tcp_unlock_failed() - After a restore that failed: leave what was locked before it, and nothing else */
void tcp_unlock_failed(struct restore *r);

#endif
