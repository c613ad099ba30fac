/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_SERVER_H
#define THAW_LAZY_PAGE_SERVER_H

#include <stdbool.h>

#include "common/diag.h"
#include "lazy-pages/net/link.h"

/* What `thaw page-server` was asked for. All strings are the caller's. */
struct page_server_options {
	const char *images_dir;
	const char *work_dir; /* where a relative pidfile is; NULL: images_dir */
	const char *pidfile;  /* written when listening; NULL: none */
	struct net_options net;
	int status_fd; /* gets one NUL byte when listening; -1: none */
	bool daemon;   /* go to the background when listening */
	bool lazy;     /* serve pages from the images */
};

/**
 * page_server_run() - Receive the pages of one dump, or serve pages, over the network
 *
 * Receiving ends with the dump: all of its pages are in the directory then, or nothing of it.
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int page_server_run(const struct page_server_options *opt, struct diag *diag);

#endif
