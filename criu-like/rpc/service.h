/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_RPC_SERVICE_H
#define THAW_RPC_SERVICE_H

#include <stdbool.h>

#include "common/diag.h"

/* What `thaw service` was asked for. */
struct service_options {
	const char *address;  /* path of the socket; a relative one is in @work_dir */
	const char *work_dir; /* NULL: the current directory */
	const char *pidfile;
	int status_fd; /* -1: none */
	bool daemon;
};

/**
 * service_run() - Listen on a socket, and serve each connection by a process of its own
 *
 * Only root and the user that runs it are served: its requests are done with its own rights.
 *
 * Return: with @daemon 0 once the service listens, otherwise never 0; or -errno with a sentence
 */
int service_run(const struct service_options *opt, struct diag *diag);

#endif
