/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_WATCHED_H
#define THAW_STATE_WATCHED_H

#include "criu-like/state/file_kind.h"

/* The inodes that inotify(7) and fanotify(7) watch: file handles to the kernel, paths where they can be found. */

/**
 * watched_dump() - Describe a watched inode
 * @what: the watcher, for messages: "an inotify instance"
 * @out: its handle and path, in the arena
 *
 * Return: 0, or -errno with a sentence (-ENOTSUP: it has been deleted)
 */
int watched_dump(struct seen *s, const struct fdinfo_watch *w, const char *what, FhEntry **out);

/**
 * watched_find() - A path that leads to a watched inode
 * @dev: its device, as fdinfo has it
 * @path: PATH_MAX bytes, set
 * @fd: set to a descriptor that the path needs, the caller's; -1: none
 *
 * Return: 0, or -errno with a sentence
 */
int watched_find(struct restore *r, const struct opened_file *f, uint32_t dev, const FhEntry *h, char *path, int *fd);

#endif
