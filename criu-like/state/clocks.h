/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_CLOCKS_H
#define THAW_STATE_CLOCKS_H

#include "criu-like/process.h"

/*
 * CLOCK_MONOTONIC and CLOCK_BOOTTIME, time_namespaces(7). A program may count on it that they never go back; on another
 * machine, or after a reboot, they would. Then the tree is restored in a time namespace in which they go on where they
 * stood at the dump.
 */

/** clocks_check() - Refuse a tree of several time namespaces. Return: 0, or -errno with a sentence */
int clocks_check(struct dump *d);

/** clocks_write() - Write what the tree's clocks say. Return: 0, or -errno with a sentence */
int clocks_write(struct dump *d);

/** clocks_restore() - Before the first task is made: see to it that its clocks do not go back. Return: 0, or -errno
 * with a sentence */
int clocks_restore(struct restore *r);

#endif
