/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_GUARDIAN_H
#define THAW_LAZY_GUARDIAN_H

#include "lazy-pages/server.h"
#include "lazy-pages/shared.h"

/**
 * guardian_run() - Start a server, guard it until the service is over, and come back with its result
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int guardian_run(const struct lazy_options *opt, struct shared *sh, struct diag *diag);

#endif
