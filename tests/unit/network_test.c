// SPDX-License-Identifier: GPL-2.0-only
/* A client and a page server in one process, over loopback: Thaw's own protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/page_hub.h"
#include "lazy-pages/source/network.h"

#define BASE 0x10000000ull
#define PAGES 3000u
#define ZERO_FROM 1000u /* these pages are zero ... */
#define ZERO_TO 1100u
#define BAD 2500u /* ... and this one cannot be had */
#define PID 42

struct rig {
	struct page_supply supply;
	struct diag diag;
	struct net_options net;
	struct pagemap map;
	struct page_hub hub;
	pthread_t thread;
	int result;	    /* of the hub */
	unsigned forgotten; /* pages; atomic */
	struct network *network;
	struct network_source src;
	unsigned came[PAGES];
};

static void fill(uint64_t *page, uint64_t nr)
{
	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		page[i] = nr >= ZERO_FROM && nr < ZERO_TO ? 0 : nr * 0x9e3779b97f4a7c15ull + i;
}

static int supply_map(struct page_supply *s, uint64_t pid, const struct pagemap **map, struct diag *diag)
{
	*map = &((struct rig *)s)->map;
	return pid == PID ? 0 : -ESRCH;
}

static int supply_read(struct page_supply *s, uint64_t pid, const struct page_run *run, uint64_t skip, uint64_t nr,
		       void *buf, const void **data, struct diag *diag)
{
	for (uint64_t i = 0; i < nr; i++) {
		if (run->index + skip + i == BAD)
			return diag_fail(diag, EIO, "it is bad");
		fill((uint64_t *)((char *)buf + i * PAGE_SIZE), run->index + skip + i);
	}
	*data = buf;
	return 0;
}

static void supply_forget(struct page_supply *s, uint64_t pid, uint64_t vaddr, uint64_t nr)
{
	__atomic_fetch_add(&((struct rig *)s)->forgotten, (unsigned)nr, __ATOMIC_RELAXED);
}

static const struct page_supply_ops ops = { .map = supply_map, .read = supply_read, .forget = supply_forget };

static void *serve(void *arg)
{
	struct rig *r = arg;

	r->result = page_hub_run(&r->hub, &r->diag);
	return NULL;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	unsigned port;

	diag_init(&r->diag, -1, DIAG_ERROR);
	r->supply.ops = &ops;
	r->net.reconnect_timeout = 20;
	/* Two runs, the second from page 2000 of the store on. */
	if (pagemap_append(&r->map, BASE, 2000, PE_PRESENT | PE_LAZY) ||
	    pagemap_append(&r->map, BASE + 5000 * PAGE_SIZE, PAGES - 2000, PE_PRESENT | PE_LAZY))
		return -1;
	r->hub = (struct page_hub){
		.listen_fd = link_listen(&r->net, &port, &r->diag),
		.signals = eventfd(0, EFD_CLOEXEC),
		.net = &r->net,
		.supply = &r->supply,
		.once = true,
		.work_fd = -1,
	};
	r->net.port = port;
	r->src = (struct network_source){ .src.map = r->map, .id = PID };
	*state = r;
	return r->hub.listen_fd < 0 || pthread_create(&r->thread, NULL, serve, r) ? -1 : 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	close(r->hub.listen_fd);
	close(r->hub.signals);
	pagemap_free(&r->map);
	free(r);
	return 0;
}

static void connect_client(struct rig *r, const char *compress)
{
	r->net.compress = compress;
	assert_int_equal(network_connect(&r->net, &r->network, &r->diag), 0);
	assert_true(network_pushes(r->network));
	assert_int_equal(network_knows(r->network, &r->src), 0);
	assert_int_equal(network_start(r->network, &r->diag), 0);
}

/* Take what has come. Return: pages, of which @urgent are counted */
static unsigned collect(struct rig *r, unsigned *urgent)
{
	struct pollfd p = { network_fd(r->network), POLLIN, 0 };
	struct delivery *d;
	unsigned nr = 0;
	int error;

	assert_true(poll(&p, 1, 10000) == 1);
	d = network_collect(r->network, &error);
	assert_int_equal(error, 0);
	while (d) {
		struct delivery *next = d->next;
		uint64_t page[PAGE_SIZE / 8];

		assert_true(d->slot + d->nr <= PAGES);
		for (uint64_t i = 0; i < d->nr; i++, nr++) {
			r->came[d->slot + i]++;
			fill(page, d->slot + i);
			assert_int_equal(d->data == NULL, d->slot + i == BAD);
			if (d->data)
				assert_memory_equal(d->data + i * PAGE_SIZE, page, PAGE_SIZE);
		}
		*urgent += d->urgent ? (unsigned)d->nr : 0;
		network_release(r->network, d);
		d = next;
	}
	return nr;
}

static void finish(struct rig *r)
{
	assert_int_equal(network_finish(r->network), 0);
	network_close(r->network);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	assert_int_equal(r->result, 0);
}

/* Has any page from @first on not come? */
static bool missing(const struct rig *r, unsigned first)
{
	for (unsigned i = first; i < PAGES; i++)
		if (!r->came[i])
			return true;
	return false;
}

static void fetch_all(struct rig *r, const char *compress)
{
	unsigned urgent = 0, nr = 0;

	connect_client(r, compress);
	network_say(r->network, NETWORK_WANT, &r->src, 0, PAGES);
	network_say(r->network, NETWORK_GET, &r->src, 1990, 20); /* over the end of a run */
	while (urgent < 20)
		nr += collect(r, &urgent);
	assert_int_equal(nr, 20); /* without credit nothing comes in bulk */
	network_say(r->network, NETWORK_DROP, &r->src, 0, 100);
	while (missing(r, 100)) {
		if (network_owed(r->network) < 256)
			network_grant(r->network, 256);
		collect(r, &urgent);
	}
	finish(r);
	/* The two connections are independent: a GET may overtake the WANT, which then has its pages sent once more. */
	for (unsigned i = 0; i < PAGES; i++)
		if (i < 1990 || i >= 2010)
			assert_int_equal(r->came[i], i >= 100);
		else
			assert_in_range(r->came[i], 1, 2);
	assert_int_equal(r->forgotten, 100);
}

static void everything_comes_once(void **state)
{
	fetch_all(*state, NULL);
}

static void compressed_by_lz4(void **state)
{
	fetch_all(*state, "lz4");
}

static void compressed_by_zstd(void **state)
{
	fetch_all(*state, "zstd");
}

static void bulk_follows_the_cursor(void **state)
{
	struct rig *r = *state;
	unsigned urgent = 0;

	connect_client(r, NULL);
	network_say(r->network, NETWORK_WANT, &r->src, 0, PAGES);
	network_say(r->network, NETWORK_FROM, &r->src, 700, 1);
	network_grant(r->network, 10);
	assert_int_equal(collect(r, &urgent), 10);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(r->came[i], i >= 700 && i < 710);
	finish(r);
}

static void comes_back_after_a_loss(void **state)
{
	struct rig *r = *state;
	uint64_t generation;
	unsigned urgent = 0, nr = 0;
	int fds[2];

	connect_client(r, NULL);
	generation = network_generation(r->network);
	network_say(r->network, NETWORK_WANT, &r->src, 0, PAGES);
	network_grant(r->network, 100);
	while (nr < 100)
		nr += collect(r, &urgent);
	network_fds(r->network, fds);
	shutdown(fds[0], SHUT_RDWR);
	while (network_generation(r->network) == generation)
		usleep(1000);
	network_owes_nothing(r->network);
	network_say(r->network, NETWORK_WANT, &r->src, 100, PAGES - 100);
	network_grant(r->network, PAGES);
	while (nr < PAGES)
		nr += collect(r, &urgent);
	finish(r);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(r->came[i], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_comes_once, setup, teardown),
		cmocka_unit_test_setup_teardown(compressed_by_lz4, setup, teardown),
		cmocka_unit_test_setup_teardown(compressed_by_zstd, setup, teardown),
		cmocka_unit_test_setup_teardown(bulk_follows_the_cursor, setup, teardown),
		cmocka_unit_test_setup_teardown(comes_back_after_a_loss, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
