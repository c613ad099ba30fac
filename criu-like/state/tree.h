/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TREE_H
#define THAW_STATE_TREE_H

#include "criu-like/process.h"

/* The shape of the tree: who is whose child, sessions, process groups, zombies. */

/** tree_dump() - Check that the tree can be built again, and give it its ids. Return: 0, or -errno with a sentence */
int tree_dump(struct dump *d);

/** tree_write() - Write pstree.img and inventory.img. Return: 0, or -errno with a sentence */
int tree_write(struct dump *d);

/** tree_write_inventory() - Write inventory.img alone. Return: 0, or -errno with a sentence */
int tree_write_inventory(struct dump *d);

/** tree_read() - Read inventory.img and pstree.img into r->tree. Return: 0, or -errno with a sentence */
int tree_read(struct restore *r);

/** tree_plan() - When all images are read: plan how the tree is made. Return: 0, or -errno with a sentence */
int tree_plan(struct restore *r);

/**
 * tree_birth() - Start the first process as a child (or sibling) of this process, stopped and seized
 *
 * It is the first one of the tree (births_first()), or the init of the tree's own PID namespace.
 *
 * Return: 0, or -errno with a sentence (-EEXIST: its pid is taken)
 */
int tree_birth(struct restore *r);

struct clone_args;

/**
 * tree_clone() - clone3(2), tried again for a moment while the number that @args asks for belongs to who has ended
 *
 * The new task spins on pause(), with all its signals blocked, as ours are; the init of a new PID namespace runs.
 *
 * Return: its pid, or -errno (-EEXIST: a running task has the number, or it stays busy for too long)
 */
pid_t tree_clone(struct restore *r, struct clone_args *args);

/**
 * tree_wait_pid() - After a clone3() that said EEXIST: wait a moment if the number's owner has ended already
 * @tries: 0 before the first call, counted here
 *
 * Return: 0 to try again, or -EEXIST when a running task has it or it stays busy for too long
 */
int tree_wait_pid(const struct restore *r, pid_t pid, unsigned *tries);

/**
 * tree_tell_births() - Append the calls by which a task takes its session or leads its group, and makes others
 *
 * They are born stopped and seized, before they have run anything.
 */
void tree_tell_births(struct restore *r, const struct process *p, struct batch *b);

/** tree_tell_clone() - Append the call by which a task makes @c, which is then attached and stopped. @flags: CLONE_* */
void tree_tell_clone(struct batch *b, const struct process *c, uint64_t flags);

/** tree_tell_group() - Append the call by which a task joins its process group, when all tasks exist */
void tree_tell_group(struct restore *r, struct process *p, struct batch *b);

/** tree_joins_early() - Must it join its group before the helpers end, as a helper or one that moved on made it? */
bool tree_joins_early(const struct restore *r, const struct process *p);

/** tree_tell_subreaper() - Append the call that makes orphans of its descendants the task's own, or no longer */
void tree_tell_subreaper(struct batch *b, bool on);

/** tree_tell_wait() - Append the call by which a task reaps its child @p */
void tree_tell_wait(const struct process *p, struct batch *b);

/** tree_tell_forget_deaths() - Append what throws a pending SIGCHLD away, before its real action is set */
void tree_tell_forget_deaths(struct batch *b);

/** tree_tell_death() - Append the calls by which a zombie becomes one */
void tree_tell_death(struct restore *r, struct process *p, struct batch *b);

/** tree_stop_signal() - Which signal a stopped process is to be stopped by: the one of the images if that is sure to */
int tree_stop_signal(const struct process *p);

/** tree_tell_threads() - Append the calls that make all threads but the first */
void tree_tell_threads(struct process *p, struct batch *b);

#endif
