/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TTY_H
#define THAW_STATE_TTY_H

#include "criu-like/process.h"

/**
 * tty_tell_session() - Append what makes a terminal the controlling one of a session that has just begun
 *
 * Children inherit it, so it comes before their births. Nothing is appended where there is none.
 */
void tty_tell_session(struct restore *r, const struct process *p, struct batch *b);

/** tty_kept() - A descriptor that the process needs until kind_foreground has run. Return: it, or -1 */
int tty_kept(const struct restore *r, const struct process *p);

/* The group in the foreground of the session's terminal, set by its leader when all groups are there. */
extern const struct state_kind kind_foreground;

#endif
