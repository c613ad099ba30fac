// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "criu-like/commands/commands.h"
#include "images/map.h"
#include "images/show.h"
#include "images/verify.h"
#include "images/wset_show.h"

static int show(const char *path, bool json, struct diag *diag)
{
	return image_show(path, json, stdout, diag);
}

static int verify(const char *path, bool json, struct diag *diag)
{
	int ret = image_verify(path, stderr, diag);

	if (ret > 0) {
		fprintf(stderr, "thaw image: %s has %d fault%s\n", path, ret, ret == 1 ? "" : "s");
		return 1;
	}
	if (!ret)
		printf("%s is whole\n", path);
	return ret;
}

static int wset(const char *path, bool json, struct diag *diag)
{
	return image_wset(path, json, stdout, diag);
}

static int map(const char *path, bool json, struct diag *diag)
{
	return image_map(path, stdout, diag);
}

static const struct {
	const char *name;
	int (*run)(const char *path, bool json, struct diag *diag); /* 0, 1 after a message, or -errno */
	bool json;
	const char *arg, *help;
} actions[] = {
	{ "show", show, true, "[--json] FILE|DIR", "print images" },
	{ "verify", verify, false, "DIR", "check a dump as a whole" },
	{ "wset", wset, true, "[--json] DIR", "print the working sets that --record has left" },
	{ "map", map, false, "DIR", "draw the address spaces, as SVG" },
};

static int usage(FILE *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		fprintf(to, "%s thaw image %-6s %-18s %s\n", i ? "      " : "Usage:", actions[i].name, actions[i].arg,
			actions[i].help);
	return to == stdout ? 0 : 1;
}

static int run(size_t action, const char *path, bool json)
{
	struct diag diag;
	int ret;

	diag_init(&diag, -1, DIAG_ERROR);
	ret = actions[action].run(path, json, &diag);
	if (!ret && fflush(stdout)) {
		perror("thaw image: cannot write the output");
		return 1;
	}
	return ret > 0 ? 1 : command_status("image", ret, &diag);
}

int cmd_image(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		if (c != 'j')
			return usage(stderr);
		json = true;
	}
	if (argc - optind != 2)
		return usage(stderr);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (!strcmp(argv[optind], actions[i].name) && (!json || actions[i].json))
			return run(i, argv[optind + 1], json);
	return usage(stderr);
}
