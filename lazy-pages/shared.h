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

#define SHARED_MAX_SPACES 4096
#define SHARED_MAX_MESSAGES 64
#define SHARED_MAX_LOOSE 8

struct shared_row {
	int32_t live;
	int32_t closing; /* nothing is missing any more, and its descriptors are being closed */
	int32_t uffd;
	int32_t pidfd; /* -1: unknown (a child that a FORK event announced) */
	int32_t memfd;
	int32_t pid;	   /* 0: unknown */
	int32_t image_pid; /* whose pages it has */
	int32_t settled;   /* its memory is registered: ENOENT means gone */
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
	uint64_t start_us, finished_us, drained_us;
	uint64_t faults, zero_faults, events, takeovers;
	uint64_t pages[SHARED_NR_LANES];
	uint64_t gone, poisoned, total;
	uint64_t max_ns, sum_ns;
	uint32_t times[SHARED_NR_TIMES];
};

struct shared {
	int32_t listen_fd; /* -1: closed */
	int32_t conn_fd;   /* -1: none */
	struct restore_receiver rx;
	uint32_t accepting;		 /* the mark of a connection that may be on its way */
	uint32_t processes;		 /* received so far */
	uint32_t finished;		 /* the restore is through */
	uint32_t lost;			 /* its connection ended before that */
	uint32_t hurry;			 /* a signal wants it to end: drain at full speed */
	uint64_t server;		 /* how many there were << 32 | pid of the last */
	int32_t loose[SHARED_MAX_LOOSE]; /* a server's own descriptors, to be closed by its successor */
	uint32_t done;
	int32_t status; /* 0 or -errno, when done */
	char text[512]; /* the sentence for it */
	struct shared_inbox inbox;
	struct shared_stats stats;
	struct shared_row rows[SHARED_MAX_SPACES];
};

/** shared_new() - Shared memory with nothing in it. Return: it, or NULL when out of memory */
struct shared *shared_new(void);

/** shared_add() - Count in shared memory, from any thread */
static inline void shared_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#endif
