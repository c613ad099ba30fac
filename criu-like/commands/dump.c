// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/commands/net_rows.h"
#include "criu-like/commands/scripts.h"
#include "criu-like/dump.h"

#define AT(member) offsetof(struct dump_options, member)

static const struct command_option options[] = {
	{ OPTION_TEXTS, 0, "action-script", AT(scripts), "FILE", "run it at each step, as CRIU does; may be repeated",
	  0, 0 },
	{ OPTION_NUMBER, 't', "tree", AT(pid), "PID", "the root of the tree", 1, INT32_MAX },
	{ OPTION_TEXT, 'D', "images-dir", AT(images_dir), "DIR", "where the images go (must exist; default: here)", 0,
	  0 },
	{ OPTION_TEXT, 0, "prev-images-dir", AT(prev_images_dir), "DIR",
	  "earlier images, seen from -D: pages that have not changed since are not written again", 0, 0 },
	{ OPTION_FLAG, 'R', "leave-running", AT(leave_running), NULL, "let the tree go on afterwards", 0, 0 },
	{ OPTION_FLAG, 's', "leave-stopped", AT(leave_stopped), NULL, "leave the tree stopped afterwards", 0, 0 },
	{ OPTION_FLAG, 'j', "shell-job", AT(shell_job), NULL, "the session may belong to a shell outside", 0, 0 },
	{ OPTION_FLAG, 0, "tcp-established", AT(tcp_established), NULL, "keep TCP connections", 0, 0 },
	{ OPTION_FLAG, 0, "tcp-close", AT(tcp_close), NULL, "restore TCP connections as closed sockets", 0, 0 },
	{ OPTION_FLAG, 0, "skip-in-flight", AT(skip_in_flight), NULL, "drop TCP connections that wait to be accepted",
	  0, 0 },
	{ OPTION_FLAG, 'x', "ext-unix-sk", AT(ext_unix), "[INODE]",
	  "allow datagram sockets that are connected to others outside", 0, 0 },
	{ OPTION_TEXT, 0, "network-lock", AT(network_lock), "METHOD",
	  "how to lock TCP connections: nftables (default) or skip", 0, 0 },
	{ OPTION_TEXT, 'W', "work-dir", AT(work_dir), "DIR", "where the log is (default: DIR)", 0, 0 },
	{ OPTION_FLAG, 0, "link-remap", AT(link_remap), NULL, "give deleted files names again, beside their old ones",
	  0, 0 },
	{ OPTION_SIZE, 0, "ghost-limit", AT(ghost_limit), "SIZE",
	  "the most that is kept of a deleted file (default: all)", 0, 0 },
	{ OPTION_TEXT, 0, "page-store", AT(page_store), "KIND", "raw (default) or files (one gzip file a page)", 0, 0 },
	{ OPTION_UNSIGNED, 0, "timeout", AT(timeout), "SECONDS", "give up after so long", 1, 1000000 },
	{ OPTION_FLAG, 0, "page-server", AT(page_server), NULL, "send memory to a page server", 0, 0 },
	{ OPTION_FLAG, 0, "lazy-pages", AT(lazy), NULL,
	  "do not write memory, but serve it from the frozen tree until a client has all", 0, 0 },
	NET_ROWS(AT(net)),
	{ OPTION_FLAG, 0, "free-moved", AT(free_moved), NULL,
	  "with --lazy-pages: free what a client has; the tree cannot go on here then", 0, 0 },
	{ OPTION_NUMBER, 0, "status-fd", AT(status_fd), "FD",
	  "with --lazy-pages: write a NUL byte there when it listens", 0, 1 << 20 },
	{ OPTION_FLAG, 0, "display-stats", AT(display_stats), NULL, "say how long the tree was frozen", 0, 0 },
};

static const struct command_usage usage = { "dump -t PID -D DIR [OPTIONS]",
					    "Freeze a process and all its descendants into images.\n", options,
					    ARRAY_SIZE(options) };

static const struct command_usage pre_dump_usage = {
	"pre-dump -t PID -D DIR [OPTIONS]",
	"Copy the memory of a tree into images and let it run on, for a dump with --prev-images-dir to go on from.\n",
	options, ARRAY_SIZE(options)
};

/* Where memory goes must be clear. Return: 0, or 1 after a message */
static int check_memory(const struct dump_options *opt)
{
	const char *why = NULL;

	if (opt->lazy && opt->page_server)
		why = "--lazy-pages serves memory, --page-server sends it; give one of the two";
	else if (opt->lazy && (opt->leave_running || opt->leave_stopped))
		why = "--lazy-pages ends the tree when its memory is elsewhere; -R and -s do not go with it";
	else if (opt->free_moved && !opt->lazy)
		why = "--free-moved goes with --lazy-pages";
	else if (opt->page_server && !opt->net.port)
		why = "--page-server needs the server's --port";
	else if (opt->page_server && strcmp(opt->page_store, "raw") != 0)
		why = "--page-server goes with --page-store raw only";
	else if ((opt->prev_images_dir || opt->pre_dump) && (opt->lazy || opt->page_server))
		why = "pre-dumps and --prev-images-dir go into directories, not with --lazy-pages or --page-server";
	if (why)
		fprintf(stderr, "thaw dump: %s\n", why);
	return why != NULL;
}

int call_dump(int argc, char **argv, struct command_call *call)
{
	struct dump_options opt = {
		.hook = call->hook, .images_dir = ".", .page_store = "raw", .network_lock = "nftables", .status_fd = -1
	};
	struct scripts scripts = { .paths = &opt.scripts, .next = call->hook };
	const struct action_hook hook = { scripts_run, &scripts };
	struct log_options log = { .stderr_fd = call->stderr_fd };
	struct diag *diag = &call->diag;
	int ret = command_parse(strcmp(argv[0], "pre-dump") ? &usage : &pre_dump_usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (!opt.pid) {
		fprintf(stderr, "thaw %s: -t PID is missing\n", argv[0]);
		return 1;
	}
	opt.pre_dump = !strcmp(argv[0], "pre-dump");
	opt.leave_running |= opt.pre_dump;
	if (check_memory(&opt) || command_network_lock(opt.network_lock))
		return 1;
	if (command_log(&log, opt.work_dir ? opt.work_dir : opt.images_dir, diag))
		return 1;
	scripts.images_dir = opt.images_dir;
	opt.hook = opt.scripts.nr ? &hook : call->hook;
	return command_status(argv[0], dump_run(&opt, diag), diag);
}

int cmd_dump(int argc, char **argv)
{
	struct command_call call = { 0 };

	return call_dump(argc, argv, &call);
}
