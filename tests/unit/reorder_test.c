// SPDX-License-Identifier: GPL-2.0-only
/*
 * The map against a model: threads that move, unmap and grow memory, each at one stroke, and tell of it when they get
 * to it, as the kernel has it (see lazy-pages/reorder.c). Whenever no event is under way the map must say what is true.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/util.h"
#include "lazy-pages/reorder.h"

#define BASE 0x100000UL
#define PAGES 64 /* of the whole address space */
#define NR_THREADS 4
#define AREAS_EACH 3
#define AREA_PAGES 3 /* of an area in the beginning */
#define STEPS 400
#define ROUNDS 3000
#define SLOWEST 2 /* events that may be read between a system call and its first event */

struct event {
	enum { NONE, REMAP, UNMAP } what;
	unsigned from, to, nr;
};

struct area {
	unsigned start, nr; /* nr 0: none */
};

struct thread {
	struct event todo[2]; /* of its system call, not queued yet */
	bool waiting;	      /* for its event to be read */
	bool touches;	      /* memory that nobody can fill before all is quiet */
	uint64_t since;	      /* events read when its call was done */
	unsigned touched;
	struct area area[AREAS_EACH];
};

struct model {
	uint64_t rng;
	unsigned page[PAGES]; /* 0: no area; 1: zeros; else 2 + number of the page in the images */
	struct thread thread[NR_THREADS];
	struct event queue[NR_THREADS];
	struct thread *sender[NR_THREADS];
	unsigned queued;
	uint64_t read;
	struct space *sp;
};

static unsigned pick(struct model *m, unsigned below)
{
	m->rng = m->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((m->rng >> 33) % below);
}

static uint64_t addr(unsigned page)
{
	return BASE + page * PAGE_SIZE;
}

static bool is_free(const struct model *m, unsigned start, unsigned nr)
{
	for (unsigned i = start; i < start + nr; i++)
		if (i >= PAGES || m->page[i])
			return false;
	return true;
}

/* System calls: what they do, and what they will tell. */

static void call_move(struct model *m, struct thread *t, struct area *a)
{
	unsigned to = pick(m, PAGES), grow = pick(m, 3);

	if (!is_free(m, to, a->nr + grow))
		return;
	for (unsigned i = 0; i < a->nr; i++) {
		m->page[to + i] = m->page[a->start + i];
		m->page[a->start + i] = 0;
	}
	for (unsigned i = 0; i < grow; i++)
		m->page[to + a->nr + i] = 1;
	t->todo[0] = (struct event){ REMAP, a->start, to, a->nr };
	t->todo[1] = (struct event){ UNMAP, a->start, 0, a->nr };
	*a = (struct area){ to, a->nr + grow };
	t->touches = grow;
	t->touched = to + a->nr - 1;
}

static void call_unmap(struct model *m, struct thread *t, struct area *a)
{
	unsigned nr = 1 + pick(m, a->nr), start = pick(m, 2) ? a->start : a->start + a->nr - nr;

	memset(&m->page[start], 0, nr * sizeof(m->page[0]));
	t->todo[0] = (struct event){ UNMAP, start, 0, nr };
	if (start == a->start)
		a->start += nr;
	a->nr -= nr;
}

static void call_grow(struct model *m, struct thread *t, struct area *a)
{
	unsigned nr = 1 + pick(m, 3);

	if (!is_free(m, a->start + a->nr, nr))
		return;
	for (unsigned i = 0; i < nr; i++)
		m->page[a->start + a->nr + i] = 1;
	a->nr += nr;
	t->touches = true;
	t->touched = a->start + a->nr - 1;
}

static void system_call(struct model *m, struct thread *t)
{
	struct area *a = &t->area[pick(m, AREAS_EACH)];

	if (!a->nr)
		return;
	if (pick(m, 2))
		call_move(m, t, a);
	else if (pick(m, 3))
		call_grow(m, t, a);
	else
		call_unmap(m, t, a);
	t->since = m->read;
}

static void queue_event(struct model *m, struct thread *t)
{
	m->queue[m->queued] = t->todo[0];
	m->sender[m->queued++] = t;
	t->todo[0] = t->todo[1];
	t->todo[1].what = NONE;
	t->waiting = true;
	t->since = m->read;
}

static void read_event(struct model *m)
{
	struct event e = m->queue[0];

	if (e.what == REMAP)
		assert_int_equal(reorder_remap(m->sp, addr(e.from), addr(e.to), e.nr * PAGE_SIZE), 0);
	else
		assert_int_equal(reorder_unmap(m->sp, addr(e.from), addr(e.from + e.nr)), 0);
	m->sender[0]->waiting = false;
	m->queued--;
	memmove(&m->queue[0], &m->queue[1], m->queued * sizeof(m->queue[0]));
	memmove(&m->sender[0], &m->sender[1], m->queued * sizeof(m->sender[0]));
	m->read++;
}

/* No event is under way: is the map right? Who touched new memory gets it. */
static void check_quiet(struct model *m)
{
	uint64_t missing = 0;

	assert_int_equal(reorder_settle(m->sp), 0);
	for (unsigned i = 0; i < PAGES; i++) {
		struct piece p;
		int ret = space_around(m->sp, addr(i), 1, &p);

		assert_int_equal(ret, m->page[i] > 1 ? 1 : -ENOENT);
		if (ret == 1)
			assert_int_equal(p.run->index + p.skip, m->page[i] - 2);
		missing += m->page[i] > 1;
	}
	assert_int_equal(space_remaining(m->sp), missing);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		struct thread *t = &m->thread[i];
		unsigned low = t->touched;

		if (!t->touches)
			continue;
		while (low && m->page[low - 1])
			low--;
		assert_int_equal(reorder_area(m->sp, addr(low), addr(t->touched + 1)), 0);
		t->touches = false;
	}
}

/* Somebody does the next thing that he has to do, or may. */
static void step(struct model *m)
{
	struct thread *t = &m->thread[pick(m, NR_THREADS)];
	bool quiet = !m->queued;

	for (unsigned i = 0; i < NR_THREADS; i++) {
		quiet = quiet && !m->thread[i].todo[0].what;
		if (m->thread[i].todo[0].what && !m->thread[i].waiting && m->read >= m->thread[i].since + SLOWEST)
			t = &m->thread[i];
	}
	if (quiet)
		check_quiet(m);
	if (m->queued && !pick(m, 3))
		read_event(m);
	else if (!t->waiting && t->todo[0].what)
		queue_event(m, t);
	else if (!t->waiting && !t->touches)
		system_call(m, t);
}

static void source_close(struct source *src)
{
	(void)src;
}

static const struct source_ops ops = { .name = "none", .close = source_close };

/* Every thread has some areas; of each the first page is missing and the others are zero, or the other way round. */
static void model_init(struct model *m, struct page_run *run, struct pagemap *map)
{
	*map = (struct pagemap){ .runs = run };
	for (unsigned i = 0, at = 0; i < NR_THREADS * AREAS_EACH; i++, at += AREA_PAGES + pick(m, 3)) {
		unsigned nr = 1 + pick(m, AREA_PAGES);

		m->thread[i % NR_THREADS].area[i / NR_THREADS] = (struct area){ at, AREA_PAGES };
		run[map->nr++] = (struct page_run){
			.vaddr = addr(at), .nr_pages = nr, .index = map->nr_present, .flags = PE_PRESENT | PE_LAZY
		};
		for (unsigned k = 0; k < AREA_PAGES; k++)
			m->page[at + k] = k < nr ? 2 + (unsigned)map->nr_present + k : 1;
		map->nr_present += nr;
	}
}

static void play(uint64_t seed)
{
	struct page_run run[NR_THREADS * AREAS_EACH];
	struct shared_row row = { .uffd = -1, .pidfd = -1, .memfd = -1, .pid = 1, .image_pid = 1 };
	struct shared_stats stats = { 0 };
	struct source src = { .ops = &ops, .refs = 1 };
	struct model m = { .rng = seed };
	struct diag diag;

	diag_init(&diag, -1, DIAG_ERROR);
	model_init(&m, run, &src.map);
	assert_int_equal(space_open(&m.sp, &row, &stats, &src, &diag), 0);
	for (unsigned i = 0; i < NR_THREADS * AREAS_EACH; i++) {
		const struct area *a = &m.thread[i % NR_THREADS].area[i / NR_THREADS];

		assert_int_equal(reorder_area(m.sp, addr(a->start), addr(a->start + a->nr)), 0);
	}
	for (unsigned i = 0; i < STEPS; i++)
		step(&m);
	space_close(m.sp);
}

static void the_map_is_true_when_all_is_quiet(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++)
		play(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_is_true_when_all_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
