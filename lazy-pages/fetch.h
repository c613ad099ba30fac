/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_FETCH_H
#define THAW_LAZY_FETCH_H

#include "lazy-pages/source/network.h"

/*
 * Pages over the network: what the owner asks for, and where it puts what has come. The owner thread's.
 */
struct server;
struct space;
struct piece;
struct job;

struct fetch {
	struct delivery *first, **last; /* came, and not with the workers yet */
	uint64_t staged;		/* pages that came and are not let go of */
	int error;			/* why nothing more will come, 0: it will */
	uint64_t generation;		/* of the connections over which pages were asked for */
	uint64_t told;			/* ns: when the page server was last told what is not wanted any more */
};

/** fetch_start() - Begin to receive, with opt->network's connection. Return: 0, or -errno with a sentence */
int fetch_start(struct server *s);

/**
 * fetch_fault() - Somebody waits for the page at @addr
 * @p: missing pages around it
 *
 * Return: -EINPROGRESS: it will come; or as fill_piece(): it was here
 */
int fetch_fault(struct server *s, struct space *sp, struct piece *p, uint64_t addr);

/** fetch_collect() - Take what has come */
void fetch_collect(struct server *s);

/** fetch_run() - Ask for more, and give the workers what has come. Return: 0, or -errno with a sentence (as well when
 * nothing more will come, and more is needed) */
int fetch_run(struct server *s);

/** fetch_job_back() - A worker is through with a job of a delivery */
void fetch_job_back(struct server *s, struct job *job);

/** fetch_finish() - Everything is filled, or gone */
void fetch_finish(struct server *s);

#endif
