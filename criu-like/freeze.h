/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_FREEZE_H
#define THAW_FREEZE_H

#include "criu-like/process.h"

/**
 * freeze_tree() - Stop a process, all its threads and all its descendants
 * @d: d->tree gets them, parents before children
 * @root: pid
 *
 * Return: 0, or -errno with a sentence; what is stopped then is let go by thaw_tree()
 */
int freeze_tree(struct dump *d, pid_t root);

/** thaw_tree() - Let all tasks go on as they were. Return: 0, or the first -errno */
int thaw_tree(struct dump *d);

/** stop_tree() - Let all tasks go into a job-control stop (SIGSTOP). Return: 0, or the first -errno */
int stop_tree(struct dump *d);

/** kill_tree() - End all processes, and wait until they have; the root is left to its parent to reap. Return: 0 */
int kill_tree(struct dump *d);

/** dump_interrupted() - Has the user asked to stop, or is the time up? Return: 0, or -EINTR or -ETIME with a sentence
 */
int dump_interrupted(struct dump *d);

#endif
