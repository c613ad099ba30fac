// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/fdinfo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/util.h"

/* The line prefixes, and which conversion each value takes. */
struct field {
	const char *prefix;
	const char *format;
	size_t offset;
};

static const struct field fields[] = {
	{ "pos:", "%" SCNu64, offsetof(struct fdinfo, pos) },
	{ "flags:", "%" SCNo32, offsetof(struct fdinfo, flags) },
	{ "mnt_id:", "%d", offsetof(struct fdinfo, mnt_id) },
	{ "ino:", "%" SCNu64, offsetof(struct fdinfo, ino) },
	{ "eventfd-count:", "%" SCNx64, offsetof(struct fdinfo, eventfd_count) },
	{ "sigmask:", "%" SCNx64, offsetof(struct fdinfo, sigmask) },
	{ "clockid:", "%d", offsetof(struct fdinfo, clockid) },
	{ "ticks:", "%" SCNu64, offsetof(struct fdinfo, ticks) },
	{ "settime flags:", "%" SCNo32, offsetof(struct fdinfo, settime_flags) },
	{ "Pid:", "%d", offsetof(struct fdinfo, pid) },
};

static int parse_target(const char *line, struct fdinfo *out)
{
	struct fdinfo_target *t;

	if (grow(&out->targets, out->nr_targets, &out->cap_targets, sizeof(*out->targets)) < 0)
		return -ENOMEM;
	t = &out->targets[out->nr_targets];
	*t = (struct fdinfo_target){ 0 };
	if (sscanf(line, "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%" SCNu64 " ino:%" SCNx64 " sdev:%" SCNx32,
		   &t->fd, &t->events, &t->data, &t->pos, &t->ino, &t->dev) < 3)
		return -EPROTO;
	out->nr_targets++;
	return 0;
}

static struct fdinfo_watch *add_watch(struct fdinfo *out)
{
	struct fdinfo_watch *new = reallocarray(out->watches, out->nr_watches + 1, sizeof(*new));

	if (!new)
		return NULL;
	out->watches = new;
	new += out->nr_watches++;
	*new = (struct fdinfo_watch){ 0 };
	return new;
}

static int parse_handle(const char *text, struct fdinfo_watch *w)
{
	unsigned len;
	int at = 0;

	if (sscanf(text, " fhandle-bytes:%x fhandle-type:%x f_handle:%n", &len, (unsigned *)&w->handle_type, &at) < 2 ||
	    !at || len > sizeof(w->handle))
		return -EPROTO;
	for (; w->handle_len < len; w->handle_len++)
		if (sscanf(text + at + 2 * w->handle_len, "%2" SCNx8, &w->handle[w->handle_len]) != 1)
			return -EPROTO;
	return 0;
}

static int parse_inotify(const char *line, struct fdinfo *out)
{
	struct fdinfo_watch *w = add_watch(out);
	int at = 0;

	if (!w)
		return -ENOMEM;
	if (sscanf(line, " wd:%" SCNx32 " ino:%" SCNx64 " sdev:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%" SCNx32 "%n",
		   &w->wd, &w->ino, &w->dev, &w->mask, &w->ignored_mask, &at) < 5 ||
	    !at)
		return -EPROTO;
	return parse_handle(line + at, w);
}

/* The group's own line, and one for each mark: on a file, a mount, or a file system. */
static int parse_fanotify(const char *line, struct fdinfo *out)
{
	struct fdinfo_watch *w;
	int at = 0;

	if (sscanf(line, "flags:%" SCNx32 " event-flags:%" SCNx32, &out->fanotify_flags, &out->event_flags) == 2)
		return 0;
	w = add_watch(out);
	if (!w)
		return -ENOMEM;
	if (sscanf(line, "ino:%" SCNx64 " sdev:%" SCNx32 "%n", &w->ino, &w->dev, &at) < 2 &&
	    sscanf(line, "mnt_id:%x%n", (unsigned *)&w->mnt_id, &at) < 1 &&
	    sscanf(line, "sdev:%" SCNx32 "%n", &w->dev, &at) < 1)
		return -EPROTO;
	line += at;
	at = 0;
	if (sscanf(line, " mflags:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%" SCNx32 "%n", &w->mflags, &w->mask,
		   &w->ignored_mask, &at) < 3)
		return -EPROTO;
	return w->ino ? parse_handle(line + at, w) : 0;
}

static int parse_lock(const char *line, struct fdinfo *out)
{
	static const char *const kinds[] = { "POSIX", "FLOCK", "OFDLCK", "LEASE" };
	struct fdinfo_lock *new = reallocarray(out->locks, out->nr_locks + 1, sizeof(*new)), *l;
	char kind[16], how[16], type[16], end[32];

	if (!new)
		return -ENOMEM;
	out->locks = new;
	l = &new[out->nr_locks];
	*l = (struct fdinfo_lock){ .kind = FDINFO_LOCK_OTHER, .end = -1 };
	if (sscanf(line, "%*d: %15s %15s %15s %*d %*s %" SCNd64 " %31s", kind, how, type, &l->start, end) != 5)
		return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i]))
			l->kind = (enum fdinfo_lock_kind)i;
	l->write = !strcmp(type, "WRITE");
	l->breaking = !strcmp(how, "BREAKING");
	if (strcmp(end, "EOF") != 0 && sscanf(end, "%" SCNd64, &l->end) != 1)
		return -EPROTO;
	out->nr_locks++;
	return 0;
}

static int parse_timespec(const char *text, struct timespec *ts)
{
	return sscanf(text, " (%ld, %ld)", &ts->tv_sec, &ts->tv_nsec) == 2 ? 0 : -EPROTO;
}

static const char *after(const char *line, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(line, prefix, len) ? NULL : line + len;
}

static int parse_line(const char *line, struct fdinfo *out)
{
	const char *rest;
	int number;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if ((rest = after(line, fields[i].prefix)))
			return sscanf(rest, fields[i].format, (char *)out + fields[i].offset) == 1 ? 0 : -EPROTO;
	if (after(line, "tfd:"))
		return parse_target(line, out);
	if ((rest = after(line, "inotify ")))
		return parse_inotify(rest, out);
	if ((rest = after(line, "fanotify ")))
		return parse_fanotify(rest, out);
	if ((rest = after(line, "it_value:")))
		return parse_timespec(rest, &out->it_value);
	if ((rest = after(line, "it_interval:")))
		return parse_timespec(rest, &out->it_interval);
	if ((rest = after(line, "eventfd-semaphore:"))) {
		if (sscanf(rest, "%d", &number) != 1)
			return -EPROTO;
		out->eventfd_semaphore = number;
	}
	if ((rest = after(line, "lock:")))
		return parse_lock(rest, out);
	return 0; /* newer kernels add lines */
}

int fdinfo_parse(char *text, struct fdinfo *out)
{
	char *save = NULL;
	int ret;

	*out = (struct fdinfo){ .mnt_id = -1 };
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		ret = parse_line(line, out);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int fdinfo_read(int proc_fd, int fd, struct fdinfo *out)
{
	_cleanup_free_ char *text = NULL;
	char path[32];
	ssize_t len;

	*out = (struct fdinfo){ .mnt_id = -1 };
	snprintf(path, sizeof(path), "fdinfo/%d", fd);
	len = read_text(proc_fd, path, &text);
	return len < 0 ? (int)len : fdinfo_parse(text, out);
}

void fdinfo_free(struct fdinfo *info)
{
	free(info->targets);
	free(info->watches);
	free(info->locks);
	*info = (struct fdinfo){ .mnt_id = -1 };
}
