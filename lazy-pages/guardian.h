/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_GUARDIAN_H
#define THAW_LAZY_GUARDIAN_H

#include <signal.h>

#include "lazy-pages/server.h"
#include "lazy-pages/shared.h"

/**
 * guardian_block_signals() - Block those that ask a service to end, so that guardian_run() gets them
 *
 * To be called before anybody is told that the service runs.
 *
 * @old: set to the mask from before
 */
void guardian_block_signals(sigset_t *old);

/**
 * guardian_run() - Start a server, guard it until the service is over, and come back with its result
 *
 * With the signals blocked.
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int guardian_run(const struct lazy_options *opt, struct shared *sh, struct diag *diag);

#endif
