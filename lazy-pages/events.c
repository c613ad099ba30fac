// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/serve.h"

/*
 * Events, and why their order is safe.
 *
 * A system call that changes the registered address space (munmap, mremap, madvise, fork) raises mmap_changing in the
 * kernel, waits for fills under way, does its work, queues its event and sleeps until that has been read. From the
 * first to the last of these every new fill fails with EAGAIN. So a fill can land wrongly in one way only: its
 * destination was looked up before the event was read, and its system call starts after. The gate closes that hole: the
 * owner shuts it before each read, when no worker is between its look at the gate's number and the end of its system
 * call, and opens it with a new number once the events are in the map. A job from before finds the number changed and
 * goes back to the owner. The owner's own fills are looked up and done between two reads.
 *
 * Faults are announced before events, whichever came first, so a batch's events are applied before its faults are
 * looked up. A fault that meets EAGAIN (an event came meanwhile) stays queued and is looked up again after the read;
 * the kernel does not announce it twice.
 *
 * FORK: the kernel makes the child's copy while fills are shut out, and the gate is shut when the event is applied, so
 * the parent's bits say exactly what the child has.
 *
 * A successor must know what was read: the messages lie in shared memory, and so does how many of them are applied. A
 * killed thread finishes its read() first, so none is lost between the kernel and there.
 */

static int apply_fork(struct server *s, struct space *parent, const struct uffd_msg *msg)
{
	struct shared_row *row = serve_new_row(s);
	struct space *sp;
	int ret;

	if (!row)
		return diag_fail(s->diag, EMFILE, "process %d forked, and %d address spaces are being served already",
				 parent->row->pid, SHARED_MAX_SPACES);
	*row = (struct shared_row){
		.uffd = (int)msg->arg.fork.ufd,
		.pidfd = -1,
		.memfd = -1,
		.image_pid = parent->row->image_pid,
		.settled = parent->row->settled,
	};
	ret = space_fork(&sp, parent, row, s->diag);
	if (ret)
		return ret;
	diag_debug(s->diag, "process %d forked: uffd %d lacks %lu pages", parent->row->pid, row->uffd,
		   space_remaining(sp));
	return serve_add_space(s, sp);
}

static int apply_event(struct server *s, struct space *sp, const struct uffd_msg *msg)
{
	int ret;

	switch (msg->event) {
	case UFFD_EVENT_FORK:
		return apply_fork(s, sp, msg);
	case UFFD_EVENT_REMAP:
		diag_debug(s->diag, "process %d: remap %llx+%llx to %llx", sp->row->pid, msg->arg.remap.from,
			   msg->arg.remap.len, msg->arg.remap.to);
		ret = space_drop(sp, msg->arg.remap.to, msg->arg.remap.to + msg->arg.remap.len);
		if (!ret)
			ret = ivmap_move(&sp->map, msg->arg.remap.from, msg->arg.remap.to, msg->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
	case UFFD_EVENT_UNMAP:
		diag_debug(s->diag, "process %d: %s %llx-%llx", sp->row->pid,
			   msg->event == UFFD_EVENT_REMOVE ? "remove" : "unmap", msg->arg.remove.start,
			   msg->arg.remove.end);
		ret = space_drop(sp, msg->arg.remove.start, msg->arg.remove.end);
		break;
	default:
		return diag_fail(s->diag, EPROTO, "process %d: unknown event %u from its userfaultfd", sp->row->pid,
				 msg->event);
	}
	space_record(sp);
	if (ret)
		return diag_fail(s->diag, -ret, "process %d: its map of what is missing is full", sp->row->pid);
	return 0;
}

/* Apply the inbox's events from where the last server got to. */
static int apply_inbox(struct server *s, struct space *sp, size_t nr, bool *changed)
{
	struct shared_inbox *in = &s->sh->inbox;

	for (; in->applied < nr; in->applied++) {
		int ret;

		if (!in->msg[in->applied].event || in->msg[in->applied].event == UFFD_EVENT_PAGEFAULT)
			continue;
		*changed = true;
		shared_add(&s->sh->stats.events, 1);
		__atomic_store_n(&in->applying, 1, __ATOMIC_SEQ_CST);
		ret = apply_event(s, sp, &in->msg[in->applied]);
		if (ret)
			return ret;
		__atomic_store_n(&in->applying, 0, __ATOMIC_SEQ_CST);
	}
	return 0;
}

static int queue_fault(struct server *s, struct space *sp, uint64_t addr, uint64_t now)
{
	int ret = grow(&s->faults, s->nr_faults, &s->cap_faults, sizeof(*s->faults));

	if (ret)
		return diag_fail(s->diag, ENOMEM, "out of memory for a fault");
	s->faults[s->nr_faults++] = (struct fault){ sp, addr, now };
	return 0;
}

int events_read(struct server *s, struct space *sp)
{
	struct shared_inbox *in = &s->sh->inbox;
	bool changed = false;
	uint64_t now;
	ssize_t len;
	size_t nr;
	int ret;

	in->applied = 0;
	in->row = (int32_t)(sp->row - s->sh->rows);
	gate_shut(&sp->gate);
	len = read(sp->row->uffd, in->msg, sizeof(in->msg));
	nr = len > 0 ? (size_t)len / sizeof(in->msg[0]) : 0;
	ret = apply_inbox(s, sp, nr, &changed);
	gate_open(&sp->gate, changed);
	now = serve_now();
	for (size_t i = 0; i < nr && !ret; i++)
		if (in->msg[i].event == UFFD_EVENT_PAGEFAULT)
			ret = queue_fault(s, sp, in->msg[i].arg.pagefault.address, now);
	memset(in->msg, 0, nr * sizeof(in->msg[0]));
	in->row = -1;
	return ret;
}

int events_replay(struct server *s)
{
	struct shared_inbox *in = &s->sh->inbox;
	bool changed;
	int ret = 0;

	if (in->row >= 0 && s->spaces[in->row])
		ret = apply_inbox(s, s->spaces[in->row], SHARED_MAX_MESSAGES, &changed);
	memset(in->msg, 0, sizeof(in->msg));
	in->row = -1;
	return ret;
}
