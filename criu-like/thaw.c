// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/commands/commands.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "dump", cmd_dump, "freeze a tree of processes into images" },
	{ "pre-dump", cmd_dump, "copy the memory of a running tree, for a dump to go on from" },
	{ "restore", cmd_restore, "bring a tree back from images" },
	{ "lazy-pages", cmd_lazy_pages, "serve the memory of a lazy restore" },
	{ "page-server", cmd_page_server, "receive a dump's memory over the network, or serve it" },
	{ "check", cmd_check, "say what the kernel and the capabilities allow" },
	{ "image", cmd_image, "show images, or verify a directory of them" },
	{ "swrk", cmd_swrk, "serve the requests of one program, the caller" },
	{ "service", cmd_service, "serve requests on a socket" },
	{ "version", cmd_version, "print the version" },
};

static int usage(FILE *to)
{
	fprintf(to, "Usage: thaw COMMAND [OPTIONS]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
	fprintf(to, "\n`thaw COMMAND --help` lists a command's options; thaw(1) has the rest.\n");
	return to == stdout ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return cmd_version(argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "thaw: no command '%s'\n", argv[1]);
	return usage(stderr);
}
