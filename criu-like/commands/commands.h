/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_H
#define THAW_COMMANDS_H

#include "common/diag.h"
#include "criu-like/action.h"

#define THAW_VERSION "0.1.0"

/*
 * The subcommands. Each takes its own arguments (argv[0] is the command's name), fills a plain struct of options,
 * makes one call, and reports a failure once. Return: the exit status.
 */
int cmd_dump(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_lazy_pages(int argc, char **argv);
int cmd_page_server(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_image(int argc, char **argv);

int cmd_swrk(int argc, char **argv);
int cmd_service(int argc, char **argv);

/* The same for a request (rpc/) that says what a command line would. */
struct command_call {
	const struct action_hook *hook; /* told of the actions; NULL: nobody */
	int stderr_fd;			/* what the log takes for standard error; 0: that itself */
	struct diag diag;		/* set: the sentence for a failure; none where the options were wrong */
};

int call_dump(int argc, char **argv, struct command_call *call);
int call_restore(int argc, char **argv, struct command_call *call);

/* Options that every command has: -o|--log-file FILE, -v[N]|--verbosity[=N]. */
struct log_options {
	const char *file; /* NULL: standard error */
	int stderr_fd;	  /* in place of standard error, 0: that itself */
	int verbosity;	  /* 0 errors, 1 warnings, 2 information, 3 and more: all */
};

/**
 * command_log() - Open the log and start @diag on it
 * @dir: directory that a relative log file is in, NULL for the current one
 *
 * Return: 0, or -errno after a message on standard error
 */
int command_log(const struct log_options *opt, const char *dir, struct diag *diag);

/**
 * command_status() - Report a failure once, on standard error, and choose the exit status
 * @name: the command's name
 * @ret: 0 or positive for success, -errno for failure
 *
 * Return: 0 or 1
 */
int command_status(const char *name, int ret, const struct diag *diag);

/** command_verbosity() - The level that -v, -vv, -v4 stand for; @arg is the option's argument or NULL, @now the level
 * so far */
int command_verbosity(const char *arg, int now);

/** command_network_lock() - Is this a value of --network-lock? Return: 0, or 1 after a message */
int command_network_lock(const char *method);

/**
 * command_number() - A whole number from the command line
 * Return: 0, or 1 after a message that names @option
 */
int command_number(const char *option, const char *arg, long min, long max, long *out);

#endif
