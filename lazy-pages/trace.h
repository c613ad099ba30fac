/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_TRACE_H
#define THAW_LAZY_TRACE_H

#include <linux/userfaultfd.h>

#include "lazy-pages/space.h"
#include "lazy-pages/workers.h"

/*
 * What the server did when, in the JSON of Chrome's trace events (chrome://tracing, ui.perfetto.dev): --trace. The file
 *is a descriptor that the guardian holds too, so that a successor goes on in it. Whole lines are written, and what is
 * written is an array that lacks its end, as the format allows, until trace_end().
 *
 *	a server is a process; its owner is thread 0, with a span for each fault that it served and a mark for each
 *	event; its workers are the threads from 1 on, with a span for each job (of process 0: in shared memory)
 *
 * All functions are the owner thread's and do nothing when the trace is NULL. Times are CLOCK_MONOTONIC in ns.
 */

struct trace;

/** trace_begin() - Make the file. Return: a descriptor for trace_new() and trace_end(), or -errno with a sentence */
int trace_begin(const char *path, struct diag *diag);

/** trace_new() - Start to trace a server with so many @workers. Return: it, or NULL when out of memory */
struct trace *trace_new(int fd, unsigned workers, struct diag *diag);

/** trace_fault() - A fault was read at @since, served from @begin until @end, and got @pages (0: a zero page) */
void trace_fault(struct trace *t, const struct space *sp, uint64_t addr, uint64_t since, uint64_t begin, uint64_t end,
		 uint64_t pages);

/** trace_job() - A job has come back */
void trace_job(struct trace *t, const struct job *job);

/** trace_event() - An event of a userfaultfd is being applied */
void trace_event(struct trace *t, const struct space *sp, const struct uffd_msg *msg, uint64_t now);

/** trace_mark() - Something else happened. @what: without quotation marks */
void trace_mark(struct trace *t, const char *what, uint64_t now);

/** trace_due() - Is it time for trace_missing()? */
bool trace_due(const struct trace *t, uint64_t now);

/** trace_missing() - So many pages are missing at the time; writes what is buffered */
void trace_missing(struct trace *t, uint64_t pages, uint64_t now);

/** trace_free() - Write what is buffered, and end; the descriptor stays open */
void trace_free(struct trace *t);

/** trace_end() - End the file and close it. Return: 0, or -errno with a sentence */
int trace_end(int fd, uint64_t now, struct diag *diag);

#endif
