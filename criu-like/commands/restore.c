// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdio.h>

#include "criu-like/commands/commands.h"
#include "criu-like/restore.h"

static int usage(FILE *to)
{
	fputs("Usage: thaw restore -D DIR [OPTIONS]\n"
	      "\n"
	      "Bring a tree of processes back from images. Without -d or -S the command stays as the parent of the\n"
	      "tree's root and exits with its status.\n"
	      "\n"
	      "  -D, --images-dir DIR   the images (default: the current directory)\n"
	      "  -W, --work-dir DIR     where the log and the lazy-pages socket are (default: DIR)\n"
	      "  -d, --restore-detached end when the tree runs\n"
	      "  -S, --restore-sibling  make the root a child of this command's parent\n"
	      "      --lazy-pages       let the tree run before its memory has arrived\n"
	      "      --stats FILE       with --lazy-pages: figures of the server, JSON\n"
	      "      --no-verify        take pages without comparing their checksums\n"
	      "  -j, --shell-job        the tree joins the session of this command\n"
	      "      --pidfile FILE     write the pid of the root there\n"
	      "  -o, --log-file FILE    log to this file, in the work directory\n"
	      "  -v[N], --verbosity=N   more of the log\n",
	      to);
	return to == stdout ? 0 : 1;
}

enum { OPT_LAZY = 256, OPT_STATS, OPT_NO_VERIFY, OPT_PIDFILE };

static const struct option options[] = {
	{ "images-dir", required_argument, NULL, 'D' },
	{ "work-dir", required_argument, NULL, 'W' },
	{ "restore-detached", no_argument, NULL, 'd' },
	{ "restore-sibling", no_argument, NULL, 'S' },
	{ "lazy-pages", no_argument, NULL, OPT_LAZY },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "no-verify", no_argument, NULL, OPT_NO_VERIFY },
	{ "shell-job", no_argument, NULL, 'j' },
	{ "pidfile", required_argument, NULL, OPT_PIDFILE },
	{ "log-file", required_argument, NULL, 'o' },
	{ "verbosity", optional_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* Return: 0 to go on, 1 for an error that has been said, 2 when help was wanted */
static int parse(int argc, char **argv, struct restore_options *opt, struct log_options *log)
{
	int c;

	while ((c = getopt_long(argc, argv, "D:W:dSjo:v::h", options, NULL)) != -1) {
		switch (c) {
		case 'D':
			opt->images_dir = optarg;
			break;
		case 'W':
			opt->work_dir = optarg;
			break;
		case 'd':
			opt->detach = true;
			break;
		case 'S':
			opt->sibling = true;
			break;
		case OPT_LAZY:
			opt->lazy = true;
			break;
		case OPT_STATS:
			opt->stats_file = optarg;
			break;
		case OPT_NO_VERIFY:
			opt->no_verify = true;
			break;
		case 'j':
			opt->shell_job = true;
			break;
		case OPT_PIDFILE:
			opt->pidfile = optarg;
			break;
		case 'o':
			log->file = optarg;
			break;
		case 'v':
			log->verbosity = command_verbosity(optarg, log->verbosity);
			break;
		case 'h':
			return 2;
		default:
			return usage(stderr);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "thaw restore: what is '%s'?\n", argv[optind]);
		return 1;
	}
	return 0;
}

int cmd_restore(int argc, char **argv)
{
	struct restore_options opt = { .images_dir = "." };
	struct log_options log = { 0 };
	struct diag diag;
	int status = 0;
	int ret = parse(argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? usage(stdout) : 1;
	if (!opt.work_dir)
		opt.work_dir = opt.images_dir;
	if (command_log(&log, opt.work_dir, &diag))
		return 1;
	ret = restore_run(&opt, &diag, &status);
	return ret ? command_status("restore", ret, &diag) : status;
}
