/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_OPTIONS_H
#define THAW_COMMANDS_OPTIONS_H

#include <stddef.h>

#include "criu-like/commands/commands.h"

/*
 * The options of a command as a table: each row says where in the command's own struct the value goes. The usage text
 * is printed from the same rows. -o, -v and --help are every command's and in no table.
 */

enum option_kind {
	OPTION_FLAG,	 /* bool, set to true */
	OPTION_TEXT,	 /* const char *, points into argv */
	OPTION_NUMBER,	 /* int between min and max */
	OPTION_UNSIGNED, /* unsigned between min and max */
};

struct command_option {
	enum option_kind kind;
	char letter;	  /* 0: long name only */
	const char *name; /* long name */
	size_t offset;	  /* in the struct of options */
	const char *arg;  /* what the usage calls the value, NULL for a flag */
	const char *help;
	long min, max;
};

struct command_usage {
	const char *line; /* "dump -t PID -D DIR [OPTIONS]" */
	const char *text; /* what the command does, a line or more, each ended */
	const struct command_option *options;
	size_t nr;
};

/**
 * command_parse() - Read a command's arguments, which are options only
 * @out: the command's struct of options, with its defaults
 * @log: the common options
 *
 * Return: 0 to go on, 1 after a message about a mistake, 2 after the usage that --help asked for
 */
int command_parse(const struct command_usage *usage, int argc, char **argv, void *out, struct log_options *log);

#endif
