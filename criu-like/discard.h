/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_DISCARD_H
#define THAW_DISCARD_H

#include "criu-like/restore.h"

/** discard_tree() - Kill all tasks of a restore, also those that nobody has adopted yet, and take their ends */
void discard_tree(struct restore *r);

#endif
