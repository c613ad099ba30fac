// SPDX-License-Identifier: GPL-2.0-only
/*
 * All pages of a store, compared with their checksums by several threads. Each takes the next piece of a run and loads
 * it; in a piece that is damaged it looks at each page alone, to name all that are bad.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/verify_int.h"

#define PIECE 256 /* pages */
#define MAX_THREADS 8
#define MAX_NAMED 16 /* bad pages of a store that get a line each */

struct pages_check {
	struct verify *v;
	const struct pagemap *map;
	struct page_store *store;
	pthread_mutex_t lock; /* of all below, and of @v */
	size_t run;	      /* next to take ... */
	uint64_t skip;	      /* ... from this page of it */
	uint64_t bad;
};

/* The next piece of a run that is present. Return: pages in it, 0 at the end */
static uint64_t take_piece(struct pages_check *c, const struct page_run **run, uint64_t *skip)
{
	uint64_t nr = 0;

	pthread_mutex_lock(&c->lock);
	while (c->run < c->map->nr &&
	       (!(c->map->runs[c->run].flags & PE_PRESENT) || c->skip == c->map->runs[c->run].nr_pages)) {
		c->run++;
		c->skip = 0;
	}
	if (c->run < c->map->nr) {
		*run = &c->map->runs[c->run];
		*skip = c->skip;
		nr = MIN((*run)->nr_pages - c->skip, PIECE);
		c->skip += nr;
	}
	pthread_mutex_unlock(&c->lock);
	return nr;
}

static void check_one(struct pages_check *c, const struct page_run *run, uint64_t skip, void *buf)
{
	const void *data;
	struct diag own;

	diag_init(&own, -1, DIAG_ERROR);
	if (!page_store_get(c->store, run, skip, 1, buf, &data, &own))
		return;
	pthread_mutex_lock(&c->lock);
	if (c->bad++ < MAX_NAMED)
		fault(c->v, "%s", own.text);
	pthread_mutex_unlock(&c->lock);
}

static void *check_worker(void *arg)
{
	struct pages_check *c = arg;
	_cleanup_free_ void *buf = aligned_alloc(PAGE_SIZE, PIECE * PAGE_SIZE);
	const struct page_run *run;
	uint64_t skip, nr;

	if (!buf) {
		pthread_mutex_lock(&c->lock);
		c->v->out_of_memory = true;
		pthread_mutex_unlock(&c->lock);
	}
	while (buf && (nr = take_piece(c, &run, &skip))) {
		const void *data;
		struct diag own;

		diag_init(&own, -1, DIAG_ERROR);
		if (!page_store_get(c->store, run, skip, nr, buf, &data, &own))
			continue;
		for (uint64_t i = 0; i < nr; i++)
			check_one(c, run, skip + i, buf);
	}
	return NULL;
}

void check_pages(struct verify *v, const struct pagemap *map, struct page_store *store)
{
	struct pages_check c = { .v = v, .map = map, .store = store, .lock = PTHREAD_MUTEX_INITIALIZER };
	long cpus = MIN(sysconf(_SC_NPROCESSORS_ONLN), MAX_THREADS);
	uint64_t pieces = map->nr_present / PIECE;
	pthread_t threads[MAX_THREADS];
	struct diag own;
	int started = 0;

	diag_init(&own, -1, DIAG_ERROR);
	if (page_store_has_old_sums(store))
		fprintf(v->out, "note: pages-%u.sum is of another dump: the pages are not compared with it\n",
			map->pages_id);
	if (page_store_check_sums(store, &own)) { /* then no sum means anything */
		fault(v, "%s", own.text);
		return;
	}
	while (started < cpus - 1 && (uint64_t)started < pieces &&
	       !pthread_create(&threads[started], NULL, check_worker, &c))
		started++;
	check_worker(&c);
	while (started)
		pthread_join(threads[--started], NULL);
	if (c.bad > MAX_NAMED) {
		c.v->faults += (int)MIN(c.bad - MAX_NAMED, 1U << 30) - 1;
		fault(v, "and %llu more pages of pages-%u", (unsigned long long)(c.bad - MAX_NAMED), map->pages_id);
	}
}
