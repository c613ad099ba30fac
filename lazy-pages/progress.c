// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/progress.h"

#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "lazy-pages/stats.h"

#define WIDTH 30u

/* The bar up to where @done of @total pages are, in @mark. Return: where the next part starts. */
static unsigned draw_part(char *bar, unsigned from, uint64_t done, uint64_t total, char mark)
{
	unsigned to = (unsigned)MIN(done * WIDTH / total, WIDTH);

	if (to > from)
		memset(bar + from, mark, to - from);
	return MAX(from, to);
}

static void draw_bar(const struct shared_stats *st, char bar[static WIDTH + 1])
{
	static const char marks[SHARED_NR_LANES] = { '#', '=', '-' };
	uint64_t done = 0;
	unsigned at = 0;

	memset(bar, '.', WIDTH);
	bar[WIDTH] = '\0';
	for (unsigned i = 0; i < SHARED_NR_LANES; i++) {
		done += st->pages[i];
		at = draw_part(bar, at, done, st->total, marks[i]);
	}
	draw_part(bar, at, done + st->gone + st->poisoned, st->total, '~');
}

/* Half of it is from the last interval, a quarter from the one before, ... */
static void follow_rate(struct progress *p, uint64_t filled, uint64_t now)
{
	double last = now > p->drawn ? (double)(filled - MIN(p->filled, filled)) * 1e9 / (double)(now - p->drawn) : 0;

	if (p->drawn)
		p->rate = p->rate ? (p->rate + last) / 2 : last;
	p->drawn = now;
	p->filled = filled;
}

const char *progress_line(struct progress *p, const struct shared *sh, uint64_t now, char *buf)
{
	struct shared_stats st;
	char bar[WIDTH + 1];

	stats_total(sh, &st);
	follow_rate(p, stats_filled(&st), now);
	buf[0] = '\0';
	if (!st.total)
		return buf;
	draw_bar(&st, bar);
	snprintf(buf, PROGRESS_LEN,
		 "[%s] %lu of %lu MiB, %.0f MiB/s; %lu faults %lu MiB, working set %lu MiB, drain %lu MiB", bar,
		 (stats_filled(&st) + st.gone + st.poisoned) >> 8, st.total >> 8, p->rate / 256, st.faults,
		 st.pages[SHARED_FAULT] >> 8, st.pages[SHARED_WSET] >> 8, st.pages[SHARED_DRAIN] >> 8);
	return buf;
}

void progress_draw(struct progress *p, const struct shared *sh, uint64_t now, bool last)
{
	char line[PROGRESS_LEN];

	progress_line(p, sh, now, line);
	if (line[0])
		fprintf(stderr, "\r%s\033[K%s", line, last ? "\n" : "");
}
