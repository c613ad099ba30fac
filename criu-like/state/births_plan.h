/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_BIRTHS_PLAN_H
#define THAW_STATE_BIRTHS_PLAN_H

#include "criu-like/process.h"

/* Who must make whom so that parents, sessions and process groups come out right. */

/**
 * births_plan() - Decide for each process by whom and in which session it is born
 * @tree: processes with parent, sid and pgid, parents before children; gets the helpers that are needed, at its end
 * @outside: the root may be in a session and group from outside, which the restorer's then stand for (--shell-job)
 *
 * Sets bearer, first_borne, next_borne, born_sid and leads_group of each process.
 *
 * Return: 0, or -errno with a sentence (-EOPNOTSUPP: the tree cannot be made)
 */
int births_plan(struct tree *tree, bool outside, struct diag *diag);

/** births_check() - Can such a tree be made? The tree stays as it is. Return: 0, or -errno with a sentence */
int births_check(const struct tree *tree, bool outside, struct diag *diag);

/** births_first() - The process that the restorer itself makes: the root, or a helper that makes the root */
struct process *births_first(const struct tree *tree);

/** births_is_sibling() - Is @p born with CLONE_PARENT, as a sibling of its bearer? */
bool births_is_sibling(const struct process *p);

/** births_is_orphan() - Does @p get to its parent when its bearer, a helper, ends? */
bool births_is_orphan(const struct process *p);

/** births_before_session() - Does the bearer of @p make it before it starts its own session? */
bool births_before_session(const struct process *p);

#endif
