// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/source/network.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/wire/page_wire.h"

/*
 * Requests go out as they are made; the server answers them in their order, so the oldest one says what the next answer
 * must be about.
 */

#define SPARE_MAX 64 /* buffers that are kept */
#define FINISH_S 10  /* how long to wait for the last word */

struct request {
	struct request *next;
	struct network_source *src;
	uint64_t slot, nr, vaddr;
	bool urgent;
};

struct network {
	const struct net_options *opt;
	struct diag *diag;
	struct link *link;
	int event;
	pthread_t thread;
	bool running;
	uint64_t owed;	      /* the owner's */
	pthread_mutex_t lock; /* of what follows */
	struct request *asked, **last_asked;
	struct delivery *come, **last_come;
	int error;
	bool closing;	 /* the page server has been told that nothing more is wanted ... */
	uint32_t status; /* ... and has answered this */
	struct delivery *spare;
	unsigned nr_spare;
};

int network_connect(const struct net_options *opt, struct network **out, struct diag *diag)
{
	struct network *n = calloc(1, sizeof(*n));
	int ret;

	if (!n)
		return diag_fail(diag, ENOMEM, "out of memory for a connection");
	n->opt = opt;
	n->diag = diag;
	n->event = -1;
	n->last_asked = &n->asked;
	n->last_come = &n->come;
	pthread_mutex_init(&n->lock, NULL);
	ret = link_connect(opt, &n->link, diag);
	if (ret)
		network_close(n);
	else
		*out = n;
	return ret;
}

int network_reconnect(struct network *n, struct diag *diag)
{
	link_close(TAKE_PTR(n->link));
	return link_connect(n->opt, &n->link, diag);
}

int network_link_fd(const struct network *n)
{
	return link_fd(n->link);
}

/* A new delivery with a buffer, or NULL. */
static struct delivery *delivery_new(struct network *n)
{
	struct delivery *a;
	void *buf;

	pthread_mutex_lock(&n->lock);
	a = n->spare;
	if (a) {
		n->spare = a->next;
		n->nr_spare--;
	}
	pthread_mutex_unlock(&n->lock);
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (a)
			a->buf = aligned_alloc(PAGE_SIZE, NETWORK_PIECE * PAGE_SIZE);
	}
	if (a && !a->buf) {
		free(a);
		return NULL;
	}
	if (a) {
		buf = a->buf;
		*a = (struct delivery){ .buf = buf };
	}
	return a;
}

void network_release(struct network *n, struct delivery *a)
{
	bool keep;

	pthread_mutex_lock(&n->lock);
	keep = n->nr_spare < SPARE_MAX;
	if (keep) {
		a->next = n->spare;
		n->spare = a;
		n->nr_spare++;
	}
	pthread_mutex_unlock(&n->lock);
	if (keep)
		return;
	free(a->buf);
	free(a);
}

static void wake_owner(struct network *n)
{
	const uint64_t one = 1;

	if (write(n->event, &one, sizeof(one)) < 0)
		diag_warn(n->diag, "cannot wake the owner: %s", strerror(errno));
}

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
	struct delivery *a = delivery_new(n);
	bool first;
	int ret;

	if (!a)
		return -ENOMEM;
	a->src = &r->src->src;
	a->slot = r->slot;
	a->asked = r->nr;
	a->nr = msg->nr_pages ? msg->nr_pages : 1;
	a->data = msg->nr_pages ? a->buf : NULL;
	a->urgent = r->urgent;
	ret = link_receive(n->link, a->buf, msg->nr_pages * PAGE_SIZE);
	if (ret) {
		network_release(n, a);
		return ret;
	}
	pthread_mutex_lock(&n->lock);
	first = !n->come;
	*n->last_come = a;
	n->last_come = &a->next;
	pthread_mutex_unlock(&n->lock);
	if (first)
		wake_owner(n);
	return 0;
}

/* Is the next word the answer to a PAGE_CLOSE? */
static bool at_the_end(struct network *n)
{
	bool end;

	pthread_mutex_lock(&n->lock);
	end = n->closing && !n->asked;
	pthread_mutex_unlock(&n->lock);
	return end;
}

static int receive_answer(struct network *n)
{
	_cleanup_free_ struct request *r = NULL;
	uint8_t head[PAGE_MSG_LEN];
	struct page_msg msg;
	int ret = link_receive(n->link, head, sizeof(n->status));

	if (!ret && at_the_end(n)) {
		memcpy(&n->status, head, sizeof(n->status));
		return -ESHUTDOWN;
	}
	if (!ret)
		ret = link_receive(n->link, head + sizeof(n->status), sizeof(head) - sizeof(n->status));
	if (ret)
		return ret;
	page_msg_decode(head, &msg);
	r = next_request(n);
	if (!r || msg.command != PAGE_ADD_F || msg.whose != r->src->id || msg.vaddr != r->vaddr || msg.nr_pages > r->nr)
		return -EPROTO;
	return receive_pages(n, r, &msg);
}

static void *receiver(void *arg)
{
	struct network *n = arg;
	int ret;

	do
		ret = receive_answer(n);
	while (!ret);
	pthread_mutex_lock(&n->lock);
	n->error = ret;
	pthread_mutex_unlock(&n->lock);
	wake_owner(n);
	return NULL;
}

int network_start(struct network *n, struct diag *diag)
{
	int ret;

	n->diag = diag;
	n->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->event < 0)
		return diag_fail(diag, errno, "cannot make an eventfd: %s", strerror(errno));
	ret = pthread_create(&n->thread, NULL, receiver, n);
	if (ret)
		return diag_fail(diag, ret, "cannot start a thread to receive pages: %s", strerror(ret));
	n->running = true;
	return 0;
}

int network_fd(const struct network *n)
{
	return n->event;
}

const char *network_peer(const struct network *n)
{
	return link_peer(n->link);
}

uint64_t network_owed(const struct network *n)
{
	return n->owed;
}

int network_ask(struct network *n, struct network_source *src, uint64_t slot, uint64_t nr, bool urgent)
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
	return page_msg_send(n->link, &msg, NULL, 0);
}

struct delivery *network_collect(struct network *n, int *error)
{
	struct delivery *all;
	uint64_t count;

	if (read(n->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		diag_warn(n->diag, "cannot read the network's event: %s", strerror(errno));
	pthread_mutex_lock(&n->lock);
	all = n->come;
	n->come = NULL;
	n->last_come = &n->come;
	*error = n->error;
	pthread_mutex_unlock(&n->lock);
	for (struct delivery *a = all; a; a = a->next)
		n->owed -= a->asked;
	return all;
}

int network_finish(struct network *n)
{
	const struct page_msg msg = { .command = PAGE_CLOSE };
	int ret;

	pthread_mutex_lock(&n->lock);
	n->closing = true;
	pthread_mutex_unlock(&n->lock);
	ret = page_msg_send(n->link, &msg, NULL, 0);
	if (ret)
		return ret;
	link_patience(n->link, FINISH_S);
	pthread_join(n->thread, NULL);
	n->running = false;
	return n->error != -ESHUTDOWN ? n->error : n->status ? -EREMOTEIO : 0;
}

static void free_deliveries(struct delivery *a)
{
	while (a) {
		struct delivery *next = a->next;

		free(a->buf);
		free(a);
		a = next;
	}
}

void network_close(struct network *n)
{
	struct request *r;

	if (!n)
		return;
	if (n->running) {
		link_shut(n->link);
		pthread_join(n->thread, NULL);
	}
	while ((r = next_request(n)))
		free(r);
	free_deliveries(n->come);
	free_deliveries(n->spare);
	link_close(n->link);
	if (n->event >= 0)
		close(n->event);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

/* The pages that are served count as present: they are what the source has. */
static int served_map(struct pagemap *map)
{
	struct pagemap served = { .pages_id = map->pages_id };

	memcpy(served.name, map->name, sizeof(served.name));
	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		uint32_t flags =
			run->flags & PE_LAZY && !(run->flags & PE_PARENT) ? run->flags | PE_PRESENT : run->flags;

		if (pagemap_append(&served, run->vaddr, run->nr_pages, flags)) {
			pagemap_free(&served);
			return -ENOMEM;
		}
	}
	pagemap_free(map);
	*map = served;
	return 0;
}

/* Nobody reads from it: pages come as deliveries. */
static int network_source_read(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr, void *buf,
			       const void **data, struct diag *diag)
{
	return diag_fail(diag, ENODATA, "the page at 0x%llx has not come yet",
			 (unsigned long long)(run->vaddr + skip * PAGE_SIZE));
}

static void network_source_close(struct source *src)
{
	struct network_source *ns = (struct network_source *)src;

	pagemap_free(&src->map);
	free(ns->asked);
	free(ns);
}

static const struct source_ops network_source_ops = {
	.name = "network",
	.read = network_source_read,
	.close = network_source_close,
};

int source_open_network(struct image_dir *dir, pid_t pid, struct source **out, struct diag *diag)
{
	struct network_source *ns = calloc(1, sizeof(*ns));
	int ret;

	if (!ns)
		return diag_fail(diag, ENOMEM, "out of memory opening the pages of process %d", pid);
	ns->src.ops = &network_source_ops;
	ns->src.refs = 1;
	ns->id = (uint64_t)pid;
	ret = pagemap_read(dir, IMG_PAGEMAP, (uint64_t)pid, &ns->src.map, diag);
	if (!ret && served_map(&ns->src.map))
		ret = diag_fail(diag, ENOMEM, "out of memory for the pagemap of process %d", pid);
	if (!ret) {
		ns->asked = calloc(ns->src.map.nr_present / 64 + 1, sizeof(*ns->asked));
		if (!ns->asked)
			ret = diag_fail(diag, ENOMEM, "out of memory for the pages of process %d", pid);
	}
	if (ret)
		network_source_close(&ns->src);
	else
		*out = &ns->src;
	return ret;
}
