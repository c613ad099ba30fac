/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_PROBE_H
#define THAW_INSPECT_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the kernel and the capabilities allow, tried out: each probe does on a small scale what dump, restore or the
 * lazy-pages server do, in this process or in a child of its own, and leaves nothing behind.
 */

/* What a failed probe takes away. */
enum probe_need {
	PROBE_MAIN, /* the main path: dump, restore, lazy restore */
	PROBE_MORE, /* a part of what Thaw can do, or speed */
};

struct probe {
	const char *name;
	enum probe_need need;
	int (*run)(void);   /* Return: 0 or positive, or -errno */
	const char *advice; /* what is lost without it, and what to do */
};

extern const struct probe probes[];
extern const size_t nr_probes;

/* The probes of userfaultfd and of page tracking (probe_uffd.c). */
int probe_uffd(void);
int probe_uffd_events(void);
int probe_uffd_event_fork(void);
int probe_uffd_shmem(void);
int probe_uffd_poison(void);
int probe_pagemap_scan(void);
int probe_wp_async(void);

#endif
