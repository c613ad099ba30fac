// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as what comes over the network: to the page server that receives a dump, to the one that serves memory, and
 * to the client of the latter. The first byte says to which. Nothing may be written that is not whole, nothing be
 * delivered that was not asked for, and each of them ends when the connection does.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/util.h"
#include "images/proto/all.h"
#include "lazy-pages/source/network_priv.h"
#include "lazy-pages/wire/page_receive.h"
#include "lazy-pages/wire/page_session.h"
#include "tests/fuzz/fuzz.h"

#define BASE 0x10000000ull

/* Everything that outlives an input. */
struct fixture {
	struct diag diag;
	int listen_fd;
	struct net_options net;
	char dir[64];
	struct pagemap map; /* of process 7: pages 0-99 lazy, 100-149 not, 200-263 lazy */
	uint8_t pages[300 * 4096];
};

static int supply_map(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag);
static int supply_read(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr,
		       void *buf, const void **data, struct diag *diag);

static const struct page_supply_ops supply_ops = { .map = supply_map, .read = supply_read };

struct supply {
	struct page_supply base;
	struct fixture *f;
};

static int supply_map(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag)
{
	*map = &((struct supply *)s)->f->map;
	return pid == 7 ? 0 : -ESRCH;
}

static int supply_read(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr,
		       void *buf, const void **data, struct diag *diag)
{
	struct fixture *f = ((struct supply *)s)->f;

	if (pid != 7 || run < f->map.runs || run >= f->map.runs + f->map.nr || skip + nr > run->nr_pages)
		abort();
	*data = f->pages + (run->vaddr - BASE) + skip * PAGE_SIZE;
	return 0;
}

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag, -1, DIAG_ERROR);
	f->listen_fd = link_listen(&f->net, &f->net.port, &f->diag);
	strcpy(f->dir, "/tmp/thaw-fuzz-XXXXXX");
	if (f->listen_fd < 0 || !mkdtemp(f->dir) || pagemap_append(&f->map, BASE, 100, PE_PRESENT | PE_LAZY) ||
	    pagemap_append(&f->map, BASE + 100 * PAGE_SIZE, 50, PE_PRESENT) ||
	    pagemap_append(&f->map, BASE + 200 * PAGE_SIZE, 64, PE_PRESENT | PE_LAZY))
		abort();
	memset(f->pages, 0x5a, 150 * PAGE_SIZE); /* the rest is zero */
	return f;
}

/* Send the input, and read whatever comes back until the end. */
struct other_end {
	int fd;
	const uint8_t *data;
	size_t size;
};

static void *other_end(void *arg)
{
	struct other_end *o = arg;
	char buf[65536];

	while (o->size) {
		ssize_t n = send(o->fd, o->data, o->size, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		o->data += n;
		o->size -= (size_t)n;
	}
	shutdown(o->fd, SHUT_WR);
	while (recv(o->fd, buf, sizeof(buf), 0) > 0)
		;
	return NULL;
}

static void receive(struct fixture *f, struct link *l)
{
	struct image_dir *dir;
	struct diag diag;

	diag_init(&diag, -1, DIAG_ERROR);
	if (image_dir_create(f->dir, &dir, &diag))
		abort();
	if (page_receive(l, dir, &diag) == 0 && diag.code)
		abort();
	image_dir_close(dir);
}

static void serve(struct fixture *f, struct link *l)
{
	struct supply supply = { .base.ops = &supply_ops, .f = f };
	struct page_sessions all = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct diag diag;

	diag_init(&diag, -1, DIAG_ERROR);
	page_serve(l, &supply.base, &all, &diag);
	if (all.first)
		abort();
}

/* The client's receiver, for a source with those pages. */
static void fetch(struct fixture *f, struct link *l, bool thaw)
{
	struct network_source ns = { .src.map = f->map, .id = 7 };
	struct network n = { .diag = &f->diag, .event = -1, .wires.bulk = l, .pushes = thaw };
	struct delivery *d;

	n.last_asked = &n.asked;
	n.last_come = &n.come;
	n.may_come[0] = 1000;
	n.zeroes = f->pages + 200 * PAGE_SIZE;
	pthread_mutex_init(&n.lock, NULL);
	pthread_mutex_init(&n.send_lock, NULL);
	if (network_knows(&n, &ns))
		abort();
	for (uint64_t i = 0; !thaw && i < 4; i++)
		criu_ask(&n, &ns, i * 16, 16, true);
	while (!(thaw ? thaw_receive(&n, l, false) : criu_receive(&n)))
		;
	while ((d = n.come)) {
		const struct page_run *run = pagemap_find_page(&f->map, d->slot);

		if (!run || d->nr > NETWORK_PIECE || !(run->flags & PE_LAZY) ||
		    d->slot + d->nr > run->index + run->nr_pages)
			abort();
		n.come = d->next;
		free(d->buf);
		free(d);
	}
	while ((d = n.spare)) {
		n.spare = d->next;
		free(d->buf);
		free(d);
	}
	criu_forget_requests(&n);
	idmap_free(&n.sources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fixture *f;
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct other_end o;
	struct link *l;
	pthread_t thread;

	if (!f)
		f = fixture_new();
	if (!size)
		return 0;
	addr.sin_port = htons((uint16_t)f->net.port);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	o = (struct other_end){ socket(AF_INET, SOCK_STREAM, 0), data + 1, size - 1 };
	if (connect(o.fd, (struct sockaddr *)&addr, sizeof(addr)) || link_accept(f->listen_fd, &l, &f->diag) ||
	    pthread_create(&thread, NULL, other_end, &o))
		abort();
	switch (data[0] % 4) {
	case 0:
		receive(f, l);
		break;
	case 1:
		serve(f, l);
		break;
	default:
		fetch(f, l, data[0] & 1);
	}
	link_close(l);
	pthread_join(thread, NULL);
	close(o.fd);
	return 0;
}
