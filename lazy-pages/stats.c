// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/stats.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

unsigned stats_bucket(uint64_t ns)
{
	unsigned log;

	if (ns < 16)
		return (unsigned)ns;
	log = 63 - (unsigned)__builtin_clzll(ns);
	return MIN((log - 3) * 16 + (unsigned)(ns >> (log - 4) & 15), SHARED_NR_TIMES - 1U);
}

static uint64_t bucket_top(unsigned b)
{
	unsigned log = b / 16 + 3;

	return b < 16 ? b : (1ULL << log) + ((uint64_t)(b % 16) + 1) * (1ULL << (log - 4)) - 1;
}

void stats_fault(struct shared_stats *st, uint64_t ns)
{
	st->faults++;
	st->sum_ns += ns;
	st->max_ns = MAX(st->max_ns, ns);
	st->times[stats_bucket(ns)]++;
}

uint64_t stats_quantile(const struct shared_stats *st, double q)
{
	uint64_t want = (uint64_t)((double)st->faults * q), seen = 0;

	for (unsigned b = 0; b < SHARED_NR_TIMES && st->faults; b++) {
		seen += st->times[b];
		if (seen > want)
			return MIN(bucket_top(b), st->max_ns);
	}
	return st->max_ns;
}

static void put(json_object *obj, const char *key, uint64_t value)
{
	json_object_object_add(obj, key, json_object_new_uint64(value));
}

uint64_t stats_filled(const struct shared_stats *st)
{
	return st->pages[SHARED_FAULT] + st->pages[SHARED_WSET] + st->pages[SHARED_DRAIN];
}

static double seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / 1e6 : 0;
}

static void add(struct shared_stats *to, const struct shared_stats *st)
{
	to->faults += st->faults;
	to->zero_faults += st->zero_faults;
	to->events += st->events;
	for (unsigned i = 0; i < SHARED_NR_LANES; i++)
		to->pages[i] += st->pages[i];
	to->gone += st->gone;
	to->poisoned += st->poisoned;
	to->total += st->total;
	to->max_ns = MAX(to->max_ns, st->max_ns);
	to->sum_ns += st->sum_ns;
	for (unsigned i = 0; i < SHARED_NR_TIMES && st->faults; i++)
		to->times[i] += st->times[i];
}

void stats_total(const struct shared *sh, struct shared_stats *out)
{
	*out = sh->past;
	for (unsigned i = 0; i < sh->nr_places; i++)
		add(out, &sh->sessions[i].stats);
}

void stats_bury(struct shared *sh, struct shared_session *ss)
{
	add(&sh->past, &ss->stats);
	sh->past_processes += ss->processes;
	memset(&ss->stats, 0, sizeof(ss->stats));
	ss->processes = 0;
}

/* Seconds in which there was memory to fill. */
static double busy_seconds(const struct shared *sh)
{
	return (double)(sh->busy_us + (sh->busy_since ? now_us() - sh->busy_since : 0)) / 1e6;
}

/* What is told of a session and of all of them. */
static void put_stats(json_object *obj, const struct shared_stats *st, uint64_t processes, double drained)
{
	json_object *time = json_object_new_object(), *pages = json_object_new_object();

	put(obj, "processes", processes);
	put(obj, "faults", st->faults);
	put(obj, "zero_faults", st->zero_faults);
	put(obj, "events", st->events);
	put(time, "mean", st->faults ? st->sum_ns / st->faults : 0);
	put(time, "p50", stats_quantile(st, 0.5));
	put(time, "p99", stats_quantile(st, 0.99));
	put(time, "max", st->max_ns);
	json_object_object_add(obj, "fault_ns", time);
	put(pages, "total", st->total);
	put(pages, "fault", st->pages[SHARED_FAULT]);
	put(pages, "working_set", st->pages[SHARED_WSET]);
	put(pages, "drain", st->pages[SHARED_DRAIN]);
	put(pages, "gone", st->gone);
	put(pages, "poisoned", st->poisoned);
	json_object_object_add(obj, "pages", pages);
	put(obj, "bytes", stats_filled(st) * PAGE_SIZE);
	json_object_object_add(obj, "seconds_to_drained", json_object_new_double(drained));
}

static json_object *describe_sessions(const struct shared *sh, uint64_t *processes)
{
	json_object *all = json_object_new_array();

	*processes = sh->past_processes;
	for (unsigned i = 0; i < sh->nr_places; i++) {
		const struct shared_session *ss = &sh->sessions[i];
		json_object *one;

		if (!ss->number || ss->state == SESSION_UNUSED)
			continue;
		one = json_object_new_object();
		put(one, "number", ss->number);
		json_object_object_add(one, "failed", json_object_new_boolean((json_bool)ss->failed));
		put_stats(one, &ss->stats, ss->processes, seconds(ss->stats.finished_us, ss->stats.drained_us));
		json_object_array_add(all, one);
		*processes += ss->processes;
	}
	return all;
}

int stats_write(const struct shared *sh, const char *path, struct diag *diag)
{
	json_object *root = json_object_new_object(), *each;
	struct shared_stats total;
	uint64_t processes;
	int ret = 0;

	stats_total(sh, &total);
	each = describe_sessions(sh, &processes);
	put(root, "version", 1);
	put_stats(root, &total, processes, busy_seconds(sh));
	put(root, "takeovers", sh->takeovers);
	put(root, "restores", sh->nr_sessions);
	put(root, "failed_restores", sh->nr_failed);
	json_object_object_add(root, "sessions", each);
	if (json_object_to_file_ext(path, root, JSON_C_TO_STRING_PRETTY))
		ret = diag_fail(diag, errno ? errno : EIO, "cannot write the statistics %s: %s", path,
				json_util_get_last_err());
	json_object_put(root);
	return ret;
}

static const char *line(const struct shared_stats *st, double time, char *buf)
{
	char bad[64] = "";

	if (st->poisoned)
		snprintf(bad, sizeof(bad), ", %lu unreadable", st->poisoned);
	snprintf(buf, 256, "%lu pages filled (%lu for %lu faults, %lu by the drain), %lu gone%s, %.3f s",
		 stats_filled(st), st->pages[SHARED_FAULT], st->faults, st->pages[SHARED_DRAIN], st->gone, bad, time);
	return buf;
}

const char *stats_line(const struct shared_stats *st, char *buf)
{
	return line(st, seconds(st->finished_us, st->drained_us), buf);
}

const char *stats_summary(const struct shared *sh, char *buf)
{
	struct shared_stats total;

	stats_total(sh, &total);
	return line(&total, busy_seconds(sh), buf);
}
