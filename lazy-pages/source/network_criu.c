// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRIU's protocol. Requests go out as they are made; the server answers them in their order, so the oldest one says
 * what the next answer must be about.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/source/network_priv.h"

/* The oldest request, taken from the list; NULL: there is none. */
static struct request *next_request(struct network *n)
{
	struct request *r;

	pthread_mutex_lock(&n->lock);
	r = n->asked;
	if (r) {
		n->asked = r->next;
		if (!n->asked)
			n->last_asked = &n->asked;
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* Receive the pages of an answer to @r. Return: 0, or -errno */
static int receive_pages(struct network *n, const struct request *r, const struct page_msg *msg)
{
	struct delivery *d = delivery_new(n);
	int ret;

	if (!d)
		return -ENOMEM;
	d->src = &r->src->src;
	d->slot = r->slot;
	d->asked = r->nr;
	d->nr = msg->nr_pages ? msg->nr_pages : 1;
	d->data = msg->nr_pages ? d->buf : NULL;
	d->urgent = r->urgent;
	ret = link_receive(n->wires.bulk, d->buf, msg->nr_pages * PAGE_SIZE);
	if (ret)
		network_release(n, d);
	else
		delivery_hand_over(n, d);
	return ret;
}

int criu_receive(struct network *n)
{
	_cleanup_free_ struct request *r = NULL;
	uint8_t head[PAGE_MSG_LEN];
	struct page_msg msg;
	int ret = link_receive(n->wires.bulk, head, sizeof(n->status));

	if (!ret && network_at_end(n)) {
		memcpy(&n->status, head, sizeof(n->status));
		return -ESHUTDOWN;
	}
	if (!ret)
		ret = link_receive(n->wires.bulk, head + sizeof(n->status), sizeof(head) - sizeof(n->status));
	if (ret)
		return ret;
	page_msg_decode(head, &msg);
	r = next_request(n);
	if (!r || msg.command != PAGE_ADD_F || msg.whose != r->src->id || msg.vaddr != r->vaddr || msg.nr_pages > r->nr)
		return -EPROTO;
	return receive_pages(n, r, &msg);
}

int criu_ask(struct network *n, struct network_source *src, uint64_t slot, uint64_t nr, bool urgent)
{
	const struct page_run *run = pagemap_find_page(&src->src.map, slot);
	const struct page_msg msg = { .command = PAGE_GET,
				      .nr_pages = nr,
				      .vaddr = run->vaddr + (slot - run->index) * PAGE_SIZE,
				      .whose = src->id };
	struct request *r = malloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct request){ .src = src, .slot = slot, .nr = nr, .vaddr = msg.vaddr, .urgent = urgent };
	pthread_mutex_lock(&n->lock);
	*n->last_asked = r;
	n->last_asked = &r->next;
	pthread_mutex_unlock(&n->lock);
	n->owed += nr;
	return network_send(n, false, &msg);
}

void criu_forget_requests(struct network *n)
{
	struct request *r;

	while ((r = next_request(n)))
		free(r);
}
