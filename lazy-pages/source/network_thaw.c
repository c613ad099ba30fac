// SPDX-License-Identifier: GPL-2.0-only
/* Thaw's own protocol: pages come by themselves as far as there is credit, and on a connection of their own for those
 * who wait. */
#include <errno.h>
#include <string.h>

#include "common/util.h"
#include "lazy-pages/source/network_priv.h"

/* Which pages of which source a message is about. Return: 0, or -EPROTO */
static int find_pages(struct network *n, const struct page_msg *msg, struct delivery *d)
{
	struct network_source *ns;
	const struct page_run *run;
	size_t i;

	if (page_msg_check(msg, PAGEMAP_ADDRESS_END) || msg->nr_pages > PAGE_PACK_MAX)
		return -EPROTO;
	pthread_mutex_lock(&n->lock);
	ns = idmap_get(&n->sources, msg->whose);
	pthread_mutex_unlock(&n->lock);
	if (!ns)
		return -EPROTO;
	i = pagemap_find(&ns->src.map, msg->vaddr);
	run = &ns->src.map.runs[i];
	if (i == ns->src.map.nr || run->vaddr > msg->vaddr || !(run->flags & PE_PRESENT) || !(run->flags & PE_LAZY) ||
	    msg->nr_pages > run->nr_pages - (msg->vaddr - run->vaddr) / PAGE_SIZE)
		return -EPROTO;
	d->src = &ns->src;
	d->slot = run->index + (msg->vaddr - run->vaddr) / PAGE_SIZE;
	d->nr = msg->nr_pages;
	return 0;
}

/* More than was asked for would fill our memory. Return: 0, or -EPROTO */
static int take_leave(struct network *n, bool urgent, uint64_t nr)
{
	bool may;

	pthread_mutex_lock(&n->lock);
	may = nr <= n->may_come[urgent];
	n->may_come[urgent] -= may ? nr : 0;
	pthread_mutex_unlock(&n->lock);
	return may ? 0 : -EPROTO;
}

static void give_leave(struct network *n, bool urgent, uint64_t nr)
{
	pthread_mutex_lock(&n->lock);
	n->may_come[urgent] += nr;
	pthread_mutex_unlock(&n->lock);
}

/* Receive the pages behind a THAW_PAGES. Return: 0, -EBADMSG, -EPROTO, or -errno */
static int receive_packed(struct network *n, struct link *l, const struct page_msg *msg, struct delivery *d)
{
	uint8_t packed[PAGE_PACK_ROOM + PAGE_PACK_SUM];
	size_t len = msg->flags == PACK_RAW ? PAGE_PACK_SUM : msg->len;
	int ret;

	if (page_pack_check(msg))
		return -EPROTO;
	d->data = msg->flags == PACK_ZERO ? n->zeroes : d->buf;
	if (msg->flags == PACK_ZERO)
		return 0;
	ret = link_receive(l, packed, len);
	if (!ret && msg->flags == PACK_RAW)
		ret = link_receive(l, d->buf, msg->len - len);
	return ret ? ret : page_unpack(msg, packed, d->buf);
}

int thaw_receive(struct network *n, struct link *l, bool urgent)
{
	uint8_t head[PAGE_MSG_LEN];
	struct page_msg msg;
	struct delivery *d;
	int ret = link_receive(l, head, sizeof(n->status));

	/* A message begins with its command, which is not 0. */
	if (!ret && !urgent && network_at_end(n) && !memcmp(head, &(uint32_t){ 0 }, sizeof(uint32_t)))
		return -ESHUTDOWN;
	if (!ret)
		ret = link_receive(l, head + sizeof(n->status), sizeof(head) - sizeof(n->status));
	if (ret)
		return ret;
	page_msg_decode(head, &msg);
	if (msg.command != THAW_PAGES && msg.command != THAW_LACK)
		return -EPROTO;
	d = delivery_new(n);
	if (!d)
		return -ENOMEM;
	d->urgent = urgent;
	ret = find_pages(n, &msg, d);
	if (!ret)
		ret = take_leave(n, urgent, d->nr);
	d->asked = urgent ? 0 : d->nr;
	if (!ret && msg.command == THAW_PAGES)
		ret = receive_packed(n, l, &msg, d);
	if (ret)
		network_release(n, d);
	else
		delivery_hand_over(n, d);
	return ret == -ENODATA ? -ECONNRESET : ret;
}

/* About pages of one run. */
static int say(struct network *n, enum page_command command, const struct network_source *ns, uint64_t slot,
	       uint64_t nr)
{
	const struct page_run *run = pagemap_find_page(&ns->src.map, slot);
	const struct page_msg msg = { .command = (uint16_t)command,
				      .nr_pages = nr,
				      .vaddr = run->vaddr + (slot - run->index) * PAGE_SIZE,
				      .whose = ns->id };

	return network_send(n, command == PAGE_GET, &msg);
}

int network_say(struct network *n, enum network_word word, const struct network_source *ns, uint64_t slot, uint64_t nr)
{
	static const enum page_command commands[] = {
		[NETWORK_WANT] = THAW_WANT,
		[NETWORK_FROM] = THAW_FROM,
		[NETWORK_DROP] = THAW_DROP,
		[NETWORK_GET] = PAGE_GET,
	};
	int ret = 0;

	while (nr && !ret) {
		const struct page_run *run = pagemap_find_page(&ns->src.map, slot);
		uint64_t some = MIN(nr, run->index + run->nr_pages - slot);

		if (word == NETWORK_GET)
			give_leave(n, true, some);
		ret = say(n, commands[word], ns, slot, some);
		slot += some;
		nr -= some;
	}
	return ret;
}

int network_grant(struct network *n, uint64_t nr)
{
	const struct page_msg msg = { .command = THAW_CREDIT, .nr_pages = nr };

	n->owed += nr;
	give_leave(n, false, nr);
	return network_send(n, false, &msg);
}
