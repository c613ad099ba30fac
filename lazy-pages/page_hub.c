// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/page_hub.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "lazy-pages/wire/page_session.h"

/* A connection. Its thread serves it; the hub joins the thread and frees it. */
struct client {
	struct client *next;
	struct link *link;
	const struct net_options *net;
	struct page_supply *supply;
	struct page_sessions *sessions;
	struct diag *diag;
	int event; /* the hub's */
	pthread_t thread;
	enum serve_end end;
	bool over; /* atomic: the thread is about to end */
};

#define CLIENTS_MAX 256 /* connections at once: each has a thread */

struct running {
	const struct page_hub *hub;
	struct diag *diag;
	int event;
	struct page_sessions sessions;
	struct client *clients;
	unsigned nr_clients;
	bool given; /* pages may have been given away */
};

/* What a stranger does wrong is no failure of ours. */
static enum serve_end serve_link(const struct client *c)
{
	struct diag own;

	diag_init(&own, -1, DIAG_ERROR);
	if (!link_secure(c->link, c->net, &own))
		return page_serve(c->link, c->supply, c->sessions, c->diag);
	diag_warn(c->diag, "refused a connection: %s", own.text);
	return SERVE_IGNORED;
}

static void *serve_client(void *arg)
{
	struct client *c = arg;
	const uint64_t one = 1;

	c->end = serve_link(c);
	__atomic_store_n(&c->over, true, __ATOMIC_RELEASE);
	if (write(c->event, &one, sizeof(one)) < 0)
		diag_warn(c->diag, "cannot wake the page server: %s", strerror(errno));
	return NULL;
}

static int start_client(struct running *r)
{
	struct client *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return diag_fail(r->diag, ENOMEM, "out of memory for a connection");
	*c = (struct client){ .net = r->hub->net,
			      .supply = r->hub->supply,
			      .sessions = &r->sessions,
			      .diag = r->diag,
			      .event = r->event };
	ret = link_accept(r->hub->listen_fd, &c->link, r->diag);
	if (!ret && r->nr_clients == CLIENTS_MAX) {
		diag_warn(r->diag, "refused a connection from %s: there are %u", link_peer(c->link), r->nr_clients);
		ret = -EAGAIN;
	}
	if (!ret && !r->given && r->hub->first)
		ret = r->hub->first(r->hub->arg);
	if (!ret) {
		r->given = true;
		diag_info(r->diag, "Connection from %s", link_peer(c->link));
		ret = -pthread_create(&c->thread, NULL, serve_client, c);
		if (ret)
			diag_fail(r->diag, -ret, "no thread for a connection: %s", strerror(-ret));
	}
	if (ret) {
		link_close(c->link);
		free(c);
		return ret == -EAGAIN ? 0 : ret;
	}
	c->next = r->clients;
	r->clients = c;
	r->nr_clients++;
	return 0;
}

static void end_client(struct running *r, struct client **at)
{
	struct client *c = *at;

	pthread_join(c->thread, NULL);
	*at = c->next;
	r->nr_clients--;
	link_close(c->link);
	free(c);
}

/* Put away the clients that have ended. Return: whether one of them has all */
static bool collect(struct running *r)
{
	struct client **at = &r->clients;
	bool complete = false;
	uint64_t n;

	if (read(r->event, &n, sizeof(n)) < 0)
		return false;
	while (*at) {
		struct client *c = *at;

		if (!__atomic_load_n(&c->over, __ATOMIC_ACQUIRE)) {
			at = &c->next;
			continue;
		}
		if (c->end == SERVE_END) {
			diag_info(r->diag, "%s has all that it wants", link_peer(c->link));
			complete = true;
		}
		end_client(r, at);
	}
	return complete;
}

/* Return: whether to end */
static bool on_signal(struct running *r)
{
	struct signalfd_siginfo info;

	if (read(r->hub->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return false;
	if (!r->hub->once || !r->clients)
		return true;
	diag_warn(r->diag, "%s ignored: %s is being served, and its program depends on it",
		  strsignal((int)info.ssi_signo), link_peer(r->clients->link));
	return false;
}

static int loop(struct running *r)
{
	for (;;) {
		struct pollfd p[4] = { { r->hub->listen_fd, POLLIN, 0 },
				       { r->hub->signals, POLLIN, 0 },
				       { r->event, POLLIN, 0 },
				       { r->hub->work_fd, POLLIN, 0 } };
		int ret = 0;

		if (poll(p, 4, -1) < 0) {
			if (errno == EINTR)
				continue;
			return diag_fail(r->diag, errno, "cannot wait for connections: %s", strerror(errno));
		}
		if (p[3].revents)
			r->hub->work(r->hub->arg);
		if (p[2].revents && collect(r) && r->hub->once)
			return 0;
		if (p[1].revents && on_signal(r))
			return -EINTR;
		if (p[0].revents)
			ret = start_client(r);
		if (ret)
			return ret;
	}
}

int page_hub_run(const struct page_hub *hub, struct diag *diag)
{
	_cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct running r = { .hub = hub, .diag = diag, .event = event, .sessions.lock = PTHREAD_MUTEX_INITIALIZER };
	int ret;

	if (event < 0)
		return diag_fail(diag, errno, "cannot make an eventfd: %s", strerror(errno));
	ret = loop(&r);
	for (struct client *c = r.clients; c; c = c->next)
		link_shut(c->link);
	while (r.clients)
		end_client(&r, &r.clients);
	return ret;
}
