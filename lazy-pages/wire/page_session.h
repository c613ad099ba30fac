/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_SESSION_H
#define THAW_LAZY_PAGE_SESSION_H

#include <pthread.h>

#include "lazy-pages/wire/page_serve.h"

/*
 * The server's side of Thaw's own protocol (page_wire.h). A session is one client: its bulk connection, whose thread
 * owns it, and an urgent one, which finds it by its number.
 */
struct page_session;

struct page_sessions {
	pthread_mutex_t lock;
	struct page_session *first;
};

/**
 * page_session_serve() - Serve a connection whose PAGE_PARENT was Thaw's, from its answer on
 * @all: the sessions that there are
 */
enum serve_end page_session_serve(struct link *l, struct page_supply *supply, struct page_sessions *all,
				  struct diag *diag);

#endif
