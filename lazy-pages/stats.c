// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/stats.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

/* Buckets: 16 for each power of two, so a quantile is within 6 % of the truth. */
static unsigned bucket(uint64_t ns)
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
	st->times[bucket(ns)]++;
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

static uint64_t filled(const struct shared_stats *st)
{
	return st->pages[SHARED_FAULT] + st->pages[SHARED_WSET] + st->pages[SHARED_DRAIN];
}

static double seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / 1e6 : 0;
}

int stats_write(const struct shared *sh, const char *path, struct diag *diag)
{
	const struct shared_stats *st = &sh->stats;
	json_object *root = json_object_new_object(), *time = json_object_new_object();
	json_object *pages = json_object_new_object();
	int ret = 0;

	put(root, "version", 1);
	put(root, "processes", sh->processes);
	put(root, "faults", st->faults);
	put(root, "zero_faults", st->zero_faults);
	put(root, "events", st->events);
	put(root, "takeovers", st->takeovers);
	put(time, "mean", st->faults ? st->sum_ns / st->faults : 0);
	put(time, "p50", stats_quantile(st, 0.5));
	put(time, "p99", stats_quantile(st, 0.99));
	put(time, "max", st->max_ns);
	json_object_object_add(root, "fault_ns", time);
	put(pages, "total", st->total);
	put(pages, "fault", st->pages[SHARED_FAULT]);
	put(pages, "working_set", st->pages[SHARED_WSET]);
	put(pages, "drain", st->pages[SHARED_DRAIN]);
	put(pages, "gone", st->gone);
	put(pages, "poisoned", st->poisoned);
	json_object_object_add(root, "pages", pages);
	put(root, "bytes", filled(st) * PAGE_SIZE);
	json_object_object_add(root, "seconds_to_drained",
			       json_object_new_double(seconds(st->finished_us, st->drained_us)));
	if (json_object_to_file_ext(path, root, JSON_C_TO_STRING_PRETTY))
		ret = diag_fail(diag, errno ? errno : EIO, "cannot write the statistics %s: %s", path,
				json_util_get_last_err());
	json_object_put(root);
	return ret;
}

void stats_progress(const struct shared *sh, bool last)
{
	const struct shared_stats *st = &sh->stats;
	uint64_t done = filled(st) + st->gone + st->poisoned, now = now_us();
	unsigned width = 30, full = st->total ? (unsigned)(done * width / st->total) : 0;
	char bar[32];

	if (!sh->finished)
		return;
	memset(bar, '.', width);
	memset(bar, '#', MIN(full, width));
	bar[width] = '\0';
	fprintf(stderr, "\r[%s] %lu of %lu MiB, %.1f GiB/s, %lu faults %s", bar, done >> 8, st->total >> 8,
		(double)filled(st) / 262144 / (seconds(st->finished_us, now) + 1e-6), st->faults, last ? "\n" : "");
}

const char *stats_summary(const struct shared *sh, char *buf)
{
	const struct shared_stats *st = &sh->stats;
	char bad[64] = "";

	if (st->poisoned)
		snprintf(bad, sizeof(bad), ", %lu unreadable", st->poisoned);
	snprintf(buf, 256, "%lu pages filled (%lu for %lu faults, %lu by the drain), %lu gone%s, %.3f s", filled(st),
		 st->pages[SHARED_FAULT], st->faults, st->pages[SHARED_DRAIN], st->gone, bad,
		 seconds(st->finished_us, st->drained_us));
	return buf;
}
