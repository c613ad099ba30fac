// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/net_rows.h"

#include <stdio.h>

#include "lazy-pages/wire/page_pack.h"

int command_page_server(const char *command, bool given, const struct net_options *net, const struct lazy_modes *m)
{
	const char *why = NULL;

	if (given && !net->port)
		why = "--page-server needs the server's --port";
	else if (given && m->record)
		why = "--record is for images that are here; leave it out, or --page-server";
	else if (net->compress && page_codec_named(net->compress) == PACK_NR)
		why = "--compress takes none, lz4 or zstd";
	if (why)
		fprintf(stderr, "thaw %s: %s\n", command, why);
	return why != NULL;
}
