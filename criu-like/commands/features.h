/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_FEATURES_H
#define THAW_COMMANDS_FEATURES_H

/**
 * feature_served() - Is a feature of CRIU's names served here?
 *
 * Return: 1 or 0, or -ENOENT when there is no such name
 */
int feature_served(const char *name);

/** feature_check() - Say whether a feature of CRIU's names is served here. Return: the exit status */
int feature_check(const char *name);

#endif
