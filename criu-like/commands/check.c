// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "criu-like/commands/commands.h"
#include "criu-like/probe.h"

static int usage(FILE *to)
{
	fprintf(to, "Usage: thaw check\n\n"
		    "Try out what the kernel and the capabilities allow: a line each, and what to do.\n"
		    "Exit status 0: dump, restore and lazy restore can work; 1: not.\n");
	return to == stdout ? 0 : 1;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { 0 } };
	bool no_uffd = false;
	int opt, failed = 0;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return usage(opt == 'h' ? stdout : stderr);
	if (optind < argc)
		return usage(stderr);
	for (size_t i = 0; i < nr_probes; i++) {
		const struct probe *p = &probes[i];
		int ret;

		fflush(stdout);
		ret = p->run();
		if (ret >= 0) {
			printf("ok    %s\n", p->name);
			continue;
		}
		printf("%s  %s: %s; %s\n", p->flags & PROBE_MAIN ? "FAIL" : "none", p->name, strerror(-ret),
		       p->flags & PROBE_ON_UFFD && no_uffd ? "no userfaultfd, see above" : p->advice);
		no_uffd |= p->run == probe_uffd;
		failed += p->flags & PROBE_MAIN ? 1 : 0;
	}
	if (failed)
		printf("%d of the things that Thaw needs are missing.\n", failed);
	else
		printf("Dump, restore and lazy restore can work here.\n");
	return failed ? 1 : 0;
}
