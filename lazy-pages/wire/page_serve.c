// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/page_serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/wire/page_session.h"

#define PIECE 256UL /* pages that are read and sent at once */

struct serving {
	struct link *link;
	struct page_supply *supply;
	struct diag *diag;
	void *buf; /* PIECE pages */
};

static int refuse(struct serving *s, const struct page_msg *msg, const char *why)
{
	diag_warn(s->diag, "%s sent command 0x%x, %llu pages at 0x%llx of process %llu: %s", link_peer(s->link),
		  msg->command, (unsigned long long)msg->nr_pages, (unsigned long long)msg->vaddr,
		  (unsigned long long)msg->whose, why);
	return -EPROTO;
}

/* Answer with pages, all that were asked for of the run that they begin in. */
static int send_pages(struct serving *s, struct page_msg *msg, const struct page_run *run, uint64_t skip)
{
	uint64_t left = MIN(msg->nr_pages, run->nr_pages - skip);
	bool first = true;

	msg->command = PAGE_ADD_F;
	msg->flags = PE_PRESENT;
	msg->len = 0;
	msg->nr_pages = left;
	while (left) {
		uint64_t nr = MIN(left, PIECE);
		const void *data;
		struct iovec iov;
		struct diag own;
		int ret;

		diag_init(&own, -1, DIAG_ERROR);
		ret = s->supply->ops->read(s->supply, msg->whose, run, skip, nr, s->buf, &data, &own);
		if (ret) {
			diag_warn(s->diag, "%llu pages at 0x%llx of process %llu cannot be had: %s",
				  (unsigned long long)nr, (unsigned long long)msg->vaddr,
				  (unsigned long long)msg->whose, own.text);
			if (!first) /* more was promised */
				return ret;
			msg->nr_pages = 0;
			return page_msg_send(s->link, msg, NULL, 0);
		}
		iov = (struct iovec){ (void *)data, nr * PAGE_SIZE };
		ret = first ? page_msg_send(s->link, msg, data, nr * PAGE_SIZE) : link_send(s->link, &iov, 1);
		if (ret)
			return ret;
		first = false;
		skip += nr;
		left -= nr;
	}
	return 0;
}

const char *page_find_run(struct page_supply *supply, const struct page_msg *msg, const struct pagemap **map,
			  const struct page_run **run, struct diag *diag)
{
	const char *why = page_msg_check(msg, PAGEMAP_ADDRESS_END);
	size_t i;
	int ret;

	if (why)
		return why;
	ret = supply->ops->map(supply, msg->whose, map, diag);
	if (ret)
		return ret == -ESRCH ? "there is no such process" : "its pagemap cannot be read";
	i = pagemap_find(*map, msg->vaddr);
	*run = &(*map)->runs[i];
	if (i == (*map)->nr || (*run)->vaddr > msg->vaddr || !((*run)->flags & PE_PRESENT) ||
	    msg->nr_pages > (*run)->nr_pages - (msg->vaddr - (*run)->vaddr) / PAGE_SIZE)
		return "it has no such pages; the two sides have different images";
	return NULL;
}

static int on_get(struct serving *s, struct page_msg *msg)
{
	const struct pagemap *map;
	const struct page_run *run;
	struct page_msg first = *msg;
	const char *why;

	first.nr_pages = MIN(first.nr_pages, 1); /* where the run ends the answer does */
	why = page_find_run(s->supply, &first, &map, &run, s->diag);
	return why ? refuse(s, msg, why) : send_pages(s, msg, run, (msg->vaddr - run->vaddr) / PAGE_SIZE);
}

enum serve_end page_serve(struct link *l, struct page_supply *supply, struct page_sessions *sessions, struct diag *diag)
{
	_cleanup_free_ void *buf = aligned_alloc(PAGE_SIZE, PIECE * PAGE_SIZE);
	struct serving s = { .link = l, .supply = supply, .diag = diag, .buf = buf };
	enum serve_end end = SERVE_IGNORED;
	struct page_msg msg;
	int ret = buf ? 0 : -ENOMEM;

	while (!ret && !(ret = page_msg_receive(l, &msg))) {
		if (end == SERVE_IGNORED && msg.command == PAGE_PARENT && msg.whose == THAW_PROCESS)
			return page_session_serve(l, supply, sessions, diag);
		end = SERVE_LOST;
		if (msg.command == PAGE_GET) {
			ret = on_get(&s, &msg);
		} else if (msg.command == PAGE_CLOSE || msg.command == PAGE_FORCE_CLOSE) {
			page_finished(l, 0);
			return SERVE_END;
		} else {
			ret = refuse(&s, &msg, "this server serves pages, it takes none");
		}
	}
	if (end == SERVE_LOST)
		diag_warn(diag, "the connection to %s ended before it had all: %s", link_peer(l),
			  ret == -ENODATA ? "it was closed" : strerror(-ret));
	return end;
}
