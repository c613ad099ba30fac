/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_LAZY_MODES_H
#define THAW_COMMANDS_LAZY_MODES_H

#include <stddef.h>

#include "lazy-pages/modes.h"

/* The rows of an option table for a struct lazy_modes that lies at @base of the command's own struct. */
#define LAZY_MODE_OPTIONS(base)                                                                                \
	{ OPTION_FLAG, 0,                                                                                      \
	  "on-demand", (base) + offsetof(struct lazy_modes, on_demand),                                        \
	  NULL,	       "fill only what is touched",                                                            \
	  0,	       0 },                                                                                    \
		{ OPTION_SIZE,                                                                                 \
		  0,                                                                                           \
		  "drain-rate",                                                                                \
		  (base) + offsetof(struct lazy_modes, drain_rate),                                            \
		  "BYTES",                                                                                     \
		  "fill so much a second in the background at most",                                           \
		  0,                                                                                           \
		  0 },                                                                                         \
	{                                                                                                      \
		OPTION_FLAG, 0, "no-drain-until-idle", (base) + offsetof(struct lazy_modes, until_idle), NULL, \
			"fill nothing in the background while memory is being touched", 0, 0                   \
	}

/**
 * command_lazy_modes() - Do these options go together?
 * @command: name of the command
 * @lazy: there is to be a lazy-pages server
 *
 * Return: 0, or 1 after a message on standard error
 */
int command_lazy_modes(const char *command, const struct lazy_modes *m, bool lazy);

#endif
