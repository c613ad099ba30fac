// SPDX-License-Identifier: GPL-2.0-only
/*
 * See aio.h. The kernel keeps to itself at which event of the ring it goes on, so a new ring gets there by requests
 * that do nothing: as many as lie before the first event that waits, which are taken, and one for each that waits. Then
 * the events themselves are written over those.
 *
 * Requests under way are lost, but for those that come to their end before the ring is copied.
 */
#include "criu-like/state/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/vma.h"

#define RING_MAGIC 0xa10a10a1
#define STEP 64 /* requests at once */

/* What the kernel maps; the events follow. */
struct ring {
	uint32_t id; /* in the kernel's table, so it stays the new one's */
	uint32_t nr; /* events that there is room for */
	uint32_t head, tail;
	uint32_t magic, compat, incompat;
	uint32_t header_length;
};

bool aio_is_area(const struct area *a)
{
	return !strncmp(a->name, "/[aio]", 6);
}

static uint32_t events_in(uint64_t len)
{
	return (uint32_t)((len - sizeof(struct ring)) / sizeof(struct io_event));
}

static int check_ring(struct diag *diag, const struct process *p, uint64_t addr, uint64_t len, const struct ring *ring)
{
	if (ring->magic == RING_MAGIC && ring->header_length == sizeof(*ring) && ring->nr == events_in(len) &&
	    ring->tail < ring->nr)
		return 0;
	return diag_fail(diag, EPROTO,
			 "the asynchronous I/O ring at 0x%llx of process %d is not as the kernel makes it",
			 (unsigned long long)addr, p->pid);
}

int aio_dump_area(struct dump *d, struct process *p, const struct area *a, VmaEntry *v)
{
	AioRingEntry *e = arena_alloc(d->arena, sizeof(*e)), **all;
	struct ring ring;
	int ret;

	all = arena_array(d->arena, p->mm->n_aios + 1, sizeof(*all));
	if (!e || !all)
		return no_memory(d->diag);
	if (full_pread(p->mem_fd, &ring, sizeof(ring), (off_t)a->start) != sizeof(ring))
		return diag_fail(d->diag, EIO, "cannot read the asynchronous I/O ring at 0x%llx of process %d",
				 (unsigned long long)a->start, p->pid);
	ret = check_ring(d->diag, p, a->start, a->end - a->start, &ring);
	if (ret)
		return ret;
	v->status = VMA_REGULAR | VMA_AIORING;
	aio_ring_entry__init(e);
	e->id = a->start;
	e->ring_len = (uint32_t)(a->end - a->start);
	e->nr_req = (ring.nr - 2) / 2; /* the kernel makes it twice as many, two more, and fills the pages */
	if (p->mm->n_aios)
		memcpy(all, p->mm->aios, p->mm->n_aios * sizeof(*all));
	all[p->mm->n_aios++] = e;
	p->mm->aios = all;
	return 0;
}

void aio_room(const struct process *p, size_t *records, size_t *bytes)
{
	for (size_t i = 0; i < p->mm->n_aios; i++) {
		*records += 8 + 3 * (events_in(p->mm->aios[i]->ring_len) / STEP + 1);
		*bytes += 2 * sizeof(struct iocb) + STEP * (sizeof(uint64_t) + sizeof(struct io_event));
	}
}

/* The ring's header, from the page of the images that it is in. */
static int read_ring(struct restore *r, struct process *p, const AioRingEntry *e, struct ring *ring)
{
	_cleanup_free_ void *buf = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	size_t at = pagemap_find(&p->pagemap, e->id);
	const struct page_run *run = at < p->pagemap.nr ? &p->pagemap.runs[at] : NULL;
	struct page_store *store = NULL;
	const void *data;
	int ret;

	if (!buf)
		return no_memory(r->diag);
	if (!PAGE_ALIGNED(e->id | e->ring_len) || !e->ring_len || !run || run->vaddr > e->id ||
	    !(run->flags & PE_PRESENT))
		return diag_fail(r->diag, EPROTO,
				 "mm-%d.img is damaged: it has an asynchronous I/O ring at 0x%llx, which is not in the "
				 "memory",
				 p->pid, (unsigned long long)e->id);
	ret = page_store_open(r->dir, &p->pagemap, &store, r->diag);
	if (!ret)
		ret = page_store_get(store, run, (e->id - run->vaddr) / PAGE_SIZE, 1, buf, &data, r->diag);
	if (!ret)
		memcpy(ring, data, sizeof(*ring));
	page_store_close(store);
	return ret ? ret : check_ring(r->diag, p, e->id, e->ring_len, ring);
}

/* What @nr requests take, in the task: the same request again and again. */
struct idle {
	uint64_t requests, events; /* addresses */
};

static void tell_requests(struct batch *b, uint64_t ctx, const struct idle *idle, uint32_t nr, bool taken)
{
	for (uint32_t n; nr; nr -= n) {
		n = MIN(nr, STEP);
		batch_call(b, BATCH_MUST, SYS_io_submit, ctx, n, idle->requests);
		if (taken)
			batch_call(b, BATCH_MUST, SYS_io_getevents, ctx, n, n, idle->events, 0);
	}
}

static struct idle idle_requests(struct batch *b, int null_fd)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)null_fd };
	uint64_t addresses[STEP];

	request.aio_buf = batch_data(b, NULL, sizeof(request));
	addresses[0] = batch_data(b, &request, sizeof(request));
	for (size_t i = 1; i < STEP; i++)
		addresses[i] = addresses[0];
	return (struct idle){ batch_data(b, addresses, sizeof(addresses)),
			      batch_data(b, NULL, STEP * sizeof(struct io_event)) };
}

static int tell_ring(struct restore *r, struct process *p, const AioRingEntry *e, int null_fd, struct batch *b)
{
	struct ring ring;
	struct idle idle;
	size_t setup, move;
	int ret = read_ring(r, p, e, &ring);

	if (ret)
		return ret;
	/* The context's address goes straight into the call that moves it. */
	setup = batch_call(b, BATCH_MUST, SYS_io_setup, e->nr_req);
	move = batch_call(b, BATCH_MUST, SYS_mremap, 0, e->ring_len, e->ring_len, MREMAP_MAYMOVE | MREMAP_FIXED, e->id);
	if (!batch_record_at(b, move))
		return 0; /* no room: batch_end() says so */
	batch_record_at(b, setup)->arg[1] = batch_record_address(b, move) + offsetof(struct batch_record, arg[0]);
	idle = idle_requests(b, null_fd);
	ring.head %= ring.nr;
	tell_requests(b, e->id, &idle, ring.head, true);
	tell_requests(b, e->id, &idle, (ring.tail + ring.nr - ring.head) % ring.nr, false);
	return 0;
}

int aio_tell(struct restore *r, struct process *p, struct batch *b)
{
	int fd, ret = 0;

	if (!p->mm->n_aios)
		return 0;
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_fail(r->diag, errno, "cannot open /dev/null: %s", strerror(errno));
	fd = opener_keep(r, fd);
	if (fd < 0)
		return fd;
	/* Places where the kernel shall not put a new ring. */
	for (size_t i = 0; i < p->mm->n_aios; i++)
		batch_call(b, BATCH_MUST, SYS_mmap, p->mm->aios[i]->id, p->mm->aios[i]->ring_len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1, 0);
	for (size_t i = 0; i < p->mm->n_aios && !ret; i++)
		ret = tell_ring(r, p, p->mm->aios[i], fd, b);
	return ret;
}

int aio_fill(struct restore *r, const struct process *p, const VmaEntry *v, uint64_t addr, const void *data, size_t len)
{
	struct ring now, was;
	size_t header = addr == v->start ? sizeof(now) : 0;
	int ret;

	if (header) {
		memcpy(&was, data, sizeof(was));
		if (full_pread(p->mem_fd, &now, sizeof(now), (off_t)addr) != sizeof(now) || now.nr != was.nr ||
		    now.tail != was.tail || now.head != was.head % was.nr)
			return diag_fail(
				r->diag, EPROTO,
				"the asynchronous I/O ring at 0x%llx of process %d does not come to where it was",
				(unsigned long long)addr, p->pid);
	}
	ret = full_pwrite(p->mem_fd, (const uint8_t *)data + header, len - header, (off_t)(addr + header));
	return ret ? diag_fail(r->diag, -ret, "cannot fill the asynchronous I/O ring at 0x%llx of process %d: %s",
			       (unsigned long long)addr, p->pid, strerror(-ret))
		   : 0;
}
