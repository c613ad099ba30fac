/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_SERVE_H
#define THAW_LAZY_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "lazy-pages/fetch.h"
#include "lazy-pages/metrics.h"
#include "lazy-pages/pace.h"
#include "lazy-pages/progress.h"
#include "lazy-pages/record.h"
#include "lazy-pages/replay.h"
#include "lazy-pages/server.h"
#include "lazy-pages/space.h"
#include "lazy-pages/trace.h"
#include "lazy-pages/workers.h"

#define SERVE_RETRY_NS 20000 /* after that, try again what an event has stopped */

/*
 * The owner thread's context: everything that one server has. Only serve.c, drain.c, fetch.c, events.c and session.c
 * look inside.
 */

/* Places in shared->loose. */
enum { LOOSE_EPOLL, LOOSE_SIGNALS, LOOSE_WORKERS, LOOSE_NETWORK, LOOSE_SCRAPE, LOOSE_OWNER };

struct fault {
	struct space *sp;
	uint64_t addr;
	uint64_t since; /* ns, when its message was read */
};

/* The pages of a process of the images, for all who are restored from it. */
struct known_source {
	pid_t image_pid;
	struct source *src;
};

struct server {
	const struct lazy_options *opt;
	struct diag *diag;
	struct shared *sh;
	struct image_dir *dir;
	struct workers *workers;
	struct filler filler; /* the owner's own: faults are filled without a hand-over */
	int epoll;
	int signals;
	int owner; /* pidfd of the restore that has started the service, -1: another */
	unsigned cpus;
	struct space *spaces[SHARED_MAX_SPACES]; /* by row */
	unsigned nr_rows;			 /* rows that were ever used */
	unsigned nr_spaces;
	unsigned session_spaces[SHARED_MAX_SESSIONS]; /* the spaces of each session */
	struct objects *objects;
	struct known_source *sources;
	size_t nr_sources, cap_sources;
	struct replay *replays[SHARED_MAX_SPACES]; /* by row; NULL: nothing to replay */
	unsigned nr_replays;
	bool wset_refused;     /* a working set is of no use, and that was said */
	struct record *record; /* NULL: nobody wants it */
	char inventory[4096];  /* path of the images' inventory.img */
	bool unsettled;	       /* some space has events under way: look again soon */
	struct fault *faults;  /* to be served */
	size_t nr_faults, cap_faults;
	size_t nr_waiting; /* of them, for pages that come over the network */
	struct job *jobs;  /* all of them */
	struct job *idle_jobs;
	unsigned nr_jobs, busy_jobs;
	struct space *focus; /* where the last fault was: the drain goes on there */
	uint64_t last_fault; /* ns */
	uint64_t sweep;	     /* faults since the last long pause */
	uint64_t burst;	     /* faults since the last pause */
	uint64_t gap;	     /* ns between faults, smoothed */
	struct pace pace;
	struct fetch fetch;  /* with opt->network */
	uint64_t held;	     /* ns: the drain stands still until then; 0: it does not */
	uint64_t feed_after; /* ns: no drain before */
	unsigned unwatched;  /* spaces whose end nothing announces */
	uint64_t looked;     /* ns: when it was last looked whether they are gone */
	struct progress progress;
	struct scrape scrape;
	struct trace *trace; /* NULL: nobody wants it */
};

/* What an epoll event is about; the row's number is in the low half. */
enum watch {
	WATCH_LISTEN,
	WATCH_CONN,
	WATCH_UFFD,
	WATCH_PIDFD,
	WATCH_WORKERS,
	WATCH_SIGNAL,
	WATCH_NETWORK,
	WATCH_METRICS,
	WATCH_SCRAPE,
	WATCH_OWNER
};

/**
 * serve() - Take the processes of one restore, or with --keep-serving of any number, and fill them until nothing is
 * missing
 *
 * Return: 0, or -errno with a sentence
 */
int serve(const struct lazy_options *opt, struct shared *sh, struct diag *diag);

/** serve_watch() - Poll a descriptor. Return: 0, or -errno with a sentence */
int serve_watch(struct server *s, int fd, enum watch what, unsigned row);

/** serve_unwatch() - Poll it no more */
void serve_unwatch(struct server *s, int fd);

/** serve_new_row() - A free row for a space. Return: it, or NULL when all are taken */
struct shared_row *serve_new_row(struct server *s);

/** serve_add_space() - Start to serve a space. Return: 0, or -errno with a sentence */
int serve_add_space(struct server *s, struct space *sp);

/** drain_start_replay() - Fill the working set of a space, if it has one */
void drain_start_replay(struct server *s, struct space *sp);

/** drain_end_replay() - The working set of the space in @row, if it had one, is filled, or of no more use */
void drain_end_replay(struct server *s, unsigned row);

/** serve_set_pace() - From now on the drain goes as it was asked to */
void serve_set_pace(struct server *s);

/**
 * serve_source() - The pages of process @image_pid of the images
 * @out: set to a source that the server keeps
 *
 * Return: 0, or -errno with a sentence
 */
int serve_source(struct server *s, pid_t image_pid, struct source **out);

/** drain_run() - Let the drain go on, or stand still while faults come in. Return: 0, or -errno with a sentence */
int drain_run(struct server *s);

/**
 * drain_submit() - Hand the first idle job, whose piece is set, to the workers
 *
 * Return: 0, or -errno with a sentence
 */
int drain_submit(struct server *s, struct space *sp, enum shared_lane lane);

/** drain_rated() - Does the rate make the drain wait? Then s->held is set */
bool drain_rated(struct server *s, uint64_t now);

/** drain_jobs_back() - Take back the jobs from @job on, which workers are through with; takes NULL */
void drain_jobs_back(struct server *s, struct job *job);

/** observe_start() - Prepare for those who want to look on. Return: 0, or -errno with a sentence */
int observe_start(struct server *s);

/** observe_tick() - Let them see how far it is, if it is time */
void observe_tick(struct server *s);

/** observe_patience() - How long the owner may wait for their sake, given that it would wait @wait ns (-1: for ever) */
int64_t observe_patience(const struct server *s, int64_t wait);

/** observe_metrics() - Somebody connects for metrics. Return: 0, or -errno with a sentence */
int observe_metrics(struct server *s);

/** observe_scrape() - Read what he wants, and answer */
void observe_scrape(struct server *s);

/** observe_end() - Tell them that it is over */
void observe_end(struct server *s);

/** events_read() - Read what a userfaultfd has to say, apply its events, queue its faults. Return: 0, or -errno */
int events_read(struct server *s, struct space *sp);

/** events_settle() - If no event is under way, trust the map. Return: 0, or -errno with a sentence */
int events_settle(struct server *s, struct space *sp);

/** events_touched() - A zero page was filled in at @addr: it is in an area, known or not. Return: as above */
int events_touched(struct server *s, struct space *sp, uint64_t addr);

/** events_note_areas() - Note which areas of the images are registered; before the process runs, if they are by then,
 * and again when the restore is through. Return: as above */
int events_note_areas(struct server *s, struct space *sp);

/** events_replay() - Apply what a dead server had read and not applied. Return: 0, or -errno with a sentence */
int events_replay(struct server *s);

/** session_accept() - Take the connection of a restore. Return: 0, or -errno with a sentence */
int session_accept(struct server *s);

/** session_abandon() - The restore has ended: end the service, if nothing of it is here. Return: 0 or -errno */
int session_abandon(struct server *s);

/** session_receive() - Read what the restore at @place says. Return: 0, or -errno with a sentence */
int session_receive(struct server *s, unsigned place);

/**
 * session_fail() - The session at @place cannot go on: with --keep-serving kill its processes
 * @cause: the space whose map is not what the process has, NULL: none
 * @ret: why; the sentence has been said
 *
 * Return: 0, or @ret when the service is for this restore alone
 */
int session_fail(struct server *s, unsigned place, struct space *cause, int ret);

/** session_settle() - End the sessions that are through. Return: whether the service is */
bool session_settle(struct server *s);

/** session_adopt() - Go on with the sessions of a dead server, and listen. Return: 0, or -errno with a sentence */
int session_adopt(struct server *s);

/** session_end_service() - Take no more restores, and end when all are over. Return: 0, or -errno with a sentence */
int session_end_service(struct server *s);

#endif
