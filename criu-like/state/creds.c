// SPDX-License-Identifier: GPL-2.0-only
/*
 * Credentials of a thread: ids, groups, capabilities, securebits, no_new_privs (credentials(7), capabilities(7)).
 *
 * Order on restore. Each step needs capabilities that a later one takes away:
 *
 *	groups
 *	securebits = NO_SETUID_FIXUP, so that changing user ids takes no capabilities away
 *	group ids, user ids (those for files last: the others reset them)
 *	inheritable set: while the bounding set still allows all
 *	ambient set: needs inheritable and permitted, and may be forbidden by the securebits to come
 *	bounding set: each capability that is not in it is dropped
 *	securebits as they were
 *	permitted and effective set
 *	no_new_privs
 *
 * What thaw itself has already needs no record and no capability; a restore of one's own programs needs nothing here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"

#define CAP_WORDS _LINUX_CAPABILITY_U32S_3

/* What decides, whoever has it. */
struct creds {
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	const uint32_t *groups;
	size_t nr_groups;
	uint64_t inheritable, prm, eff, bnd, amb;
	uint32_t securebits;
	bool no_new_privs;
};

bool have_capability(int cap)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS];

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[cap / 32].effective & 1U << cap % 32;
}

static int ask_creds(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	batch_call(b, 0, SYS_prctl, PR_GET_SECUREBITS);
	return 0;
}

static int put_caps(struct dump *d, uint64_t set, uint32_t **words, size_t *nr)
{
	*words = arena_array(d->arena, CAP_WORDS, sizeof(**words));
	if (!*words)
		return kind_no_memory(d->diag);
	(*words)[0] = (uint32_t)set;
	(*words)[1] = (uint32_t)(set >> 32);
	*nr = CAP_WORDS;
	return 0;
}

static int put_cap_sets(struct dump *d, const struct proc_status *s, CredsEntry *c)
{
	int ret = put_caps(d, s->cap_inh, &c->cap_inh, &c->n_cap_inh);

	if (ret == 0)
		ret = put_caps(d, s->cap_prm, &c->cap_prm, &c->n_cap_prm);
	if (ret == 0)
		ret = put_caps(d, s->cap_eff, &c->cap_eff, &c->n_cap_eff);
	if (ret == 0)
		ret = put_caps(d, s->cap_bnd, &c->cap_bnd, &c->n_cap_bnd);
	if (ret == 0)
		ret = put_caps(d, s->cap_amb, &c->cap_amb, &c->n_cap_amb);
	return ret;
}

static int take_creds(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	const struct proc_status *s = &t->status;
	CredsEntry *c = arena_alloc(d->arena, sizeof(*c));

	if (!c)
		return kind_no_memory(d->diag);
	if (batch_result(b, first) < 0)
		return kind_unread(d, p, t, batch_result(b, first), "securebits");
	creds_entry__init(c);
	c->uid = s->uid[0];
	c->euid = s->uid[1];
	c->suid = s->uid[2];
	c->fsuid = s->uid[3];
	c->gid = s->gid[0];
	c->egid = s->gid[1];
	c->sgid = s->gid[2];
	c->fsgid = s->gid[3];
	c->secbits = (uint32_t)batch_result(b, first);
	c->has_no_new_privs = s->no_new_privs;
	c->no_new_privs = s->no_new_privs;
	c->n_groups = s->nr_groups;
	if (s->nr_groups) {
		c->groups = arena_array(d->arena, s->nr_groups, sizeof(*c->groups));
		if (!c->groups)
			return kind_no_memory(d->diag);
		memcpy(c->groups, s->groups, s->nr_groups * sizeof(*c->groups));
	}
	t->core->thread_core->creds = c;
	return put_cap_sets(d, s, c);
}

static uint64_t get_caps(const uint32_t *words, size_t nr)
{
	return (nr > 0 ? words[0] : 0) | (nr > 1 ? (uint64_t)words[1] << 32 : 0);
}

static struct creds wanted_creds(const CredsEntry *c)
{
	return (struct creds){
		.uid = { c->uid, c->euid, c->suid, c->fsuid },
		.gid = { c->gid, c->egid, c->sgid, c->fsgid },
		.groups = c->groups,
		.nr_groups = c->n_groups,
		.inheritable = get_caps(c->cap_inh, c->n_cap_inh),
		.prm = get_caps(c->cap_prm, c->n_cap_prm),
		.eff = get_caps(c->cap_eff, c->n_cap_eff),
		.bnd = get_caps(c->cap_bnd, c->n_cap_bnd),
		.amb = get_caps(c->cap_amb, c->n_cap_amb),
		.securebits = c->secbits,
		.no_new_privs = c->has_no_new_privs && c->no_new_privs,
	};
}

/* thaw's own, for the groups of which @status is needed as long. */
static int own_creds(struct proc_status *status, struct creds *out)
{
	_cleanup_close_ int fd = proc_open(getpid());
	int ret;

	if (fd < 0)
		return fd;
	ret = proc_read_status(fd, "status", status);
	if (ret < 0)
		return ret;
	*out = (struct creds){
		.groups = status->groups,
		.nr_groups = status->nr_groups,
		.inheritable = status->cap_inh,
		.prm = status->cap_prm,
		.eff = status->cap_eff,
		.bnd = status->cap_bnd,
		.amb = status->cap_amb,
		.securebits = (uint32_t)prctl(PR_GET_SECUREBITS),
		.no_new_privs = status->no_new_privs,
	};
	memcpy(out->uid, status->uid, sizeof(out->uid));
	memcpy(out->gid, status->gid, sizeof(out->gid));
	return 0;
}

static bool same_groups(const struct creds *a, const struct creds *b)
{
	return a->nr_groups == b->nr_groups &&
	       (a->nr_groups == 0 || memcmp(a->groups, b->groups, a->nr_groups * sizeof(*a->groups)) == 0);
}

static void tell_capset(struct batch *b, uint64_t eff, uint64_t prm, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS] = {
		{ (uint32_t)eff, (uint32_t)prm, (uint32_t)inheritable },
		{ (uint32_t)(eff >> 32), (uint32_t)(prm >> 32), (uint32_t)(inheritable >> 32) },
	};

	batch_call(b, BATCH_MUST, SYS_capset, batch_data(b, &header, sizeof(header)),
		   batch_data(b, data, sizeof(data)));
}

static void tell_ids(struct batch *b, const struct creds *own, const struct creds *want)
{
	if (!same_groups(own, want))
		batch_call(b, BATCH_MUST, SYS_setgroups, want->nr_groups,
			   batch_data(b, want->groups, want->nr_groups * sizeof(*want->groups)));
	if (memcmp(own->uid, want->uid, sizeof(own->uid)) != 0)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
	if (memcmp(own->gid, want->gid, sizeof(own->gid)) != 0) {
		batch_call(b, BATCH_MUST, SYS_setresgid, want->gid[0], want->gid[1], want->gid[2]);
		batch_call(b, 0, SYS_setfsgid, want->gid[3]);
	}
	if (memcmp(own->uid, want->uid, sizeof(own->uid)) != 0) {
		batch_call(b, BATCH_MUST, SYS_setresuid, want->uid[0], want->uid[1], want->uid[2]);
		batch_call(b, 0, SYS_setfsuid, want->uid[3]);
	}
}

static void tell_caps(struct batch *b, const struct creds *own, const struct creds *want)
{
	bool ids_change = memcmp(own->uid, want->uid, sizeof(own->uid)) != 0;

	if (own->inheritable != want->inheritable)
		tell_capset(b, own->eff, own->prm, want->inheritable);
	if (own->amb & ~want->amb)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
	for (unsigned cap = 0; cap < 64; cap++)
		if (want->amb & 1ULL << cap)
			batch_call(b, BATCH_MUST, SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap);
	for (unsigned cap = 0; cap < 64; cap++)
		if (own->bnd & ~want->bnd & 1ULL << cap)
			batch_call(b, BATCH_MUST, SYS_prctl, PR_CAPBSET_DROP, cap);
	if (ids_change || own->securebits != want->securebits)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_SECUREBITS, want->securebits);
	if (own->prm != want->prm || own->eff != want->eff)
		tell_capset(b, want->eff, want->prm, want->inheritable);
}

static int tell_creds(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const CredsEntry *entry = t->core->thread_core->creds;
	struct proc_status status = { 0 };
	struct creds own, want;
	uint64_t lacking;
	int ret;

	if (!entry)
		return 0;
	want = wanted_creds(entry);
	ret = own_creds(&status, &own);
	if (ret < 0)
		return diag_fail(r->diag, -ret, "cannot read thaw's own credentials from /proc");
	lacking = (want.prm & ~own.prm) | (want.bnd & ~own.bnd);
	if (lacking) {
		proc_status_free(&status);
		return diag_fail(r->diag, EPERM,
				 "thread %d of process %d has capability %d, which thaw has not and cannot give: run "
				 "thaw with it",
				 t->tid, p->pid, __builtin_ctzll(lacking));
	}
	tell_ids(b, &own, &want);
	tell_caps(b, &own, &want);
	proc_status_free(&status);
	if (want.no_new_privs && !own.no_new_privs)
		batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	else if (own.no_new_privs && !want.no_new_privs)
		diag_warn(r->diag, "thread %d gets no_new_privs from thaw, which it had not before", t->tid);
	return 0;
}

const struct state_kind kind_creds = {
	.name = "credentials",
	.ask = ask_creds,
	.take = take_creds,
	.tell = tell_creds,
};
