// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "criu-like/commands/commands.h"
#include "images/show.h"
#include "images/verify.h"

static int usage(FILE *to)
{
	fprintf(to, "Usage: thaw image show [--json] FILE|DIR   print images\n"
		    "       thaw image verify DIR              check a dump as a whole\n");
	return to == stdout ? 0 : 1;
}

static int verify(const char *path, struct diag *diag)
{
	int ret = image_verify(path, stderr, diag);

	if (ret < 0)
		return command_status("image", ret, diag);
	if (ret > 0) {
		fprintf(stderr, "thaw image: %s has %d fault%s\n", path, ret, ret == 1 ? "" : "s");
		return 1;
	}
	printf("%s is whole\n", path);
	return 0;
}

int cmd_image(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	struct diag diag;
	int c, ret;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		if (c != 'j')
			return usage(stderr);
		json = true;
	}
	if (argc - optind != 2)
		return usage(stderr);
	diag_init(&diag, -1, DIAG_ERROR);
	if (!strcmp(argv[optind], "verify") && !json)
		return verify(argv[optind + 1], &diag);
	if (strcmp(argv[optind], "show") != 0)
		return usage(stderr);
	ret = image_show(argv[optind + 1], json, stdout, &diag);
	if (!ret && fflush(stdout)) {
		perror("thaw image: cannot write the output");
		return 1;
	}
	return command_status("image", ret, &diag);
}
