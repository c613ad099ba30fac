// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "criu-like/commands/commands.h"
#include "criu-like/rpc/work.h"

int cmd_swrk(int argc, char **argv)
{
	long fd;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		printf("Usage: thaw swrk FD\n\nServe CRIU's RPC to the program that has started this one, on a "
		       "socket.\n");
		return 0;
	}
	if (argc != 2) {
		fprintf(stderr, "thaw swrk: it takes the number of a descriptor, a socket of the program that starts "
				"it\n");
		return 1;
	}
	if (command_number("swrk", argv[1], 0, 1 << 30, &fd))
		return 1;
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC)) {
		fprintf(stderr, "thaw swrk: descriptor %ld is not open\n", fd);
		return 1;
	}
	return rpc_work((int)fd, true);
}
