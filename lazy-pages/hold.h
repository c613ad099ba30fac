/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_HOLD_H
#define THAW_LAZY_HOLD_H

#include <stdbool.h>

#include "common/diag.h"

/*
 * A hold on an object of shared memory: while it lasts, nobody can punch a hole into it or change its size.
 */

struct hold;

/**
 * hold_new() - Prepare, without holding yet
 * @fd: descriptor of the object, open for writing; the caller's, kept open until hold_free(). Its first page must not
 *	be one that is still to be filled: it may become a page of zeroes
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int hold_new(int fd, struct diag *diag, struct hold **out);

/** hold_uffd() - Its userfaultfd, for a successor to close */
int hold_uffd(const struct hold *h);

/**
 * hold_take() - Hold: waits for those who change the object just now
 *
 * Return: 0 (also when it is held already), or -errno with a sentence in @diag
 */
int hold_take(struct hold *h, struct diag *diag);

/** hold_drop() - Let others change the object again; nothing to do when it is not held */
void hold_drop(struct hold *h);

/** hold_free() - Drop and forget; takes NULL */
void hold_free(struct hold *h);

#endif
