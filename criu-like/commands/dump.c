// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "criu-like/commands/commands.h"
#include "criu-like/dump.h"

static int usage(FILE *to)
{
	fputs("Usage: thaw dump -t PID -D DIR [OPTIONS]\n"
	      "\n"
	      "Freeze a process and all its descendants into images.\n"
	      "\n"
	      "  -t, --tree PID         the root of the tree\n"
	      "  -D, --images-dir DIR   where the images go (must exist; default: the current directory)\n"
	      "  -R, --leave-running    let the tree go on afterwards\n"
	      "  -s, --leave-stopped    leave the tree stopped afterwards\n"
	      "  -j, --shell-job        the session may belong to a shell outside the tree\n"
	      "      --page-store KIND  raw (default) or files (one gzip file a page)\n"
	      "      --timeout SECONDS  give up after so long\n"
	      "      --display-stats    say how long the tree was frozen\n"
	      "  -o, --log-file FILE    log to this file, in DIR\n"
	      "  -v[N], --verbosity=N   more of the log\n",
	      to);
	return to == stdout ? 0 : 1;
}

enum { OPT_STORE = 256, OPT_TIMEOUT, OPT_STATS };

static const struct option options[] = {
	{ "tree", required_argument, NULL, 't' },
	{ "images-dir", required_argument, NULL, 'D' },
	{ "leave-running", no_argument, NULL, 'R' },
	{ "leave-stopped", no_argument, NULL, 's' },
	{ "shell-job", no_argument, NULL, 'j' },
	{ "page-store", required_argument, NULL, OPT_STORE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "display-stats", no_argument, NULL, OPT_STATS },
	{ "log-file", required_argument, NULL, 'o' },
	{ "verbosity", optional_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* Return: 0 to go on, 1 for an error that has been said, 2 when help was wanted */
static int parse(int argc, char **argv, struct dump_options *opt, struct log_options *log)
{
	long n;
	int c;

	while ((c = getopt_long(argc, argv, "t:D:Rsjo:v::h", options, NULL)) != -1) {
		switch (c) {
		case 't':
			if (command_number("--tree", optarg, 1, INT32_MAX, &n))
				return 1;
			opt->pid = (pid_t)n;
			break;
		case 'D':
			opt->images_dir = optarg;
			break;
		case 'R':
			opt->leave_running = true;
			break;
		case 's':
			opt->leave_stopped = true;
			break;
		case 'j':
			opt->shell_job = true;
			break;
		case OPT_STORE:
			opt->page_store = optarg;
			break;
		case OPT_TIMEOUT:
			if (command_number("--timeout", optarg, 1, 1000000, &n))
				return 1;
			opt->timeout = (unsigned)n;
			break;
		case OPT_STATS:
			opt->display_stats = true;
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
	if (!opt->pid || optind < argc) {
		fprintf(stderr, opt->pid ? "thaw dump: what is '%s'?\n" : "thaw dump: -t PID is missing\n",
			argv[optind]);
		return 1;
	}
	return 0;
}

int cmd_dump(int argc, char **argv)
{
	struct dump_options opt = { .images_dir = ".", .page_store = "raw" };
	struct log_options log = { 0 };
	struct diag diag;
	int ret = parse(argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? usage(stdout) : 1;
	if (command_log(&log, opt.images_dir, &diag))
		return 1;
	return command_status("dump", dump_run(&opt, &diag), &diag);
}
