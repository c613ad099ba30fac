// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "lazy-pages/reorder.h"
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
 * A successor must know what was read: the messages lie in shared memory, and each space's map says which is the last
 * one that is in it. A killed thread finishes its read() first, so none is lost between the kernel and there; and a map
 * changes at one stroke, so none is half applied.
 */

static int apply_fork(struct server *s, struct space *parent, int uffd)
{
	struct shared_row *row;
	struct space *sp;
	int ret;

	for (unsigned i = 0; i < s->nr_rows; i++) /* a dead server came as far as this */
		if (s->sh->rows[i].live && s->sh->rows[i].uffd == uffd)
			return 0;
	row = serve_new_row(s);
	if (!row)
		return diag_fail(s->diag, EMFILE, "process %d forked, and %d address spaces are being served already",
				 parent->row->pid, SHARED_MAX_SPACES);
	*row = (struct shared_row){
		.uffd = uffd,
		.pidfd = -1,
		.memfd = -1,
		.image_pid = parent->row->image_pid,
		.settled = parent->row->settled,
		.session = parent->row->session,
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
	uint64_t batch = s->sh->inbox.serial;

	switch (msg->event) {
	case UFFD_EVENT_FORK:
		return apply_fork(s, sp, (int)msg->arg.fork.ufd);
	case UFFD_EVENT_REMAP:
		diag_debug(s->diag, "process %d: remap %llx+%llx to %llx", sp->row->pid, msg->arg.remap.from,
			   msg->arg.remap.len, msg->arg.remap.to);
		return reorder_remap(sp, msg->arg.remap.from, msg->arg.remap.to, msg->arg.remap.len, batch);
	case UFFD_EVENT_REMOVE:
		diag_debug(s->diag, "process %d: remove %llx-%llx", sp->row->pid, msg->arg.remove.start,
			   msg->arg.remove.end);
		return reorder_remove(sp, msg->arg.remove.start, msg->arg.remove.end);
	case UFFD_EVENT_UNMAP:
		diag_debug(s->diag, "process %d: unmap %llx-%llx", sp->row->pid, msg->arg.remove.start,
			   msg->arg.remove.end);
		return reorder_unmap(sp, msg->arg.remove.start, msg->arg.remove.end);
	}
	return diag_fail(s->diag, EPROTO, "process %d: unknown event %u from its userfaultfd", sp->row->pid,
			 msg->event);
}

/* Apply the inbox's events, those that are not in the map yet. */
static int apply_inbox(struct server *s, struct space *sp, size_t nr, bool *changed)
{
	struct shared_inbox *in = &s->sh->inbox;

	for (size_t i = 0; i < nr; i++) {
		int ret;

		if (!in->msg[i].event || in->msg[i].event == UFFD_EVENT_PAGEFAULT)
			continue;
		*changed = true;
		if (!space_begin(sp, in->serial + i))
			continue;
		shared_add(&sp->stats->events, 1);
		ret = apply_event(s, sp, &in->msg[i]);
		if (ret)
			return diag_fail(s->diag, -ret, "cannot keep up with the memory of process %d: %s",
					 sp->row->pid, strerror(-ret));
		space_commit(sp, in->serial + i);
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
	in->serial += SHARED_MAX_MESSAGES;
	in->row = -1;
	return ret;
}

int events_settle(struct server *s, struct space *sp)
{
	int ret;

	if (!reorder_unsure(sp) || fill_event_pending(sp))
		return 0;
	gate_shut(&sp->gate);
	space_begin(sp, s->sh->inbox.serial);
	ret = reorder_settle(sp);
	space_commit(sp, s->sh->inbox.serial++);
	gate_open(&sp->gate, true);
	return ret ? diag_fail(s->diag, -ret, "cannot keep up with the memory of process %d: %s", sp->row->pid,
			       strerror(-ret))
		   : 0;
}

int events_replay(struct server *s)
{
	struct shared_inbox *in = &s->sh->inbox;
	bool changed;
	int ret = 0;

	if (in->row >= 0 && s->spaces[in->row])
		ret = apply_inbox(s, s->spaces[in->row], SHARED_MAX_MESSAGES, &changed);
	memset(in->msg, 0, sizeof(in->msg));
	in->serial += SHARED_MAX_MESSAGES;
	in->row = -1;
	return ret;
}
