// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

#define WAKE_TRIES 3

struct lane {
	struct job *first, **last;
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct lane lanes[SHARED_NR_LANES];
	struct lane back;
	bool stop;
	int event;
	unsigned nr, running, started, idle;
	struct diag *diag;
	uint32_t step; /* pages of the drain that may be filled at once; 0: none */
	pthread_t thread[];
};

static void lane_put(struct lane *lane, struct job *job)
{
	job->next = NULL;
	*lane->last = job;
	lane->last = &job->next;
}

static struct job *lane_take_all(struct lane *lane)
{
	struct job *job = lane->first;

	lane->first = NULL;
	lane->last = &lane->first;
	return job;
}

static struct job *next_job(struct workers *w, bool drain)
{
	for (unsigned i = 0; i < (drain ? SHARED_NR_LANES : SHARED_DRAIN); i++) {
		struct lane *lane = &w->lanes[i];
		struct job *job = lane->first;

		if (!job)
			continue;
		lane->first = job->next;
		if (!lane->first)
			lane->last = &lane->first;
		return job;
	}
	return NULL;
}

static void fill_pieces(struct filler *f, struct job *job)
{
	struct piece *more = job->more;

	for (;;) {
		uint64_t nr = job->piece.nr;

		job->result = fill_piece(f, job->sp, &job->piece, job->opening, true, job->lane);
		job->filled += nr - job->piece.nr;
		if (job->result || !job->nr_more)
			return;
		job->piece = *more++;
		job->nr_more--;
	}
}

static void run_job(struct filler *f, struct job *job, unsigned worker)
{
	job->filled = 0;
	job->worker = worker;
	job->began = now_ns();
	fill_pieces(f, job);
	job->ended = now_ns();
}

/* Tried again: an owner that is not woken would wait for ever. */
static void wake_owner(struct workers *w)
{
	const uint64_t one = 1;

	for (int i = 0; i < WAKE_TRIES; i++)
		if (write(w->event, &one, sizeof(one)) == (ssize_t)sizeof(one))
			return;
	diag_warn(w->diag, "cannot wake the owner: %s", strerror(errno));
}

static void *worker(void *arg)
{
	struct workers *w = arg;
	struct filler urgent, bulk;
	struct job *job;
	unsigned me;

	if (filler_init(&bulk, w->diag, &w->step))
		return NULL;
	urgent = bulk;
	urgent.step = NULL;
	pthread_mutex_lock(&w->lock);
	me = ++w->started;
	while (!w->stop) {
		bool first;

		job = next_job(w, __atomic_load_n(&w->step, __ATOMIC_RELAXED));
		if (!job) {
			w->idle++;
			pthread_cond_wait(&w->work, &w->lock);
			w->idle--;
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		run_job(job->lane == SHARED_DRAIN ? &bulk : &urgent, job, me);
		pthread_mutex_lock(&w->lock);
		first = !w->back.first;
		lane_put(&w->back, job);
		if (first)
			wake_owner(w);
	}
	pthread_mutex_unlock(&w->lock);
	filler_free(&bulk);
	return NULL;
}

int workers_new(unsigned nr, struct diag *diag, struct workers **out)
{
	struct workers *w = calloc(1, sizeof(*w) + nr * sizeof(w->thread[0]));

	if (!w)
		return diag_fail(diag, ENOMEM, "out of memory for %u workers", nr);
	w->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event < 0) {
		free(w);
		return diag_fail(diag, errno, "cannot make an eventfd: %s", strerror(errno));
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	for (unsigned i = 0; i < SHARED_NR_LANES; i++)
		lane_take_all(&w->lanes[i]);
	lane_take_all(&w->back);
	w->nr = nr;
	w->step = FILL_STEP;
	w->diag = diag;
	*out = w;
	return 0;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->running; i++)
		pthread_join(w->thread[i], NULL);
	close(w->event);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	free(w);
}

int workers_fd(const struct workers *w)
{
	return w->event;
}

int workers_submit(struct workers *w, struct job *job)
{
	int ret = 0;

	pthread_mutex_lock(&w->lock);
	lane_put(&w->lanes[job->lane], job);
	if (w->idle) {
		pthread_cond_signal(&w->work);
	} else if (w->running < w->nr) {
		ret = pthread_create(&w->thread[w->running], NULL, worker, w);
		if (!ret)
			w->running++;
		else if (w->running) /* those that run will do */
			ret = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return ret ? diag_fail(w->diag, ret, "cannot start a worker: %s", strerror(ret)) : 0;
}

struct job *workers_collect(struct workers *w)
{
	struct job *jobs;
	uint64_t n;

	if (read(w->event, &n, sizeof(n)) < 0 && errno != EAGAIN)
		diag_warn(w->diag, "cannot read the workers' event: %s", strerror(errno));
	pthread_mutex_lock(&w->lock);
	jobs = lane_take_all(&w->back);
	pthread_mutex_unlock(&w->lock);
	return jobs;
}

void workers_allow(struct workers *w, uint32_t step)
{
	if (__atomic_exchange_n(&w->step, step, __ATOMIC_RELAXED) || !step)
		return;
	pthread_mutex_lock(&w->lock);
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
}
