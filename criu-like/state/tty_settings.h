/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TTY_SETTINGS_H
#define THAW_STATE_TTY_SETTINGS_H

#include "criu-like/state/file_kind.h"

/** tty_settings_dump() - Settings, which of them are locked, and window size. Return: 0, or -errno with a sentence */
int tty_settings_dump(struct seen *s, TtyInfoEntry *e);

/** tty_settings_restore() - Set them, by a descriptor of the master. Return: 0, or -1 with errno */
int tty_settings_restore(int fd, const TtyInfoEntry *e);

#endif
