/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_SHARED_H
#define THAW_LAZY_SHARED_H

#include <stdint.h>
#include <linux/userfaultfd.h>

#include "common/diag.h"
#include "lazy-pages/wire/restore_socket.h"

/*
 * What must outlive the server: memory that it shares with its guardian. Both also share one table of descriptors, so
 * a descriptor's number means the same to both, a userfaultfd that a FORK event brings is held by both from its first
 * moment, and neither's death closes anything.
 *
 * A space's own state (what is missing) is in a memfd named in its row.
 */

#define SHARED_MAX_SPACES 16384
#define SHARED_MAX_SESSIONS 1024
#define SHARED_MAX_MESSAGES 64
#define SHARED_MAX_LOOSE 8
#define SHARED_MAX_BAD 8

struct shared_row {
	int32_t live;
	int32_t closing; /* nothing is missing any more, and its descriptors are being closed */
	int32_t uffd;
	int32_t pidfd; /* -1: unknown (a child that a FORK event announced) */
	int32_t memfd;
	int32_t pid;	   /* 0: unknown */
	int32_t image_pid; /* whose pages it has */
	int32_t settled;   /* its memory is registered: ENOENT means gone */
	int32_t session;   /* whose it is: index in shared->sessions */
	int32_t shares;	   /* enum shared_shares */
	int32_t huge;	   /* its huge pages are missing too */
	int32_t object;	   /* 1: this is no process but an object of shared memory; see objects.c */
	int32_t object_fd;
	int32_t hold_fd; /* descriptors of the server's own memory, as uffd is: -1, or to be closed by a successor */
	uint32_t nr_bad; /* pages that cannot be had; more than SHARED_MAX_BAD: any may be one of them */
	uint64_t number; /* in the images */
	uint64_t bad[SHARED_MAX_BAD]; /* their offsets */
};

/* Does a process map objects that are being filled? */
enum shared_shares {
	SHARES_NONE,
	SHARES_KNOWN, /* where its VMAs in the images are */
	SHARES_MOVED, /* perhaps elsewhere by now; but nothing is missing in them */
};

/*
 * The messages read last. The kernel writes them here, in shared memory; so when the server is killed in a read, its
 * successor sees what was taken from the queue. Each has a number, and each space knows the last one that is in its
 * map, so none is lost or applied twice.
 */
struct shared_inbox {
	int32_t row;	 /* -1: empty */
	uint64_t serial; /* of the first message */
	struct uffd_msg msg[SHARED_MAX_MESSAGES];
};

enum shared_lane { SHARED_FAULT, SHARED_WSET, SHARED_DRAIN, SHARED_NR_LANES };

#define SHARED_NR_TIMES 1024 /* fault time buckets: 16 for each power of two, in nanoseconds */

struct shared_stats {
	uint64_t finished_us; /* now_us() when all memory was registered */
	uint64_t drained_us;  /* and when nothing was missing any more */
	uint64_t faults, zero_faults, events;
	uint64_t pages[SHARED_NR_LANES];
	uint64_t gone, poisoned, total;
	uint64_t max_ns, sum_ns;
	uint32_t times[SHARED_NR_TIMES];
};

/*
 * One restore, from its connection until none of its processes lacks anything, children born meanwhile included. The
 * figures of one that is over stay until its place is wanted; then they go into shared->past.
 */
struct shared_session {
	uint32_t state;	    /* enum shared_session_state; set last */
	uint32_t number;    /* the service's first restore is 1 */
	int32_t conn_fd;    /* -1: closed */
	uint32_t processes; /* received so far */
	uint32_t finished;  /* the restore is through */
	uint32_t failed;    /* its processes have been killed */
	uint32_t huge;	    /* huge pages are registered too */
	struct restore_receiver rx;
	struct shared_stats stats;
};

enum shared_session_state { SESSION_UNUSED, SESSION_LIVE, SESSION_OVER };

/* The images as they were when the service began. */
struct shared_images {
	uint64_t dev, ino, size;
	int64_t mtime_s, mtime_ns; /* of inventory.img, which a dump writes last */
};

/* The record of demand faults, record.h: pages of a chunk of a store that were filled for them. */
struct shared_record {
	uint32_t pages_id; /* which store */
	uint32_t object;   /* it is of shared memory, not of a process */
	uint64_t id;	   /* of that in the images */
	uint64_t chunk, pages;
};

#define SHARED_MAX_RECORDS (1u << 18) /* memory is used only as far as they are */

struct shared {
	int32_t listen_fd;		 /* -1: closed */
	int32_t trace_fd, metrics_fd;	 /* -1: not wanted */
	uint32_t ending;		 /* somebody has asked the service to end */
	uint32_t network_used;		 /* a server has used the connection to the page server */
	uint32_t hurry;			 /* a signal wants it to end: drain at full speed */
	uint32_t nr_places;		 /* in sessions, that were ever used */
	uint32_t nr_sessions;		 /* that there were */
	uint32_t nr_over, nr_failed;	 /* of these; one that failed is over as well */
	uint64_t busy_since, busy_us;	 /* since when there is memory to fill (0: there is none); and before that */
	struct shared_images images;	 /* all zero: not looked at yet */
	uint64_t server;		 /* how many there were << 32 | pid of the last */
	int32_t loose[SHARED_MAX_LOOSE]; /* a server's own descriptors, to be closed by its successor */
	uint32_t done;
	int32_t status; /* 0 or -errno, when done */
	char text[512]; /* the sentence for it */
	uint64_t takeovers;
	struct shared_inbox inbox;
	uint32_t past_processes;
	struct shared_stats past; /* of sessions whose place another has taken */
	struct shared_session sessions[SHARED_MAX_SESSIONS];
	struct shared_row rows[SHARED_MAX_SPACES];
	uint32_t nr_records;
	struct shared_record records[SHARED_MAX_RECORDS];
};

/** shared_new() - Shared memory with nothing in it. Return: it, or NULL when out of memory */
struct shared *shared_new(void);

/** shared_close() - Close a descriptor, if there is one; first nobody may find its number's next holder there */
void shared_close(int32_t *fd);

/** shared_add() - Count in shared memory, from any thread */
static inline void shared_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#endif
