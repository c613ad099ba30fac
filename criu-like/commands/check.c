// SPDX-License-Identifier: GPL-2.0-only
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/commands/features.h"
#include "criu-like/commands/options.h"
#include "criu-like/probe.h"

struct check_options {
	const char *feature;
};

static const struct command_option options[] = {
	{ OPTION_TEXT, 0, "feature", offsetof(struct check_options, feature), "NAME", "check only this, by CRIU's name",
	  0, 0 },
};

static const struct command_usage usage = {
	"check [--feature NAME]",
	"Try out what the kernel and the capabilities allow: a line each, and what to do.\n"
	"Exit status 0: dump, restore and lazy restore can work; 1: not.\n",
	options, ARRAY_SIZE(options)
};

int cmd_check(int argc, char **argv)
{
	struct check_options opt = { 0 };
	struct log_options log = { 0 };
	bool no_uffd = false;
	int failed = 0, ret = command_parse(&usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (opt.feature)
		return feature_check(opt.feature);
	for (size_t i = 0; i < nr_probes; i++) {
		const struct probe *p = &probes[i];

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
