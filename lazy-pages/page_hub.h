/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_HUB_H
#define THAW_LAZY_PAGE_HUB_H

#include <stdbool.h>

#include "lazy-pages/wire/page_serve.h"

/* What a page server that serves memory needs; all of it is the caller's. */
struct page_hub {
	int listen_fd;
	int signals; /* a signalfd that says when to end */
	const struct net_options *net;
	struct page_supply *supply;
	bool once; /* end when a client has all that it wants */
	/* Called before the first page is given away; NULL: nothing to do. Return: 0, or -errno with a sentence */
	int (*first)(void *arg);
	/* Called in the thread of page_hub_run() when @work_fd is readable; -1: none */
	void (*work)(void *arg);
	int work_fd;
	void *arg; /* of both */
};

/**
 * page_hub_run() - Take connections, each into a thread of its own, and serve them
 *
 * While a client is being served, a signal is no reason to end a hub that serves once: its program would die.
 *
 * Return: 0 a client has all, -EINTR (no sentence) a signal came, or -errno with a sentence
 */
int page_hub_run(const struct page_hub *hub, struct diag *diag);

#endif
