/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_PROBE_H
#define THAW_PROBE_H

#include <stddef.h>

/*
 * What the kernel and the capabilities allow, tried out: each probe does on a small scale what dump, restore or the
 * lazy-pages server do, in this process or in a child of its own, and leaves nothing behind.
 */

#define PROBE_MAIN \
	(1u << 0) /* the main path needs it: dump, restore, lazy restore; others are for more, or for speed */
#define PROBE_ON_UFFD (1u << 1) /* of no use where probe_uffd() fails */

struct probe {
	const char *name;
	unsigned flags;	    /* PROBE_* */
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
