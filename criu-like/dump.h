/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_DUMP_H
#define THAW_DUMP_H

#include "criu-like/process.h"

/**
 * dump_run() - Freeze a tree into images
 *
 * Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD in the caller. After a failure the tree runs on as before, and the
 * directory holds nothing new.
 *
 * Return: 0, or -errno with a sentence
 */
int dump_run(const struct dump_options *opt, struct diag *diag);

#endif
