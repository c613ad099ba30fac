// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/huge.h"

#ifndef UFFDIO_POISON
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

int filler_init(struct filler *f, struct diag *diag, const uint32_t *step)
{
	*f = (struct filler){ .diag = diag, .step = step };
	return -posix_memalign(&f->buf, PAGE_SIZE, FILL_STEP * PAGE_SIZE);
}

void filler_free(struct filler *f)
{
	free(f->huge);
	free(f->buf);
}

void fill_wake(const struct space *sp, uint64_t addr, uint64_t len)
{
	struct uffdio_range range = { addr, len };

	ioctl(sp->row->uffd, UFFDIO_WAKE, &range);
}

bool fill_event_pending(const struct space *sp)
{
	/* The kernel looks for events before it looks at the (empty) range. */
	struct uffdio_zeropage zero = { 0 };

	return ioctl(sp->row->uffd, UFFDIO_ZEROPAGE, &zero) && errno == EAGAIN;
}

int fill_area(const struct space *sp, uint64_t start, uint64_t end)
{
	/* CONTINUE is not for anonymous memory: EINVAL. But first the kernel looks for one area of it all: ENOENT. */
	struct uffdio_continue cont = { .range = { start, end - start } };

	if (!ioctl(sp->row->uffd, UFFDIO_CONTINUE, &cont))
		return 1;
	return errno == ENOENT || errno == ESRCH ? 0 : errno == EAGAIN ? -EAGAIN : 1;
}

bool fill_memory_gone(const struct space *sp)
{
	/* Nothing is registered for write protection, so this does nothing wherever it falls. */
	struct uffdio_writeprotect wp = { { FILL_LOWEST, PAGE_SIZE }, UFFDIO_WRITEPROTECT_MODE_DONTWAKE };

	return ioctl(sp->row->uffd, UFFDIO_WRITEPROTECT, &wp) && errno == ESRCH;
}

int fill_zero(struct space *sp, uint64_t addr)
{
	struct uffdio_zeropage zero = { .range = { PAGE_DOWN(addr), PAGE_SIZE } };

	if (!ioctl(sp->row->uffd, UFFDIO_ZEROPAGE, &zero)) {
		shared_add(&sp->stats->zero_faults, 1);
		return 0;
	}
	if (errno == EAGAIN || errno == ENOMEM)
		return -EAGAIN;
	if (errno == ESRCH)
		return -ESRCH;
	if (errno == EINVAL && sp->row->huge) /* the kernel has no huge page of zeroes to give */
		return huge_zero(sp, addr);
	fill_wake(sp, PAGE_DOWN(addr), PAGE_SIZE); /* EEXIST, or ENOENT: let the toucher find out */
	return 0;
}

int fill_poison(int uffd, uint64_t addr, uint64_t len)
{
	struct uffdio_poison poison = { .range = { addr, len } };

	while (len) {
		poison.updated = 0;
		if (!ioctl(uffd, UFFDIO_POISON, &poison))
			return 0;
		if (poison.updated > 0)
			len = (uint64_t)poison.updated;
		else if (errno == EEXIST)
			len = PAGE_SIZE;
		else
			return -errno;
		poison.range.start += len;
		poison.range.len -= len;
		len = poison.range.len;
	}
	return 0;
}

int fill_poison_rest(const struct space *sp)
{
	struct piece p;
	int ret = 0;

	for (uint64_t at = 0; !ret && space_next(sp, at, UINT64_MAX, &p);) {
		uint64_t unit = huge_is(sp, &p) ? HUGE_PAGE : PAGE_SIZE, start = p.dst & ~(unit - 1);

		at = (p.dst + p.nr * PAGE_SIZE + unit - 1) & ~(unit - 1);
		ret = fill_poison(sp->row->uffd, start, at - start);
	}
	return ret == -ESRCH ? 0 : ret;
}

/*
 * One UFFDIO_COPY. An object of shared memory is filled through the mapping that the server has of it, which need not
 * keep the page.
 *
 * Return: bytes filled (maybe short of @len), or -errno when none was.
 */
static int64_t copy_once(const struct space *sp, uint64_t dst, const void *src, uint64_t len)
{
	uint64_t base = sp->object ? (uintptr_t)sp->object->base : 0;
	struct uffdio_copy copy = { .dst = base + dst, .src = (uintptr_t)src, .len = len };
	int64_t got = ioctl(sp->row->uffd, UFFDIO_COPY, &copy) ? -errno : (int64_t)len;

	if (copy.copy > 0)
		got = copy.copy;
	if (sp->object && got > 0)
		madvise(sp->object->base + dst, (size_t)got, MADV_DONTNEED);
	return got;
}

/* A page of shared memory: the server poisons it where it is touched. */
static int fill_bad_shared(struct filler *f, struct space *sp, const struct piece *p, int error, const char *why)
{
	struct shared_row *row = sp->row;
	uint32_t nr = __atomic_fetch_add(&row->nr_bad, 1, __ATOMIC_ACQ_REL);

	if (nr < SHARED_MAX_BAD)
		row->bad[nr] = p->dst;
	if (space_mark(sp, p->run->index + p->skip, 1, &sp->stats->poisoned))
		diag_fail(f->diag, -error,
			  "shared memory %lu: the page at 0x%lx cannot be had: %s; who touches it gets SIGBUS",
			  row->number, p->dst, why);
	return 0;
}

int fill_forbid(struct space *sp, uint64_t addr, uint64_t len, const char **then)
{
	int ret = fill_poison(sp->row->uffd, addr, len);

	*then = "it gets SIGBUS when it touches it";
	if (ret == -EAGAIN || ret == -ESRCH)
		return ret;
	if (ret && sp->row->pidfd >= 0 && !syscall(SYS_pidfd_send_signal, sp->row->pidfd, SIGKILL, NULL, 0))
		*then = "it was killed, because the page cannot be poisoned";
	else if (ret)
		*then = "it could neither be poisoned nor the process be killed";
	return 0;
}

static int fill_bad_private(struct filler *f, struct space *sp, const struct piece *p, int error, const char *why)
{
	const char *then;
	int ret = fill_forbid(sp, p->dst, PAGE_SIZE, &then);

	if (ret)
		return ret;
	if (space_mark(sp, p->run->index + p->skip, 1, &sp->stats->poisoned))
		diag_fail(f->diag, -error, "process %d: the page for 0x%lx cannot be had: %s; %s", sp->row->pid, p->dst,
			  why, then);
	return 0;
}

int fill_bad(struct filler *f, struct space *sp, const struct piece *p, int error, const char *why)
{
	return (sp->object ? fill_bad_shared : fill_bad_private)(f, sp, p, error, why);
}

static void advance(struct piece *p, uint64_t nr)
{
	p->dst += nr * PAGE_SIZE;
	p->skip += nr;
	p->nr -= nr;
	if (p->data)
		p->data += nr * PAGE_SIZE;
}

/*
 * What a copy of @want pages came to. Return: 0 to go on (with @step pages at most), or what fill_piece() returns.
 * Still inside the gate.
 */
static int fill_result(struct filler *f, struct space *sp, struct piece *p, int64_t got, uint64_t want, uint64_t *step,
		       enum shared_lane lane)
{
	uint64_t slot = p->run->index + p->skip;

	if (got > 0) {
		space_mark(sp, slot, (uint64_t)got / PAGE_SIZE, &sp->stats->pages[lane]);
		advance(p, (uint64_t)got / PAGE_SIZE);
		*step = MIN(*step * 2, FILL_STEP);
		return 0;
	}
	switch ((int)-got) {
	case EEXIST:
		if (sp->object && !sp->object->adopted)
			break; /* not by us */
		space_mark(sp, slot, 1, &sp->stats->pages[lane]);
		fill_wake(sp, p->dst, PAGE_SIZE);
		advance(p, 1);
		return 0;
	case ENOENT: /* not all of it is in one registered area: the kernel looks for that before it looks for events */
		if (fill_event_pending(sp))
			return -EAGAIN;
		if (want > 1) {
			*step = want / 2;
			return 0;
		}
		fill_wake(sp, p->dst, PAGE_SIZE);
		if (sp->row->settled)
			space_mark(sp, slot, 1, &sp->stats->gone);
		advance(p, 1);
		return 0;
	case EAGAIN:
	case ENOMEM:
	case EINTR:
		return -EAGAIN;
	case ESRCH:
	case ENOSPC:
		return -ESRCH;
	}
	got = fill_bad(f, sp, p, (int)got,
		       got == -EEXIST ? "somebody touched it past the server" : strerror((int)-got));
	if (!got)
		advance(p, 1);
	return (int)got;
}

int fill_piece(struct filler *f, struct space *sp, struct piece *p, uint32_t opening, bool gated, enum shared_lane lane)
{
	uint64_t step = FILL_STEP;
	int ret = 0;

	while (p->nr && !ret) {
		uint64_t slot = p->run->index + p->skip, want, most;
		struct diag own; /* of a read that finds a bad page: the ones before it may say so too */
		const void *data;
		int error;

		advance(p, space_there(sp, slot, p->nr));
		if (!p->nr)
			break;
		most = f->step ? __atomic_load_n(f->step, __ATOMIC_RELAXED) : FILL_STEP;
		if (!most)
			return -ECANCELED;
		if (huge_is(sp, p)) {
			ret = huge_fill(f, sp, p, opening, gated, lane);
			continue;
		}
		want = space_missing(sp, p->run->index + p->skip, MIN(p->nr, MIN(step, most)));
		diag_init(&own, -1, DIAG_ERROR);
		data = p->data;
		error = data ? 0 : sp->src->ops->read(sp->src, p->run, p->skip, want, f->buf, &data, &own);
		if (error && want > 1) { /* find the page that is bad */
			step = want / 2;
			continue;
		}
		if (gated && !gate_enter(&sp->gate, opening))
			return -EAGAIN;
		if (!error)
			ret = fill_result(f, sp, p, copy_once(sp, p->dst, data, want * PAGE_SIZE), want, &step, lane);
		else if (!(ret = fill_bad(f, sp, p, error, own.text)))
			advance(p, 1);
		if (gated)
			gate_leave(&sp->gate);
	}
	return ret;
}
