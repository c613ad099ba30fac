/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_NET_ROWS_H
#define THAW_COMMANDS_NET_ROWS_H

#include "criu-like/commands/options.h"
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

#endif
