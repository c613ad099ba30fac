/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_NET_ROWS_H
#define THAW_COMMANDS_NET_ROWS_H

#include "criu-like/commands/options.h"
#include "lazy-pages/modes.h"
#include "lazy-pages/net/link.h"

/* The rows of the options that all commands with a connection have. @at: offset of the command's struct net_options. */
#define NET_ROWS(at)                                                                                  \
	{ OPTION_TEXT, 0,                                                                             \
	  "address",   (at) + offsetof(struct net_options, address),                                  \
	  "ADDRESS",   "of the page server (default: 127.0.0.1)",                                     \
	  0,	       0 },                                                                           \
		{ OPTION_UNSIGNED,	0, "port", (at) + offsetof(struct net_options, port), "PORT", \
		  "of the page server", 0, 65535 },                                                   \
	{                                                                                             \
		OPTION_FLAG, 0, "insecure", (at) + offsetof(struct net_options, insecure), NULL,      \
			"let memory go to other hosts in the clear", 0, 0                             \
	}

/**
 * command_page_server() - Do the options of a server whose memory comes from a page server go together?
 * @command: name of the command
 * @given: there is to be such a server
 *
 * Return: 0, or 1 after a message on standard error
 */
int command_page_server(const char *command, bool given, const struct net_options *net, const struct lazy_modes *m);

#endif
