// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

#define LINE_MAX_LEN 256
#define MISSING_NS 10000000

struct trace {
	int fd; /* -1: it could not be written */
	pid_t server;
	struct diag *diag;
	uint64_t next; /* when trace_missing() is due */
	size_t len;
	char buf[64 * 1024];
};

static const char *const lanes[SHARED_NR_LANES] = { "fault", "working set", "drain" };

int trace_begin(const char *path, struct diag *diag)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	int ret = fd < 0 ? -errno : full_write(fd, "[\n", 2);

	return ret ? diag_fail(diag, -ret, "cannot write the trace %s: %s", path, strerror(-ret)) : TAKE_FD(fd);
}

static void flush(struct trace *t)
{
	int ret = t->fd < 0 ? 0 : full_write(t->fd, t->buf, t->len);

	t->len = 0;
	if (!ret)
		return;
	diag_warn(t->diag, "the trace ends here: %s", strerror(-ret));
	t->fd = -1;
}

/* One event: what all have, and then what is @fmt's. Times are in microseconds. */
__attribute__((format(printf, 5, 6))) static void put(struct trace *t, const char *name, unsigned thread, uint64_t at,
						      const char *fmt, ...)
{
	va_list args;
	char *line;
	int n, more;

	if (sizeof(t->buf) - t->len < LINE_MAX_LEN)
		flush(t);
	line = t->buf + t->len;
	n = snprintf(line, LINE_MAX_LEN, "{\"name\":\"%s\",\"pid\":%d,\"tid\":%u,\"ts\":%.3f,", name, t->server, thread,
		     (double)at / 1e3);
	va_start(args, fmt);
	more = vsnprintf(line + n, LINE_MAX_LEN - (size_t)n, fmt, args);
	va_end(args);
	if (n + more + 4 < LINE_MAX_LEN)
		t->len += (size_t)(n + more + sprintf(line + n + more, "},\n"));
}

struct trace *trace_new(int fd, unsigned workers, struct diag *diag)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fd = fd;
	t->server = getpid();
	t->diag = diag;
	put(t, "process_name", 0, 0, "\"ph\":\"M\",\"args\":{\"name\":\"thaw lazy-pages\"}");
	put(t, "thread_name", 0, 0, "\"ph\":\"M\",\"args\":{\"name\":\"faults and events\"}");
	for (unsigned i = 1; i <= workers; i++)
		put(t, "thread_name", i, 0, "\"ph\":\"M\",\"args\":{\"name\":\"worker %u\"}", i);
	return t;
}

void trace_fault(struct trace *t, const struct space *sp, uint64_t addr, uint64_t since, uint64_t begin, uint64_t end,
		 uint64_t pages)
{
	if (t)
		put(t, lanes[SHARED_FAULT], 0, begin,
		    "\"ph\":\"X\",\"dur\":%.3f,\"args\":{\"process\":%d,\"address\":\"0x%lx\",\"pages\":%lu,"
		    "\"waited\":%.3f}",
		    (double)(end - begin) / 1e3, sp->row->pid, addr, pages, (double)(begin - since) / 1e3);
}

void trace_job(struct trace *t, const struct job *job)
{
	if (t)
		put(t, lanes[job->lane], job->worker, job->began,
		    "\"ph\":\"X\",\"dur\":%.3f,\"args\":{\"process\":%d,\"address\":\"0x%lx\",\"pages\":%lu,"
		    "\"result\":%d}",
		    (double)(job->ended - job->began) / 1e3, job->sp->row->pid, job->start, job->filled, job->result);
}

void trace_event(struct trace *t, const struct space *sp, const struct uffd_msg *msg, uint64_t now)
{
	static const char mark[] = "\"ph\":\"i\",\"s\":\"t\",\"args\":{\"process\":%d";
	char args[128];

	if (!t)
		return;
	snprintf(args, sizeof(args), mark, sp->row->pid);
	if (msg->event == UFFD_EVENT_FORK)
		put(t, "fork", 0, now, "%s}", args);
	else if (msg->event == UFFD_EVENT_REMAP)
		put(t, "remap", 0, now, "%s,\"from\":\"0x%llx\",\"to\":\"0x%llx\",\"pages\":%llu}", args,
		    msg->arg.remap.from, msg->arg.remap.to, msg->arg.remap.len / PAGE_SIZE);
	else
		put(t, msg->event == UFFD_EVENT_REMOVE ? "remove" : "unmap", 0, now,
		    "%s,\"address\":\"0x%llx\",\"pages\":%llu}", args, msg->arg.remove.start,
		    (msg->arg.remove.end - msg->arg.remove.start) / PAGE_SIZE);
}

void trace_mark(struct trace *t, const char *what, uint64_t now)
{
	if (t)
		put(t, what, 0, now, "\"ph\":\"i\",\"s\":\"g\"");
}

bool trace_due(const struct trace *t, uint64_t now)
{
	return t && now >= t->next;
}

void trace_missing(struct trace *t, uint64_t pages, uint64_t now)
{
	put(t, "missing", 0, now, "\"ph\":\"C\",\"args\":{\"MiB\":%.2f}", (double)pages / 256);
	t->next = now + MISSING_NS;
	flush(t);
}

void trace_free(struct trace *t)
{
	if (t)
		flush(t);
	free(t);
}

int trace_end(int fd, uint64_t now, struct diag *diag)
{
	char line[LINE_MAX_LEN];
	int n = snprintf(line, sizeof(line),
			 "{\"name\":\"end\",\"pid\":%d,\"tid\":0,\"ts\":%.3f,\"ph\":\"i\",\"s\":\"g\"}\n]\n", getpid(),
			 (double)now / 1e3);
	int ret = full_write(fd, line, (size_t)n);

	if (close(fd) && !ret)
		ret = -errno;
	return ret ? diag_fail(diag, -ret, "cannot write the trace: %s", strerror(-ret)) : 0;
}
