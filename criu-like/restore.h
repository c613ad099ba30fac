/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_RESTORE_H
#define THAW_RESTORE_H

#include "criu-like/process.h"

/**
 * restore_run() - Bring a tree back from images
 *
 * After a failure nothing of the tree remains.
 *
 * @status: set to the exit status of the root process as a shell has it, when the restorer stays its parent
 *
 * Return: 0, or -errno with a sentence
 */
int restore_run(const struct restore_options *opt, struct diag *diag, int *status);

/** restore_interrupted() - Has the user asked to stop? Return: 0, or -EINTR with a sentence */
int restore_interrupted(struct restore *r);

#endif
