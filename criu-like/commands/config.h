/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_CONFIG_H
#define THAW_COMMANDS_CONFIG_H

/**
 * config_arguments() - Put what the file of --config says before the other arguments
 * @argc, @argv: of the command; replaced, if there is such an option. What they point to lives as long as the process
 *
 * The file is CRIU's: an option without its dashes a line, its value behind it, perhaps in double quotes; `#` begins a
 * comment. What the command line says itself comes later and wins.
 *
 * Return: 0, or 1 after a message
 */
int config_arguments(int *argc, char ***argv);

#endif
