// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/serve.h"

#include <errno.h>

#include "common/util.h"
#include "lazy-pages/reorder.h"

/*
 * What nobody has touched yet, in jobs for the workers: first the working sets (replay.c), then the drain. That stands
 * still while faults come in, until they are so many that somebody walks through all of the memory; then it goes on
 * beside them, if there is another CPU, and fills little at once. It goes on behind the last fault, as fast as it is
 * allowed to (pace.c).
 */

#define JOB_MAX 512 /* pages: 2 MiB */
#define JOB_MIN 16
#define SWEEP 2500     /* faults after which somebody seems to walk through all of the memory */
#define STEP_BESIDE 4u /* pages that are filled at once meanwhile: a fault waits for half of that at most */
#define REPLAY_MAX 256 /* pages after which no further piece of a working set comes along */

/* Whoever was in the images, and shared memory, may have a working set there; a child that was forked since has none.
 */
void drain_start_replay(struct server *s, struct space *sp)
{
	unsigned row = (unsigned)(sp->row - s->sh->rows);
	struct diag own;
	int ret;

	if ((!sp->row->pid && !sp->row->object) || s->opt->network)
		return;
	diag_init(&own, -1, DIAG_ERROR);
	ret = replay_new(&s->replays[row], s->dir, sp, &own);
	if (ret && !s->wset_refused)
		diag_warn(s->diag, "%s; it is ignored", own.text);
	s->wset_refused |= ret != 0;
	if (!s->replays[row])
		return;
	s->nr_replays++;
	record_set(s->record, sp, &s->replays[row]->set);
	diag_info(s->diag, "%s %lu: a working set of %lu pages is filled ahead",
		  sp->row->object ? "shared memory" : "process",
		  sp->row->object ? sp->row->number : (uint64_t)sp->row->pid, wset_pages(&s->replays[row]->set));
}

void drain_end_replay(struct server *s, unsigned row)
{
	s->nr_replays -= s->replays[row] != NULL;
	replay_free(s->replays[row]);
	s->replays[row] = NULL;
}

/* What is left of it is looked up again, behind the cursor. */
static void drain_job_back(struct server *s, const struct job *job)
{
	if (job->piece.nr)
		job->sp->cursor = job->piece.dst;
	pace_refund(&s->pace, job->piece.nr);
}

/* A job has come back, perhaps before it was done. */
static void job_back(struct server *s, struct job *job)
{
	struct space *sp = job->sp;

	sp->in_flight--;
	s->busy_jobs--;
	trace_job(s->trace, job);
	if (job->result == -ESRCH)
		sp->over = true;
	else if (job->lane == SHARED_DRAIN && !job->delivery)
		drain_job_back(s, job);
	else if (job->result == -EAGAIN && s->replays[sp->row - s->sh->rows])
		replay_rewind(s->replays[sp->row - s->sh->rows], job->chunk);
	if (job->result == -EAGAIN) /* the event's system call wants the CPU before it makes sense to try again */
		s->feed_after = now_ns() + SERVE_RETRY_NS;
	if (job->delivery)
		fetch_job_back(s, job);
	job->sp = NULL;
	job->nr_more = 0;
	job->next = s->idle_jobs;
	s->idle_jobs = job;
}

void drain_jobs_back(struct server *s, struct job *job)
{
	while (job) {
		struct job *next = job->next;

		job_back(s, job);
		job = next;
	}
}

/* The end of the job under way that holds @addr of @sp, or 0. */
static uint64_t under_way(const struct server *s, const struct space *sp, uint64_t addr, uint64_t *start)
{
	for (unsigned i = 0; i < s->nr_jobs; i++) {
		const struct job *job = &s->jobs[i];

		if (job->sp != sp)
			continue;
		if (addr >= job->start && addr < job->end)
			return job->end;
		if (job->start > addr)
			*start = MIN(*start, job->start);
	}
	return 0;
}

/* The next pages for the drain: behind the cursor, else from the start, never what a worker has already. */
static bool drain_piece(const struct server *s, const struct space *sp, struct piece *p)
{
	uint64_t max = pace_limit(&s->pace, MAX(MIN(space_remaining(sp) / (s->nr_jobs * 2), JOB_MAX), JOB_MIN));
	uint64_t from = sp->cursor;
	bool wrapped = false;

	for (;;) {
		uint64_t start = UINT64_MAX, end;

		if (!space_next(sp, from, max, p)) {
			if (wrapped)
				return false;
			wrapped = true;
			from = 0;
			continue;
		}
		end = under_way(s, sp, p->dst, &start);
		if (!end) {
			p->nr = MIN(p->nr, (start - p->dst) / PAGE_SIZE);
			return true;
		}
		from = end;
	}
}

/* Not while its working set is being filled: no two jobs may have the same page. */
static bool may_drain(const struct server *s, const struct space *sp)
{
	return sp->row->settled && !sp->over && !reorder_unsettled(sp) && !s->replays[sp->row - s->sh->rows];
}

/* The space whose turn it is: the one of the last fault, else the one with the fewest jobs. */
static struct space *drain_space(struct server *s, struct piece *p)
{
	struct space *best = NULL;

	if (s->focus && may_drain(s, s->focus) && drain_piece(s, s->focus, p))
		return s->focus;
	for (unsigned i = 0; i < s->nr_rows; i++) {
		struct space *sp = s->spaces[i];

		if (!sp || !may_drain(s, sp) || (best && sp->in_flight >= best->in_flight))
			continue;
		if (drain_piece(s, sp, p))
			best = sp;
	}
	if (best)
		drain_piece(s, best, p);
	return best;
}

/* The pieces of a job for a working set, which may be small and many. Return: whether there are any */
static bool replay_pieces(struct replay *r, const struct space *sp, struct job *job)
{
	uint64_t pages;

	if (!replay_next(r, sp, &job->piece))
		return false;
	job->chunk = r->chunk;
	pages = job->piece.nr;
	while (pages < REPLAY_MAX && job->nr_more < JOB_MORE && replay_next(r, sp, &job->more[job->nr_more]))
		pages += job->more[job->nr_more++].nr;
	return true;
}

/* A space with pages of its working set to be filled, and a job for that. */
static struct space *replay_space(struct server *s, struct job *job)
{
	for (unsigned i = 0; i < s->nr_rows && s->nr_replays; i++) {
		struct space *sp = s->spaces[i];

		if (!sp || !s->replays[i] || sp->over || reorder_unsettled(sp))
			continue;
		if (replay_pieces(s->replays[i], sp, job))
			return sp;
		if (sp->row->settled && !sp->in_flight && replay_done(s->replays[i]))
			drain_end_replay(s, i);
	}
	return NULL;
}

int drain_submit(struct server *s, struct space *sp, enum shared_lane lane)
{
	struct job *job = s->idle_jobs;

	s->idle_jobs = job->next;
	job->sp = sp;
	job->lane = lane;
	job->opening = sp->gate.opening;
	job->start = job->piece.dst;
	job->end = job->start + job->piece.nr * PAGE_SIZE;
	sp->in_flight++;
	s->busy_jobs++;
	return workers_submit(s->workers, job);
}

static int feed_replay(struct server *s)
{
	int ret = 0;

	while (s->idle_jobs && !ret) {
		struct space *sp = replay_space(s, s->idle_jobs);

		if (!sp)
			return 0;
		ret = drain_submit(s, sp, SHARED_WSET);
	}
	return ret;
}

bool drain_rated(struct server *s, uint64_t now)
{
	uint64_t next = pace_next(&s->pace);

	if (now < next)
		s->held = next == PACE_NEVER ? 0 : next;
	return now < next;
}

/* Give the workers jobs, until there are none, or the rate makes the drain wait. */
static int feed_drain(struct server *s)
{
	while (s->idle_jobs) {
		struct job *job = s->idle_jobs;
		uint64_t now = now_ns();
		struct space *sp;
		int ret;

		if (drain_rated(s, now))
			return 0;
		sp = drain_space(s, &job->piece);
		if (!sp)
			return 0;
		sp->cursor = job->piece.dst + job->piece.nr * PAGE_SIZE;
		pace_spend(&s->pace, job->piece.nr, now);
		ret = drain_submit(s, sp, SHARED_DRAIN);
		if (ret)
			return ret;
	}
	return 0;
}

int drain_run(struct server *s)
{
	uint64_t now = now_ns(), hold = pace_hold(&s->pace, s->last_fault);
	bool beside = s->cpus > 1 && s->sweep > SWEEP && pace_beside(&s->pace);
	bool burst = now < hold;
	int ret = now < s->feed_after ? 0 : feed_replay(s);

	s->held = now < s->feed_after ? s->feed_after : burst ? hold : 0;
	if (now < s->feed_after || s->nr_faults || (burst && !beside)) {
		workers_allow(s->workers, 0);
		return ret;
	}
	workers_allow(s->workers, burst ? STEP_BESIDE : FILL_STEP);
	return ret ?: feed_drain(s);
}
