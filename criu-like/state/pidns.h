/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_PIDNS_H
#define THAW_STATE_PIDNS_H

#include "criu-like/process.h"

/*
 * A PID namespace of the tree's own (--new-pidns), so that it has its pids whoever else has them.
 *
 * Its first process is the root, if that has pid 1; else an init that makes the root, reaps whatever ends, and passes
 * signals on. With it goes a mount namespace, a copy of this process's in which the new /proc is mounted; mounts that
 * come later outside come to it, too, and none goes the other way. Files are opened in that one.
 *
 * A task has two numbers then: the one in the images, by which the tasks know each other, is process->pid and
 * thread->tid; the one outside, by which this process and the lazy-pages server know it, is in its struct tracee.
 */

/** pidns_open() - Before any file is opened: go into a new mount namespace. Return: 0, or -errno with a sentence */
int pidns_open(struct restore *r);

/** pidns_init() - The init, NULL: there is none, as the tree is in no namespace of its own or has a pid 1 */
struct process *pidns_init(const struct restore *r);

/** pidns_prepare() - Before it is made: what it and this process share. Return: 0, or -errno with a sentence */
int pidns_prepare(struct restore *r);

/** pidns_run_init() - Be the init, from the moment that pidns_go() says so */
void pidns_run_init(struct restore *r) __attribute__((noreturn));

/**
 * pidns_made() - The namespace's first process is there: go back to the mount namespace from before
 *
 * Return: 0, or -errno with a sentence
 */
int pidns_made(struct restore *r, pid_t outside);

/** pidns_tell_proc() - Append the call by which the first process mounts /proc. Return: the record's index */
size_t pidns_tell_proc(struct batch *b);

/** pidns_check_proc() - After it has run. Return: 0, or -errno with a sentence */
int pidns_check_proc(struct restore *r, size_t record);

/**
 * pidns_outside() - The number outside of a new task
 * @leader: number outside of the process whose thread it is, 0: it is a process itself
 * @tid: its number in the namespace
 *
 * Return: it (without a namespace @tid), or -errno
 */
pid_t pidns_outside(const struct restore *r, pid_t leader, pid_t tid);

/** pidns_scan() - The same without the help of the kernel (NS_GET_PID_FROM_PIDNS came with Linux 6.11). @ns: of it */
pid_t pidns_scan(int ns, pid_t leader, pid_t tid);

/** pidns_go() - Let the init do its work. Return: 0, or -errno with a sentence */
int pidns_go(struct restore *r);

/** pidns_wait() - Wait for the end of the init's first child. Return: its wait status */
int pidns_wait(struct restore *r);

/** pidns_kill() - After a failure: end the init, and with it all that is in there */
void pidns_kill(struct restore *r);

/** pidns_bury() - Wait for the init's end, when those of all others have been taken */
void pidns_bury(struct restore *r);

/** pidns_close() - Forget the namespace */
void pidns_close(struct restore *r);

#endif
