/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_INET_RAW_H
#define THAW_STATE_INET_RAW_H

#include "criu-like/state/file_kind.h"

/* What raw sockets, raw(7), have beside other IP sockets. What waits in one is lost, as packets may be. */

/** inet_raw_dump() - Its options, into e->ip_opts. Return: 0, or -errno with a sentence */
int inet_raw_dump(struct seen *s, InetSkEntry *e);

/** inet_raw_restore() - Set them. Return: 0, or -errno with a sentence */
int inet_raw_restore(struct restore *r, const struct opened_file *f);

#endif
