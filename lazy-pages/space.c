// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

/* Events may split intervals; memory is used only as far as they do. */
#define SPACE_SPARE_INTERVALS (1u << 20)

struct space_mem {
	uint64_t nr_pages; /* bits */
	uint64_t cap;	   /* intervals that fit */
	uint64_t commit;   /* number of the last event that is applied << 1 | which of the two maps is valid */
	uint64_t nr_intervals[2];
	uint64_t remaining;
	/* then the bits, from the next page on the first map, and the second */
};

static size_t bits_len(uint64_t nr_pages)
{
	return PAGE_UP(sizeof(struct space_mem) + (nr_pages + 63) / 64 * 8);
}

static size_t map_len(uint64_t cap)
{
	return PAGE_UP(cap * sizeof(struct interval));
}

static struct interval *map_at(const struct space *sp, unsigned which)
{
	return (struct interval *)((char *)sp->mem + bits_len(sp->mem->nr_pages) + which * map_len(sp->mem->cap));
}

/* Take the valid map as it is recorded. */
static void use_valid_map(struct space *sp)
{
	unsigned which = sp->mem->commit & 1;

	sp->map = (struct ivmap){ map_at(sp, which), sp->mem->nr_intervals[which], sp->mem->cap };
}

/* Return: false with errno set on failure */
static bool space_map(struct space *sp, int memfd, uint64_t nr_pages, uint64_t cap)
{
	size_t len = bits_len(nr_pages) + 2 * map_len(cap);
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	if (mem == MAP_FAILED)
		return false;
	sp->mem = mem;
	sp->mem_len = len;
	sp->there = (uint64_t *)(sp->mem + 1);
	sp->mem->nr_pages = nr_pages;
	sp->mem->cap = cap;
	use_valid_map(sp);
	return true;
}

/* A space with its memory in @memfd. Return: NULL with errno set on failure */
static struct space *space_new(struct shared_row *row, struct shared_stats *stats, struct source *src, int memfd,
			       uint64_t nr_pages, uint64_t cap)
{
	struct space *sp = calloc(1, sizeof(*sp));

	if (!sp)
		return NULL;
	if (!space_map(sp, memfd, nr_pages, cap)) {
		free(sp);
		return NULL;
	}
	sp->row = row;
	sp->stats = stats;
	sp->src = src;
	sp->src->refs++;
	return sp;
}

/* As above, with new memory, which @row gets. */
static struct space *space_create(struct shared_row *row, struct shared_stats *stats, struct source *src,
				  uint64_t nr_pages, uint64_t cap)
{
	_cleanup_close_ int memfd = memfd_create("thaw-space", MFD_CLOEXEC);
	struct space *sp;

	if (memfd < 0 || ftruncate(memfd, (off_t)(bits_len(nr_pages) + 2 * map_len(cap))))
		return NULL;
	sp = space_new(row, stats, src, memfd, nr_pages, cap);
	if (sp)
		row->memfd = TAKE_FD(memfd);
	return sp;
}

/* Pages [@start, @end) of a run are missing. */
static int space_lack(struct space *sp, const struct page_run *run, uint64_t start, uint64_t end, uint64_t *missing)
{
	uint64_t first = run->index + (start - run->vaddr) / PAGE_SIZE, nr = (end - start) / PAGE_SIZE;
	int ret = ivmap_set(&sp->map, start, end, start);

	for (uint64_t p = first; !ret && p < first + nr; p++)
		sp->there[p / 64] &= ~(1ULL << (p % 64));
	*missing += nr;
	return ret;
}

/* The format does not mark huge pages as lazy. */
static int space_lack_huge(struct space *sp, const struct page_run *run, uint64_t *missing)
{
	uint64_t run_end = run->vaddr + run->nr_pages * PAGE_SIZE;
	int ret = 0;

	for (size_t i = 0; !ret && run->flags & PE_PRESENT && i < sp->src->nr_huge; i++) {
		uint64_t start = MAX(run->vaddr, sp->src->huge[i].start), end = MIN(run_end, sp->src->huge[i].end);

		if (start < end)
			ret = space_lack(sp, run, start, end, missing);
	}
	return ret;
}

/* The runs that are not missing (restored before the start) count as there; only lazy ones get an interval. */
static int space_fill_map(struct space *sp, struct diag *diag)
{
	uint64_t missing = 0;

	memset(sp->there, 0xff, (sp->mem->nr_pages + 63) / 64 * 8);
	for (size_t i = 0; i < sp->src->map.nr; i++) {
		const struct page_run *run = &sp->src->map.runs[i];
		int ret = 0;

		if (!(run->flags & PE_LAZY) && !sp->row->huge)
			continue;
		if (run->flags & PE_LAZY && run->flags & PE_PARENT)
			return diag_fail(diag, ENOTSUP,
					 "the pages of process %d at 0x%lx are in parent images, which the lazy-pages "
					 "server cannot read; restore without --lazy-pages",
					 sp->row->image_pid, run->vaddr);
		if (run->flags & PE_LAZY && !(run->flags & PE_PRESENT))
			return diag_fail(
				diag, ENOTSUP,
				"the pages of process %d at 0x%lx are not in these images: the dump kept them to "
				"serve them; use --page-server with its address and port",
				sp->row->image_pid, run->vaddr);
		if (run->flags & PE_LAZY)
			ret = space_lack(sp, run, run->vaddr, run->vaddr + run->nr_pages * PAGE_SIZE, &missing);
		else
			ret = space_lack_huge(sp, run, &missing);
		if (ret)
			return diag_fail(diag, EPROTO, "the pagemap of process %d has too many runs",
					 sp->row->image_pid);
	}
	sp->mem->remaining = missing;
	return 0;
}

int space_open(struct space **out, struct shared_row *row, struct shared_stats *stats, struct source *src,
	       struct diag *diag)
{
	struct space *sp =
		space_create(row, stats, src, src->map.nr_present, src->map.nr + src->nr_areas + SPACE_SPARE_INTERVALS);
	int ret;

	if (!sp)
		return diag_fail(diag, errno, "cannot keep the map of process %d: %s", row->pid, strerror(errno));
	ret = space_fill_map(sp, diag);
	if (ret) {
		space_close(sp);
		return ret;
	}
	space_publish(sp);
	*out = sp;
	return 0;
}

int space_adopt(struct space **out, struct shared_row *row, struct shared_stats *stats, struct source *src,
		struct diag *diag)
{
	struct space *sp;
	uint64_t head[2];

	if (full_pread(row->memfd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return diag_fail(diag, EIO, "cannot read the map of process %d", row->pid);
	if (head[0] != src->map.nr_present)
		return diag_fail(diag, ESTALE, "the images of process %d changed while it was being served",
				 row->image_pid);
	sp = space_new(row, stats, src, row->memfd, head[0], head[1]);
	if (!sp)
		return diag_fail(diag, errno, "cannot map the map of process %d: %s", row->pid, strerror(errno));
	/* The bits are the truth; the count may have missed some of them when the server died. */
	sp->mem->remaining = 0;
	for (uint64_t i = 0; i < (head[0] + 63) / 64; i++)
		sp->mem->remaining += (uint64_t)__builtin_popcountll(~sp->there[i]);
	*out = sp;
	return 0;
}

int space_fork(struct space **out, const struct space *parent, struct shared_row *row, struct diag *diag)
{
	struct space *sp = space_create(row, parent->stats, parent->src, parent->mem->nr_pages, parent->mem->cap);

	if (!sp)
		return diag_fail(diag, errno, "cannot keep the map of a child of process %d: %s", parent->row->pid,
				 strerror(errno));
	memcpy(sp->there, parent->there, (sp->mem->nr_pages + 63) / 64 * 8);
	memcpy(sp->map.v, parent->map.v, parent->map.nr * sizeof(*sp->map.v));
	sp->map.nr = parent->map.nr;
	sp->mem->remaining = parent->mem->remaining;
	*out = sp;
	return 0;
}

void space_publish(struct space *sp)
{
	sp->mem->nr_intervals[sp->mem->commit & 1] = sp->map.nr;
	shared_add(&sp->stats->total, sp->mem->remaining);
	sp->row->live = 1;
}

void space_close_row(struct shared_row *row)
{
	row->closing = 1;
	if (row->uffd >= 0)
		close(row->uffd);
	row->uffd = -1;
	if (row->object)
		shared_close(&row->object_fd);
	shared_close(&row->pidfd);
	shared_close(&row->memfd);
	row->live = 0;
}

void space_close(struct space *sp)
{
	if (!sp)
		return;
	space_close_row(sp->row);
	munmap(sp->mem, sp->mem_len);
	source_put(sp->src);
	free(sp);
}

bool space_begin(struct space *sp, uint64_t serial)
{
	unsigned other = ~sp->mem->commit & 1;

	if (sp->mem->commit >> 1 >= serial)
		return false;
	memcpy(map_at(sp, other), sp->map.v, sp->map.nr * sizeof(*sp->map.v));
	sp->map.v = map_at(sp, other);
	return true;
}

void space_commit(struct space *sp, uint64_t serial)
{
	unsigned which = ~sp->mem->commit & 1;

	sp->mem->nr_intervals[which] = sp->map.nr;
	__atomic_store_n(&sp->mem->commit, serial << 1 | which, __ATOMIC_RELEASE);
}

uint64_t space_remaining(const struct space *sp)
{
	return __atomic_load_n(&sp->mem->remaining, __ATOMIC_ACQUIRE);
}

uint64_t space_mark(struct space *sp, uint64_t slot, uint64_t nr, uint64_t *counter)
{
	uint64_t fresh = 0;

	while (nr) {
		uint64_t n = MIN(nr, 64 - slot % 64);
		uint64_t bits = (n == 64 ? ~0ULL : (1ULL << n) - 1) << (slot % 64);
		uint64_t old = __atomic_fetch_or(&sp->there[slot / 64], bits, __ATOMIC_RELEASE);

		fresh += (uint64_t)__builtin_popcountll(bits & ~old);
		slot += n;
		nr -= n;
	}
	if (fresh) {
		shared_add(counter, fresh);
		__atomic_fetch_sub(&sp->mem->remaining, fresh, __ATOMIC_RELEASE);
	}
	return fresh;
}

void space_give_up(struct space *sp)
{
	space_mark(sp, 0, sp->mem->nr_pages, &sp->stats->gone);
}

/* The run that holds image address @at; intervals lead to present runs only. */
static const struct page_run *space_run(const struct space *sp, uint64_t at)
{
	return &sp->src->map.runs[pagemap_find(&sp->src->map, at)];
}

/* What of one run lies at @from in interval @iv: dst, run, skip, nr. */
static void space_piece(const struct space *sp, const struct interval *iv, uint64_t from, struct piece *out)
{
	uint64_t at = iv->val + (from - iv->start);

	out->dst = from;
	out->run = space_run(sp, at);
	out->skip = (at - out->run->vaddr) / PAGE_SIZE;
	out->nr = MIN(out->run->nr_pages - out->skip, (iv->end - from) / PAGE_SIZE);
	out->data = NULL;
}

int space_drop(struct space *sp, uint64_t start, uint64_t end)
{
	for (size_t i = ivmap_find(&sp->map, start); i < sp->map.nr && sp->map.v[i].start < end; i++) {
		const struct interval *iv = &sp->map.v[i];
		uint64_t from = MAX(iv->start, start), to = MIN(iv->end, end);

		while (from < to) {
			struct piece p;

			space_piece(sp, iv, from, &p);
			p.nr = MIN(p.nr, (to - from) / PAGE_SIZE);
			space_mark(sp, p.run->index + p.skip, p.nr, &sp->stats->gone);
			from += p.nr * PAGE_SIZE;
		}
	}
	return ivmap_clear(&sp->map, start, end);
}

/* Pages from @slot on whose bits are all @set, at most @max. */
static uint64_t same_bits(const struct space *sp, uint64_t slot, uint64_t max, bool set)
{
	uint64_t nr = 0;

	while (nr < max) {
		uint64_t at = slot + nr, word = __atomic_load_n(&sp->there[at / 64], __ATOMIC_ACQUIRE) >> (at % 64);
		uint64_t here = 64 - at % 64, n;

		if (set)
			word = ~word;
		n = word ? (uint64_t)__builtin_ctzll(word) : 64;
		nr += MIN(n, here);
		if (n < here)
			break;
	}
	return MIN(nr, max);
}

uint64_t space_there(const struct space *sp, uint64_t slot, uint64_t max)
{
	return same_bits(sp, slot, max, true);
}

uint64_t space_missing(const struct space *sp, uint64_t slot, uint64_t max)
{
	return same_bits(sp, slot, max, false);
}

bool space_next(const struct space *sp, uint64_t from, uint64_t max, struct piece *out)
{
	for (size_t i = ivmap_find(&sp->map, from); i < sp->map.nr && sp->map.v[i].start < SPACE_SLOT(1); i++) {
		const struct interval *iv = &sp->map.v[i];

		for (uint64_t at = MAX(from, iv->start); at < iv->end;) {
			uint64_t skip;

			space_piece(sp, iv, at, out);
			skip = space_there(sp, out->run->index + out->skip, out->nr);
			if (skip < out->nr) {
				out->dst += skip * PAGE_SIZE;
				out->skip += skip;
				out->nr = space_missing(sp, out->run->index + out->skip, MIN(out->nr - skip, max));
				return true;
			}
			at += out->nr * PAGE_SIZE;
		}
	}
	return false;
}

int space_around(const struct space *sp, uint64_t addr, uint64_t window, struct piece *out)
{
	size_t i = ivmap_find(&sp->map, addr);
	const struct interval *iv = &sp->map.v[i];
	uint64_t base = PAGE_DOWN(addr) & ~(window * PAGE_SIZE - 1), low, slot, before = 0;

	if (i == sp->map.nr || iv->start > addr)
		return -ENOENT;
	space_piece(sp, iv, PAGE_DOWN(addr), out);
	slot = out->run->index + out->skip;
	if (space_there(sp, slot, 1))
		return 0;
	low = MIN(out->skip, (out->dst - MAX(base, iv->start)) / PAGE_SIZE);
	while (before < low && space_missing(sp, slot - before - 1, 1))
		before++;
	out->nr = space_missing(sp, slot, MIN(out->nr, (base + window * PAGE_SIZE - out->dst) / PAGE_SIZE)) + before;
	out->dst -= before * PAGE_SIZE;
	out->skip -= before;
	return 1;
}

/* The interval that leads to image address @at, most likely at the same address; NULL: none does. */
static const struct interval *interval_to(const struct space *sp, uint64_t at)
{
	size_t i = ivmap_find(&sp->map, at);

	if (i < sp->map.nr && sp->map.v[i].start <= at && sp->map.v[i].val == sp->map.v[i].start)
		return &sp->map.v[i];
	for (i = 0; i < sp->map.nr && sp->map.v[i].start < SPACE_SLOT(1); i++) {
		const struct interval *iv = &sp->map.v[i];

		if (at >= iv->val && at - iv->val < iv->end - iv->start)
			return iv;
	}
	return NULL;
}

bool space_of_pages(const struct space *sp, uint64_t slot, uint64_t max, struct piece *out)
{
	uint64_t end = slot + max;

	while ((slot += space_there(sp, slot, end - slot)) < end) {
		const struct page_run *run = pagemap_find_page(&sp->src->map, slot);
		uint64_t at = run->vaddr + (slot - run->index) * PAGE_SIZE;
		const struct interval *iv = interval_to(sp, at);

		if (!iv) {
			slot++;
			continue;
		}
		space_piece(sp, iv, iv->start + (at - iv->val), out);
		out->nr = space_missing(sp, slot, MIN(out->nr, end - slot));
		return true;
	}
	return false;
}
