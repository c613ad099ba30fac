// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/in_flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"

int in_flight_keep(struct dump *d, struct packet *p, const int *fds, size_t nr)
{
	struct file_table *t = d->files;

	p->fds = arena_array(d->arena, nr + 1, sizeof(*p->fds));
	for (size_t i = 0; i < nr; i++) {
		if (!p->fds || grow(&t->in_flight, t->nr_in_flight, &t->cap_in_flight, sizeof(*t->in_flight)) < 0) {
			while (i < nr)
				close(fds[i++]);
			return no_memory(d->diag);
		}
		t->in_flight[t->nr_in_flight++] = p->fds[i] = fds[i];
	}
	p->nr_fds = nr;
	return 0;
}

/* What only a task can do for a file, none does where none has a descriptor of it. */
static int check_kind(const struct packet *p, struct dump *d, const struct open_file *f)
{
	bool own = f->pid == getpid();
	bool in_task = f->kind->records && f->kind->records(f->entry);

	if (!in_task || (!own && f->kind != &pidfd_kind && f->kind != &reg_file_kind))
		return 0;
	return diag_fail(d->diag, ENOTSUP,
			 "a %s in flight to descriptor %d of process %d cannot be dumped; dump again when the program "
			 "has received it",
			 f->kind->name, p->fd, p->pid);
}

static int resolve(struct dump *d, struct packet *p)
{
	ScmEntry *scm = arena_alloc(d->arena, sizeof(*scm));

	p->entry.scm = arena_array(d->arena, 1, sizeof(*p->entry.scm));
	if (!scm || !p->entry.scm)
		return no_memory(d->diag);
	scm_entry__init(scm);
	scm->type = SCM_RIGHTS;
	scm->rights = arena_array(d->arena, p->nr_fds, sizeof(*scm->rights));
	if (!scm->rights)
		return no_memory(d->diag);
	for (; scm->n_rights < p->nr_fds; scm->n_rights++) {
		const struct open_file *f;
		int ret = file_in_flight(d, p, p->fds[scm->n_rights], &f);

		if (ret == 0)
			ret = check_kind(p, d, f);
		if (ret < 0)
			return ret;
		scm->rights[scm->n_rights] = f->entry->id;
	}
	p->entry.scm[0] = scm;
	p->entry.n_scm = 1;
	return 0;
}

int in_flight_resolve(struct dump *d)
{
	int ret = 0;

	/* A socket in flight appends what waits in its own queue. */
	for (struct packet *p = d->files->packets; p && ret == 0; p = p->next)
		if (p->nr_fds)
			ret = resolve(d, p);
	return ret;
}

void in_flight_free(struct file_table *t)
{
	for (size_t i = 0; i < t->nr_in_flight; i++)
		close(t->in_flight[i]);
	free(t->in_flight);
	if (t->self)
		cleanup_close(&t->self->proc_fd);
	free(t->self);
}

int in_flight_read(struct restore *r, struct packet *p, const SkPacketEntry *e)
{
	for (size_t i = 0; i < e->n_scm; i++) {
		const ScmEntry *scm = e->scm[i];

		if (scm->type != SCM_RIGHTS || p->rights || scm->n_rights > IN_FLIGHT_MAX)
			return diag_fail(r->diag, EPROTO,
					 "sk-queues.img: a message (id %u) carries what Thaw does not know", e->id_for);
		p->rights = arena_array(r->arena, scm->n_rights + 1, sizeof(*p->rights));
		if (!p->rights)
			return no_memory(r->diag);
		if (scm->n_rights)
			memcpy(p->rights, scm->rights, scm->n_rights * sizeof(*p->rights));
		p->nr_fds = scm->n_rights;
	}
	return 0;
}

static int use(struct restore *r, const struct packet *p)
{
	for (size_t i = 0; i < p->nr_fds; i++) {
		struct opened_file *f = opener_file(r, p->rights[i]);

		if (!f)
			return diag_fail(r->diag, EPROTO,
					 "sk-queues.img: a file in flight with the id %u, which is not in files.img",
					 p->rights[i]);
		if (f->kind == &pidfd_kind || (f->kind == &reg_file_kind && f->kind->records(f->entry)))
			return diag_fail(r->diag, ENOTSUP,
					 "a %s in flight (id %u) is there only when the processes are; Thaw cannot "
					 "restore that",
					 f->kind->name, p->rights[i]);
		f->used = true;
	}
	return 0;
}

int in_flight_use(struct restore *r)
{
	int ret = 0;

	for (const struct packet *p = r->files->packets; p && ret == 0; p = p->of_all)
		ret = use(r, p);
	return ret;
}

ssize_t in_flight_send(struct restore *r, const struct packet *p, size_t done, int sender)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(IN_FLIGHT_MAX * sizeof(int))];
	struct iovec iov = { .iov_base = p->data + done, .iov_len = p->entry.length - done };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (!done && p->nr_fds) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(p->nr_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(p->nr_fds * sizeof(int));
		for (size_t i = 0; i < p->nr_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &opener_file(r, p->rights[i])->fd, sizeof(int));
	}
	sent = sendmsg(sender, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}
