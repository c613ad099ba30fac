/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_LAZY_MODES_H
#define THAW_COMMANDS_LAZY_MODES_H

#include <stddef.h>

#include "lazy-pages/modes.h"

#define LAZY_ROW(kind, name, at, arg, help)         \
	{                                           \
		kind, 0, name, at, arg, help, 0, 0, \
	}
#define LAZY_AT(base, member) ((base) + offsetof(struct lazy_modes, member))

/* The rows of an option table for a struct lazy_modes that lies at @base of the command's own struct. */
#define LAZY_MODE_OPTIONS(base)                                                                          \
	LAZY_ROW(OPTION_FLAG, "on-demand", LAZY_AT(base, on_demand), NULL, "fill only what is touched"), \
		LAZY_ROW(OPTION_SIZE, "drain-rate", LAZY_AT(base, drain_rate), "BYTES",                  \
			 "fill so much a second in the background at most"),                             \
		LAZY_ROW(OPTION_FLAG, "no-drain-until-idle", LAZY_AT(base, until_idle), NULL,            \
			 "fill nothing in the background while memory is being touched"),                \
		LAZY_ROW(OPTION_FLAG, "record", LAZY_AT(base, record), NULL,                             \
			 "note what is touched, to fill it first at the next restore"),                  \
		LAZY_ROW(OPTION_TEXT, "trace", LAZY_AT(base, trace), "FILE",                             \
			 "write there what was done when, for trace viewers"),                           \
		LAZY_ROW(OPTION_TEXT, "metrics", LAZY_AT(base, metrics), "ADDR",                         \
			 "serve figures for Prometheus at PORT, on loopback, or HOST:PORT")

/**
 * command_lazy_modes() - Do these options go together?
 * @command: name of the command
 * @lazy: there is to be a lazy-pages server
 *
 * Return: 0, or 1 after a message on standard error
 */
int command_lazy_modes(const char *command, const struct lazy_modes *m, bool lazy);

#endif
