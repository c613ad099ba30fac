/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_SERVE_H
#define THAW_LAZY_PAGE_SERVE_H

#include "images/pagestore.h"
#include "lazy-pages/wire/page_wire.h"

/*
 * A page server that serves memory. Where that comes from is a *supply*: images on disk, or a frozen tree. Each
 * connection has a thread; a supply's calls come from all of them.
 */
struct page_supply;

struct page_supply_ops {
	/* The pagemap of a process: what may be asked for. Return: 0, -ESRCH without a sentence, or -errno with one */
	int (*map)(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag);
	/* Pages of one run; as page_store_get() */
	int (*read)(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr,
		    void *buf, const void **data, struct diag *diag);
	/* These pages will not be asked for again by the client that has them; NULL: does not care */
	void (*forget)(struct page_supply *s, uint64_t pid, uint64_t vaddr, uint64_t nr);
};

struct page_supply {
	const struct page_supply_ops *ops;
};

enum serve_end {
	SERVE_END,    /* the other end has all that it wants */
	SERVE_LOST,   /* the connection ended before that */
	SERVE_IGNORED /* it asked for nothing: somebody looked whether we listen */
};

struct page_sessions;

/**
 * page_serve() - Serve one connection until its end
 * @supply: kept by the caller
 * @sessions: those of Thaw's own protocol that there are, page_session.h
 *
 * What goes wrong is said in @diag's log, as a warning.
 */
enum serve_end page_serve(struct link *l, struct page_supply *supply, struct page_sessions *sessions,
			  struct diag *diag);

/**
 * page_find_run() - The run that a message's pages lie in
 *
 * Return: NULL, or what is wrong with the message
 */
const char *page_find_run(struct page_supply *supply, const struct page_msg *msg, const struct pagemap **map,
			  const struct page_run **run, struct diag *diag);

#endif
