// SPDX-License-Identifier: GPL-2.0-only
/* Those who look at the server: the trace, the metrics and the progress bar. */
#include <errno.h>

#include "common/util.h"
#include "lazy-pages/serve.h"

/* Pages that are missing now, in all spaces. */
static uint64_t missing(const struct server *s)
{
	uint64_t nr = 0;

	for (unsigned i = 0; i < s->nr_rows; i++)
		nr += s->spaces[i] ? space_remaining(s->spaces[i]) : 0;
	return nr;
}

int observe_start(struct server *s)
{
	s->scrape.fd = -1;
	if (s->sh->trace_fd >= 0) {
		s->trace = trace_new(s->sh->trace_fd, s->opt->workers, s->diag);
		if (!s->trace)
			return diag_fail(s->diag, ENOMEM, "out of memory for the trace");
	}
	return s->sh->metrics_fd < 0 ? 0 : serve_watch(s, s->sh->metrics_fd, WATCH_METRICS, 0);
}

int64_t observe_patience(const struct server *s, int64_t wait)
{
	return s->opt->progress && (wait < 0 || wait > PROGRESS_NS) ? PROGRESS_NS : wait;
}

void observe_tick(struct server *s)
{
	uint64_t now;

	if (!s->opt->progress && !s->trace)
		return;
	now = now_ns();
	if (trace_due(s->trace, now))
		trace_missing(s->trace, missing(s), now);
	if (s->opt->progress && now >= s->progress.drawn + PROGRESS_NS)
		progress_draw(&s->progress, s->sh, now, false);
}

int observe_metrics(struct server *s)
{
	int fd;

	s->sh->loose[LOOSE_SCRAPE] = -1;
	fd = metrics_accept(&s->scrape, s->sh->metrics_fd);
	s->sh->loose[LOOSE_SCRAPE] = s->scrape.fd;
	return fd < 0 ? 0 : serve_watch(s, fd, WATCH_SCRAPE, 0);
}

void observe_scrape(struct server *s)
{
	if (s->scrape.fd < 0 || !metrics_answer(&s->scrape, s->sh, missing(s)))
		return;
	serve_unwatch(s, s->scrape.fd);
	s->sh->loose[LOOSE_SCRAPE] = -1; /* first: a successor must not take the number's next holder for it */
	metrics_close(&s->scrape);
}

void observe_end(struct server *s)
{
	uint64_t now = now_ns();

	if (s->opt->progress)
		progress_draw(&s->progress, s->sh, now, true);
	if (s->trace)
		trace_missing(s->trace, missing(s), now);
	trace_free(s->trace);
	s->trace = NULL;
}
