// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/net_rows.h"

#include <stdio.h>

int command_page_server(const char *command, bool given, const struct net_options *net, const struct lazy_modes *m)
{
	const char *why = NULL;

	if (given && !net->port)
		why = "--page-server needs the server's --port";
	else if (given && m->record)
		why = "--record is for images that are here; leave it out, or --page-server";
	if (why)
		fprintf(stderr, "thaw %s: %s\n", command, why);
	return why != NULL;
}
