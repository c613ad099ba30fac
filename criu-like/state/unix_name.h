/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_UNIX_NAME_H
#define THAW_STATE_UNIX_NAME_H

#include "criu-like/state/file_kind.h"

/* Names of UNIX sockets in a restore: paths, absolute or relative to a directory of the process, and abstract names. */

/** unix_name_hash() - A number for the name of a socket */
uint64_t unix_name_hash(const UnixSkEntry *e);

/**
 * unix_name_bind() - Bind a socket to the name of @f
 *
 * A socket file that is in the way and nobody's any more is removed.
 *
 * Return: 0, or -errno with a sentence
 */
int unix_name_bind(struct restore *r, const struct opened_file *f, int fd);

/** unix_name_connect() - Connect a socket to the one that is bound to the name of @f. Return: 0, or -errno with a
 * sentence
 */
int unix_name_connect(struct restore *r, const struct opened_file *f, int fd);

/** unix_name_settle() - Permissions of the socket's file, or its removal if it had been deleted. Return: 0, or -errno
 * with a sentence */
int unix_name_settle(struct restore *r, const struct opened_file *f);

/**
 * unix_name_accept() - Make a connection whose accepted end has the name of @f
 * @connecting: a new socket; its end of the connection
 * @stays: the socket's file stays after it
 *
 * Return: the accepted end, or -errno with a sentence
 */
int unix_name_accept(struct restore *r, const struct opened_file *f, int connecting, bool stays);

#endif
