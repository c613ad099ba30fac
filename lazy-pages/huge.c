// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/huge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/util.h"

#define TABLE (1UL << 30) /* what one table of huge pages is about */
#define HUGE_DOWN(x) ((x) & ~(HUGE_PAGE - 1))

/* Where the first page of @p is in the images. Huge pages move as a whole, so what is around it there is also here. */
static uint64_t image_address(const struct piece *p)
{
	return p->run->vaddr + p->skip * PAGE_SIZE;
}

bool huge_is(const struct space *sp, const struct piece *p)
{
	uint64_t at = image_address(p);

	for (size_t i = 0; sp->row->huge && i < sp->src->nr_huge; i++)
		if (at >= sp->src->huge[i].start && at < sp->src->huge[i].end)
			return true;
	return false;
}

/* The part of run @i of the images that is in the huge page at @at. Return: whether there is such a run */
static bool part_of(const struct space *sp, size_t i, uint64_t at, struct piece *out)
{
	const struct page_run *run = i < sp->src->map.nr ? &sp->src->map.runs[i] : NULL;
	uint64_t from, to;

	if (!run || run->vaddr >= at + HUGE_PAGE)
		return false;
	from = MAX(run->vaddr, at);
	to = MIN(run->vaddr + run->nr_pages * PAGE_SIZE, at + HUGE_PAGE);
	*out = (struct piece){ from, run, (from - run->vaddr) / PAGE_SIZE, (to - from) / PAGE_SIZE, NULL };
	if (!(run->flags & PE_PRESENT))
		out->nr = 0;
	return true;
}

/* What the images have of the huge page at @at: in @whole, perhaps in the source's own memory. */
static int assemble(struct filler *f, struct space *sp, uint64_t at, const void **whole, struct diag *diag)
{
	struct piece p;

	*whole = f->huge;
	if (part_of(sp, pagemap_find(&sp->src->map, at), at, &p) && p.nr == HUGE_PAGE / PAGE_SIZE)
		return sp->src->ops->read(sp->src, p.run, p.skip, p.nr, f->huge, whole, diag);
	memset(f->huge, 0, HUGE_PAGE);
	for (size_t i = pagemap_find(&sp->src->map, at); part_of(sp, i, at, &p); i++) {
		char *to = (char *)f->huge + (p.dst - at);
		const void *data = to;
		int ret = p.nr ? sp->src->ops->read(sp->src, p.run, p.skip, p.nr, to, &data, diag) : 0;

		if (ret)
			return ret;
		if (data != to)
			memcpy(to, data, p.nr * PAGE_SIZE);
	}
	return 0;
}

static uint64_t mark(struct space *sp, uint64_t at, uint64_t *counter)
{
	uint64_t fresh = 0;
	struct piece p;

	for (size_t i = pagemap_find(&sp->src->map, at); part_of(sp, i, at, &p); i++)
		if (p.nr)
			fresh += space_mark(sp, p.run->index + p.skip, p.nr, counter);
	return fresh;
}

static int bad(struct space *sp, uint64_t dst, uint64_t at, int error, const char *why, struct diag *diag)
{
	const char *then;
	int ret = fill_forbid(sp, dst, HUGE_PAGE, &then);

	if (ret)
		return ret;
	if (mark(sp, at, &sp->stats->poisoned))
		diag_fail(diag, -error, "process %d: the huge page for 0x%lx cannot be had: %s; %s", sp->row->pid, dst,
			  why, then);
	return 0;
}

static int copy(const struct space *sp, uint64_t dst, const void *src)
{
	struct uffdio_copy c = { .dst = dst, .src = (uintptr_t)src, .len = HUGE_PAGE };

	return ioctl(sp->row->uffd, UFFDIO_COPY, &c) ? -errno : 0;
}

/* What a copy came to, as fill_result(). */
static int result(struct filler *f, struct space *sp, uint64_t dst, uint64_t at, int got, enum shared_lane lane)
{
	switch (got) {
	case 0:
		mark(sp, at, &sp->stats->pages[lane]);
		return 0;
	case -EEXIST:
		mark(sp, at, &sp->stats->pages[lane]);
		fill_wake(sp, dst, HUGE_PAGE);
		return 0;
	case -ENOENT: /* the kernel looks for the area before it looks for events */
		if (fill_event_pending(sp))
			return -EAGAIN;
		fill_wake(sp, dst, HUGE_PAGE);
		if (sp->row->settled)
			mark(sp, at, &sp->stats->gone);
		return 0;
	case -EAGAIN:
	case -EINTR:
		return -EAGAIN;
	case -ESRCH:
		return -ESRCH;
	}
	return bad(sp, dst, at, got, got == -ENOMEM ? "no huge page is free" : strerror(-got), f->diag);
}

int huge_fill(struct filler *f, struct space *sp, struct piece *p, uint32_t opening, bool gated, enum shared_lane lane)
{
	uint64_t at = HUGE_DOWN(image_address(p)), dst = p->dst - (image_address(p) - at), nr;
	struct diag own;
	const void *data;
	int error, ret;

	if (!f->huge && posix_memalign(&f->huge, HUGE_PAGE, HUGE_PAGE))
		return -EAGAIN;
	diag_init(&own, -1, DIAG_ERROR);
	error = assemble(f, sp, at, &data, &own);
	if (gated && !gate_enter(&sp->gate, opening))
		return -EAGAIN;
	ret = error ? bad(sp, dst, at, error, own.text, f->diag) : result(f, sp, dst, at, copy(sp, dst, data), lane);
	if (gated)
		gate_leave(&sp->gate);
	if (ret)
		return ret;
	nr = MIN(p->nr, (dst + HUGE_PAGE - p->dst) / PAGE_SIZE);
	p->dst += nr * PAGE_SIZE;
	p->skip += nr;
	p->nr -= nr;
	return 0;
}

bool huge_around(const struct space *sp, uint64_t addr, struct piece *out)
{
	uint64_t base = HUGE_DOWN(addr);

	return sp->row->huge && space_next(sp, base, HUGE_PAGE / PAGE_SIZE, out) && out->dst < base + HUGE_PAGE &&
	       huge_is(sp, out);
}

int huge_anchor(struct filler *f, struct space *sp)
{
	struct piece p;
	int ret = 0;

	for (size_t i = 0; sp->row->huge && !ret && i < sp->src->nr_huge; i++) {
		const struct source_area *a = &sp->src->huge[i];

		if (a->start / TABLE == (a->end - 1) / TABLE)
			continue;
		for (uint64_t at = a->start; !ret && at < a->end; at = (at / TABLE + 1) * TABLE)
			if (space_next(sp, at, 1, &p) && p.dst < MIN((at / TABLE + 1) * TABLE, a->end))
				ret = huge_fill(f, sp, &p, 0, false, SHARED_FAULT);
	}
	return ret;
}

int huge_zero(struct space *sp, uint64_t addr)
{
	void *zeros = mmap(NULL, HUGE_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t dst = HUGE_DOWN(addr);
	const char *then;
	int ret;

	if (zeros == MAP_FAILED)
		return -EAGAIN;
	ret = copy(sp, dst, zeros);
	munmap(zeros, HUGE_PAGE);
	shared_add(&sp->stats->zero_faults, 1);
	if (ret == -EAGAIN || ret == -ESRCH)
		return ret;
	if (ret == -ENOMEM)
		return fill_forbid(sp, dst, HUGE_PAGE, &then);
	if (ret)
		fill_wake(sp, dst, HUGE_PAGE); /* EEXIST, or ENOENT: let the toucher find out */
	return 0;
}
