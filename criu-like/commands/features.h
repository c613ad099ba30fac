/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_FEATURES_H
#define THAW_COMMANDS_FEATURES_H

/** feature_check() - Say whether a feature of CRIU's names is served here. Return: the exit status */
int feature_check(const char *name);

#endif
