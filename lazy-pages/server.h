/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_SERVER_H
#define THAW_LAZY_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/diag.h"
#include "lazy-pages/modes.h"
#include "lazy-pages/net/link.h"

/* What `thaw lazy-pages` was asked for. All strings are the caller's. */
struct network;

struct lazy_options {
	const char *images_dir;
	const char *work_dir;	/* where the socket, and relative pidfile and stats_file, are; NULL: images_dir */
	const char *pidfile;	/* written when listening; NULL: none */
	const char *stats_file; /* JSON, written at the end; NULL: none */
	bool for_restore;	/* started by a restore, and of no use without it */
	int status_fd;		/* gets one NUL byte when listening; -1: none */
	bool daemon;		/* go to the background when listening */
	unsigned workers;	/* fillers; 0: one a CPU, at most 8 */
	bool progress;		/* a progress bar on standard error */
	bool no_verify;		/* take pages without comparing their checksums */
	struct lazy_modes modes;
	bool keep_serving;	 /* any number of restores, until SIGTERM; then what was taken is still filled */
	bool page_server;	 /* pages come from one */
	struct net_options net;	 /* where it is */
	struct network *network; /* the connection to it; lazy_server_run() and lazy_server_start() set it */
	pid_t owner;		 /* if it ends and has handed nothing over the service ends too; 0: nobody */
	bool summary;		 /* say at the end, on standard output, what was filled and what is gone */
};

/**
 * lazy_server_run() - Serve one restore (or with opt->keep_serving any number): listen, take processes, fill their
 * memory
 *
 * Blocks until every page is filled or gone (and with opt->keep_serving until it is asked to end); with opt->daemon it
 * returns as soon as the server listens.
 *
 * Return: 0, or -errno with a sentence in @diag (-EADDRINUSE: another server listens there)
 */
int lazy_server_run(const struct lazy_options *opt, struct diag *diag);

/**
 * lazy_server_start() - Start a server in the background and return when its socket listens
 *
 * It is in a session of its own, is nobody's child to reap, and goes on logging to @diag's log. opt->daemon is implied.
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int lazy_server_start(const struct lazy_options *opt, struct diag *diag);

#endif
