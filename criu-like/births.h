/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_BIRTHS_H
#define THAW_BIRTHS_H

#include "criu-like/process.h"

/** births_make() - Make all processes of the tree, stopped and traced. Return: 0, or -errno with a sentence */
int births_make(struct restore *r);

/**
 * births_finish() - Complete the groups that helpers lead, and end the helpers and the zombies
 *
 * The helpers leave the tree.
 *
 * Return: 0, or -errno with a sentence
 */
int births_finish(struct restore *r);

#endif
