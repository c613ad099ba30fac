/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_SERVE_TREE_H
#define THAW_SERVE_TREE_H

#include "criu-like/process.h"

/** serve_tree_listen() - Listen for clients, before anything else is done. Return: 0, or -errno with a sentence */
int serve_tree_listen(struct dump *d);

/**
 * serve_tree() - Serve the memory of the frozen tree until a client has all that it wants
 *
 * From the first connection on the tree dies with this process: where its memory goes another one may be running.
 *
 * Return: 0, or -errno with a sentence (-EINTR: a signal came while nobody was being served)
 */
int serve_tree(struct dump *d);

#endif
