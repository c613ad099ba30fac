// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copying pages into a store.
 *
 * The ranges are cut into pieces of at most PIECE bytes. Each worker takes the next piece, reads it, drops zero pages
 * and moves the others together. The pages' numbers in the store must ascend with their addresses, so workers pass a
 * turn: in the order of the pieces each appends its runs to the pagemap, which gives the numbers, and then writes
 * without holding the turn; a page server wants them in order. The runs of a piece have consecutive numbers, so that a
 * store can write it at once.
 */
#include "criu-like/state/page_copy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

#define PIECE (1UL << 20)	   /* bytes a worker reads at once */
#define PIECE_RUNS 128		   /* ranges a piece may touch */
#define WORTH_A_THREAD (8UL << 20) /* bytes */

struct copier {
	struct page_copy *copy;
	pthread_mutex_t lock;
	pthread_cond_t turned;
	size_t range;	 /* next to take ... */
	uint64_t offset; /* ... from this byte of it */
	size_t taken, turn;
	int error;
};

struct piece {
	uint8_t *buf;  /* the pages of the runs, nothing between */
	uint8_t *page; /* room for one */
	size_t number;
	struct copy_range part[PIECE_RUNS];
	size_t nr_parts;
	struct page_run run[PIECE / PAGE_SIZE];
	size_t nr_runs;
	size_t nr_pages; /* in the runs */
};

/* With the lock held: the next piece, as parts of ranges. */
static bool take_piece(struct copier *c, struct piece *piece)
{
	size_t room = PIECE;

	piece->nr_parts = 0;
	while (room && piece->nr_parts < PIECE_RUNS && c->range < c->copy->nr) {
		const struct copy_range *range = &c->copy->ranges[c->range];
		uint64_t start = range->start + c->offset;
		uint64_t len = MIN(range->end - start, room);

		piece->part[piece->nr_parts] = *range;
		piece->part[piece->nr_parts].start = start;
		piece->part[piece->nr_parts++].end = start + len;
		room -= len;
		c->offset += len;
		if (start + len == range->end) {
			c->range++;
			c->offset = 0;
		}
	}
	piece->number = c->taken;
	c->taken += piece->nr_parts != 0;
	return piece->nr_parts != 0;
}

static bool page_is_zero(const uint8_t *page)
{
	const uint64_t *w = (const uint64_t *)page;

	return !w[0] && !memcmp(page, page + sizeof(*w), PAGE_SIZE - sizeof(*w));
}

/* Do the earlier images have the same page? Return: whether, or -errno with a sentence */
static int is_old(const struct page_copy *copy, struct piece *piece, uint64_t addr, const uint8_t *page)
{
	const struct page_run *run;
	const void *data;
	size_t i;
	int ret;

	if (!copy->old)
		return 0;
	i = pagemap_find(copy->old_map, addr);
	run = i < copy->old_map->nr ? &copy->old_map->runs[i] : NULL;
	if (!run || run->vaddr > addr || !(run->flags & PE_PRESENT))
		return 0;
	ret = page_store_get(copy->old, run, (addr - run->vaddr) / PAGE_SIZE, 1, piece->page, &data, copy->diag);
	return ret ? ret : !memcmp(data, page, PAGE_SIZE);
}

/* One part was read to the end of what is kept: note its runs of pages to keep. */
static int note_runs(const struct page_copy *copy, struct piece *piece, const struct copy_range *part)
{
	uint8_t *page = piece->buf + piece->nr_pages * PAGE_SIZE;
	struct page_run *run = NULL;

	for (uint64_t addr = part->start; addr < part->end; addr += PAGE_SIZE, page += PAGE_SIZE) {
		uint8_t *to = piece->buf + piece->nr_pages * PAGE_SIZE;
		int old;

		if (part->skip_zero && page_is_zero(page)) {
			run = NULL;
			continue;
		}
		old = is_old(copy, piece, addr, page);
		if (old < 0)
			return old;
		if (!run || run->flags != (old ? PE_PARENT : part->flags)) {
			run = &piece->run[piece->nr_runs++];
			*run = (struct page_run){ .vaddr = addr, .flags = old ? PE_PARENT : part->flags };
		}
		run->nr_pages++;
		if (old)
			continue;
		piece->nr_pages++;
		if (to != page)
			memcpy(to, page, PAGE_SIZE);
	}
	return 0;
}

static int read_piece(struct page_copy *copy, struct piece *piece)
{
	int ret = 0;

	piece->nr_runs = 0;
	piece->nr_pages = 0;
	for (size_t i = 0; !ret && i < piece->nr_parts; i++) {
		const struct copy_range *part = &piece->part[i];
		size_t len = part->end - part->start;
		uint8_t *to = piece->buf + piece->nr_pages * PAGE_SIZE;
		ssize_t got;

		if (!(part->flags & PE_PRESENT)) {
			piece->run[piece->nr_runs++] = (struct page_run){ .vaddr = part->start,
									  .nr_pages = len / PAGE_SIZE,
									  .flags = part->flags };
			continue;
		}
		got = full_pread(copy->fd, to, len, (off_t)part->start);
		if (copy->is_file && got >= 0 && got + (ssize_t)PAGE_SIZE > (ssize_t)len) {
			memset(to + got, 0, len - (size_t)got);
			got = (ssize_t)len;
		}
		if (got != (ssize_t)len)
			return diag_fail(copy->diag, got < 0 ? (int)-got : EIO,
					 "cannot read the memory of %s at 0x%llx: %s", copy->what,
					 (unsigned long long)part->start,
					 got < 0 ? strerror((int)-got) : "it ends there");
		ret = note_runs(copy, piece, part);
	}
	return ret;
}

/* In turn: the pagemap gives the numbers. What remains are the runs with pages. */
static int number_runs(struct page_copy *copy, struct piece *piece)
{
	size_t nr = 0;

	for (size_t i = 0; i < piece->nr_runs; i++) {
		struct page_run *run = &piece->run[i];

		run->index = copy->map->nr_present;
		if (pagemap_append(copy->map, run->vaddr, run->nr_pages, run->flags))
			return -ENOMEM;
		if (run->flags & PE_PRESENT)
			piece->run[nr++] = *run;
	}
	piece->nr_runs = nr;
	return 0;
}

static int do_piece(struct copier *c, struct piece *piece)
{
	int ret = read_piece(c->copy, piece);
	struct page_stream *stream = c->copy->stream;

	pthread_mutex_lock(&c->lock);
	while (c->turn != piece->number)
		pthread_cond_wait(&c->turned, &c->lock);
	if (!ret && !c->error)
		ret = number_runs(c->copy, piece);
	if (stream && !ret && !c->error) {
		pthread_mutex_unlock(&c->lock);
		ret = page_stream_put(stream, piece->run, piece->nr_runs, piece->buf);
		pthread_mutex_lock(&c->lock);
	}
	c->turn++;
	pthread_cond_broadcast(&c->turned);
	pthread_mutex_unlock(&c->lock);
	return ret || stream ? ret : page_writer_put(c->copy->out, piece->run, piece->nr_runs, piece->buf);
}

static void *copy_worker(void *arg)
{
	struct copier *c = arg;
	struct piece *piece = calloc(1, sizeof(*piece));
	uint8_t *buf = aligned_alloc(PAGE_SIZE, PIECE + PAGE_SIZE);
	int ret = piece && buf ? 0 : -ENOMEM;
	bool more = true;

	if (!ret) {
		piece->buf = buf;
		piece->page = buf + PIECE;
	}
	while (more) {
		if (!ret && c->copy->interrupted)
			ret = c->copy->interrupted(c->copy->context);
		pthread_mutex_lock(&c->lock);
		if (ret && !c->error)
			c->error = ret;
		more = !c->error && take_piece(c, piece);
		pthread_mutex_unlock(&c->lock);
		if (more)
			ret = do_piece(c, piece);
	}
	free(buf);
	free(piece);
	return NULL;
}

int page_copy_run(struct page_copy *copy)
{
	struct copier c = { .copy = copy, .lock = PTHREAD_MUTEX_INITIALIZER, .turned = PTHREAD_COND_INITIALIZER };
	uint64_t bytes = 0;
	pthread_t second;
	bool two;

	for (size_t i = 0; i < copy->nr; i++)
		bytes += copy->ranges[i].end - copy->ranges[i].start;
	two = bytes >= WORTH_A_THREAD && !pthread_create(&second, NULL, copy_worker, &c);
	copy_worker(&c);
	if (two)
		pthread_join(second, NULL);
	return c.error;
}
