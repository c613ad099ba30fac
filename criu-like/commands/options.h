/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_OPTIONS_H
#define THAW_COMMANDS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "criu-like/commands/commands.h"

/*
 * The options of a command as a table: each row says where in the command's own struct the value goes. The usage text
 * is printed from the same rows. -o, -v and --help are every command's and in no table. A flag --NAME can be taken back
 * by --no-NAME.
 *
 * Every command takes every option of CRIU's command line, as CRIU's commands do: what a command does not have in its
 * own table is found in criu_options[], and accepted or refused by name.
 */

enum option_kind {
	OPTION_FLAG,	 /* bool, set to true */
	OPTION_TEXT,	 /* const char *, points into argv */
	OPTION_TEXTS,	 /* struct text_list, one more with each */
	OPTION_NUMBER,	 /* int between min and max */
	OPTION_UNSIGNED, /* unsigned between min and max */
	OPTION_SIZE,	 /* uint64_t, bytes, with a suffix K, M or G if wanted */
	OPTION_ACCEPTED, /* taken, and of no effect: Thaw does so anyway, or there is nothing to do */
	OPTION_REFUSED,	 /* not served; help says what to do instead */
};

struct command_option {
	enum option_kind kind;
	char letter;	  /* 0: long name only */
	const char *name; /* long name */
	size_t offset;	  /* in the struct of options */
	const char *arg;  /* what the usage calls the value, in brackets one that may be missing; NULL for a flag */
	const char *help;
	long min, max;
};

extern const struct command_option criu_options[];
extern const size_t nr_criu_options;

/** criu_option_harmless() - Is a refused option no matter with this value? */
bool criu_option_harmless(const struct command_option *o, const char *value);

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
