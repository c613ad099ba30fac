// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"
#include "images/proto/all.h"
#include "images/shared.h"
#include "lazy-pages/hold.h"

/*
 * Shared memory, filled once for all who map it.
 *
 * The server maps the object itself, registers its own mapping and fills by UFFDIO_COPY there: a page enters the object
 * whole, at one stroke, and all processes have it. They are registered too (for missing pages only), so whoever touches
 * a page that is not there waits, and is woken. What a process's address means in the object is known from its VMAs in
 * the images.
 *
 * Nothing depends on the address being right: a page is filled from where it is in the object, so a mistake would fill
 * a right page that nobody has asked for. But a page of zeroes may be put only where none is missing. Therefore, when a
 * process changes how it maps the object (munmap, mremap), or a touch comes from where no VMA was known, all that is
 * missing is filled first; from then on an absent page is a hole.
 *
 * A hole can be made as well, by madvise(MADV_REMOVE), and what is still missing there must not come back. The kernel
 * announces it as a REMOVE event, but MADV_DONTNEED as well, which keeps an object's content; and who did it goes on
 * when the event is read. So the missing pages of the range are filled, and the hole made afterwards is the kernel's
 * business. That it is made afterwards is what hold.c is for: while the server reads events it holds the object. Other
 * ways to make holes would need a descriptor, and an object that anybody has one of is not served. Once there was such
 * an event the hold is dropped after each read, so that whoever wants to make a hole gets to it.
 *
 * The hold ends with a server that dies. Its successor knows the event from the inbox; if pages of the range are
 * missing, they may or may not be in a hole by now, and the processes are killed.
 *
 * A page that cannot be had is noted as bad, and poisoned in each process that touches it. As long as there are bad
 * pages the processes stay registered.
 */

#define NO_MEMORY_TRIES 2000 /* a millisecond each */

struct object_source {
	uint64_t number;
	struct source *src;
};

struct objects {
	struct space **v; /* the objects of all sessions */
	size_t nr, cap;
	struct object_source *sources;
	size_t nr_sources, cap_sources;
};

struct objects *objects_new(void)
{
	return calloc(1, sizeof(struct objects));
}

void objects_free(struct objects *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->nr_sources; i++)
		source_put(o->sources[i].src);
	free(o->sources);
	free(o->v);
	free(o);
}

static struct space *find_object(const struct server *s, int32_t session, uint64_t number)
{
	for (size_t i = 0; i < s->objects->nr; i++) {
		struct space *obj = s->objects->v[i];

		if (obj->row->session == session && obj->row->number == number)
			return obj;
	}
	return NULL;
}

/* The object that lies at @addr of a process. Return: it with @offset set, or NULL */
static struct space *object_at(const struct server *s, const struct space *sp, uint64_t addr, uint64_t *offset)
{
	for (size_t i = 0; sp->row->shares == SHARES_KNOWN && i < sp->src->nr_shares; i++) {
		const struct source_share *sh = &sp->src->shares[i];

		if (addr < sh->start || addr >= sh->end)
			continue;
		*offset = sh->offset + (PAGE_DOWN(addr) - sh->start);
		return find_object(s, sp->row->session, sh->number);
	}
	return NULL;
}

static bool is_bad(const struct space *obj, uint64_t offset)
{
	uint32_t nr = __atomic_load_n(&obj->row->nr_bad, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < MIN(nr, SHARED_MAX_BAD); i++)
		if (obj->row->bad[i] == offset)
			return true;
	return nr > SHARED_MAX_BAD;
}

/* Does a session have objects with missing or bad pages? */
static bool any_wanted(const struct server *s, int32_t session, bool bad_only)
{
	for (size_t i = 0; i < s->objects->nr; i++) {
		const struct space *obj = s->objects->v[i];

		if (obj->row->session == session && (obj->row->nr_bad || (!bad_only && space_remaining(obj))))
			return true;
	}
	return false;
}

/* Fill what is missing in [from, to) of an object, while no worker is at it. */
static int fill_range(struct server *s, struct space *obj, uint64_t from, uint64_t to)
{
	unsigned tries = 0;
	struct piece p;
	int ret = 0;

	gate_shut(&obj->gate);
	while (!ret && space_next(obj, from, UINT64_MAX, &p) && p.dst < to) {
		p.nr = MIN(p.nr, (to - p.dst) / PAGE_SIZE);
		ret = fill_piece(&s->filler, obj, &p, 0, false, SHARED_FAULT);
		if (ret != -EAGAIN)
			continue;
		ret = ++tries < NO_MEMORY_TRIES ? usleep(1000) : -ENOMEM;
	}
	gate_open(&obj->gate, true);
	return ret ? diag_fail(s->diag, -ret, "cannot fill shared memory %lu: %s", obj->row->number, strerror(-ret))
		   : 0;
}

static int fill_all(struct server *s, int32_t session)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < s->objects->nr; i++)
		if (s->objects->v[i]->row->session == session)
			ret = fill_range(s, s->objects->v[i], 0, UINT64_MAX);
	return ret;
}

/* A page of zeroes, unless there is one. */
static int fill_hole(struct space *obj, uint64_t offset)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)obj->object->base + offset, PAGE_SIZE } };

	if (ioctl(obj->row->uffd, UFFDIO_ZEROPAGE, &zero) && errno != EEXIST)
		return errno == EAGAIN || errno == ENOMEM ? -EAGAIN : -errno;
	shared_add(&obj->stats->zero_faults, 1);
	madvise(obj->object->base + offset, PAGE_SIZE, MADV_DONTNEED);
	return 0;
}

int objects_fault(struct server *s, struct space *sp, uint64_t addr, uint64_t *pages)
{
	uint64_t offset, page = PAGE_DOWN(addr);
	struct space *obj = object_at(s, sp, addr, &offset);
	struct piece p = { .dst = page }, whole;
	int ret;

	if (!obj)
		return -ENOENT;
	gate_shut(&obj->gate);
	ret = space_around(obj, offset, sp->window, &p);
	if (ret == 1) {
		whole = p;
		ret = fill_piece(&s->filler, obj, &p, 0, false, SHARED_FAULT);
		*pages = whole.nr - p.nr;
		record_fault(s->record, obj, &whole, *pages);
		sp->expected = page + (p.dst - offset);
		obj->cursor = p.dst;
		s->focus = obj;
	} else if (!is_bad(obj, offset)) {
		ret = fill_hole(obj, offset);
	}
	gate_open(&obj->gate, true);
	if (ret < 0)
		return ret;
	if (is_bad(obj, offset)) {
		ret = fill_poison(sp->row->uffd, page, PAGE_SIZE);
		return ret == -EAGAIN || ret == -ESRCH ? ret : 0;
	}
	fill_wake(sp, page, PAGE_SIZE);
	return 0;
}

int objects_unknown(struct server *s, struct space *sp, uint64_t addr)
{
	/* CONTINUE is not for private memory: EINVAL. In shared memory it says EFAULT when the object has no page. */
	struct uffdio_continue cont = { .range = { PAGE_DOWN(addr), PAGE_SIZE } };

	if (!sp->row->shares || !any_wanted(s, sp->row->session, false))
		return 0;
	if (!ioctl(sp->row->uffd, UFFDIO_CONTINUE, &cont) || (errno != EFAULT && errno != EAGAIN))
		return 0;
	if (errno == EAGAIN)
		return -EAGAIN;
	if (fill_all(s, sp->row->session))
		return -EAGAIN;
	if (!any_wanted(s, sp->row->session, true))
		return 0;
	fill_poison(sp->row->uffd, PAGE_DOWN(addr), PAGE_SIZE);
	return 1;
}

int objects_before_read(struct server *s, struct space *sp)
{
	int ret = 0;

	for (size_t i = 0; !ret && sp->row->shares == SHARES_KNOWN && i < s->objects->nr; i++) {
		struct space *obj = s->objects->v[i];

		if (obj->row->session == sp->row->session && obj->object->hold && space_remaining(obj))
			ret = hold_take(obj->object->hold, s->diag);
	}
	return ret;
}

void objects_after_read(struct server *s, struct space *sp)
{
	for (size_t i = 0; sp->row->shares && i < s->objects->nr; i++) {
		struct space *obj = s->objects->v[i];

		if (obj->row->session == sp->row->session && (obj->object->holes || !space_remaining(obj)))
			hold_drop(obj->object->hold);
	}
}

static int removed(struct server *s, struct space *sp, uint64_t start, uint64_t end, bool replay)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < sp->src->nr_shares; i++) {
		const struct source_share *sh = &sp->src->shares[i];
		uint64_t from = MAX(start, sh->start), to = MIN(end, sh->end), offset = sh->offset + from - sh->start;
		struct space *obj = from < to ? find_object(s, sp->row->session, sh->number) : NULL;
		struct piece p;

		if (!obj)
			continue;
		obj->object->holes = true;
		if (replay && space_next(obj, offset, 1, &p) && p.dst < offset + (to - from))
			return diag_fail(s->diag, EOWNERDEAD,
					 "the lazy-pages server died while process %d gave back shared memory at 0x%lx",
					 sp->row->pid, from);
		ret = fill_range(s, obj, offset, offset + (to - from));
	}
	return ret;
}

static bool touches(const struct source *src, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < src->nr_shares; i++)
		if (start < src->shares[i].end && end > src->shares[i].start)
			return true;
	return false;
}

/* Shared memory is mapped in another way now: have all there. */
static int moved(struct server *s, struct space *sp)
{
	int ret = fill_all(s, sp->row->session);

	if (!ret)
		sp->row->shares = SHARES_MOVED;
	return ret;
}

int objects_event(struct server *s, struct space *sp, const struct uffd_msg *msg, bool replay)
{
	uint64_t from = msg->arg.remap.from, to = msg->arg.remap.to, len = MAX(msg->arg.remap.len, 1);

	if (sp->row->shares != SHARES_KNOWN || msg->event == UFFD_EVENT_FORK)
		return 0;
	switch (msg->event) {
	case UFFD_EVENT_REMOVE:
		return removed(s, sp, msg->arg.remove.start, msg->arg.remove.end, replay);
	case UFFD_EVENT_UNMAP:
		return touches(sp->src, msg->arg.remove.start, msg->arg.remove.end) ? moved(s, sp) : 0;
	case UFFD_EVENT_REMAP: /* of length 0: mapped a second time */
		return touches(sp->src, from, from + len) || touches(sp->src, to, to + len) ? moved(s, sp) : 0;
	}
	return 0;
}

static unsigned objects_in(const struct server *s, int32_t session)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->objects->nr; i++)
		n += s->objects->v[i]->row->session == session;
	return n;
}

bool objects_keep(const struct server *s, const struct space *sp)
{
	return sp->object || (sp->row->shares && any_wanted(s, sp->row->session, false));
}

bool objects_orphan(const struct server *s, const struct space *sp)
{
	const struct shared_session *ss = &s->sh->sessions[sp->row->session];

	return sp->object && (ss->finished || ss->failed) &&
	       s->session_spaces[sp->row->session] == objects_in(s, sp->row->session);
}

void objects_retire(struct server *s, struct space *sp)
{
	struct objects *o = s->objects;

	if (!sp->object)
		return;
	for (size_t i = 0; i < o->nr; i++)
		if (o->v[i] == sp)
			o->v[i--] = o->v[--o->nr];
	sp->row->hold_fd = -1; /* first: a successor must not take the number's next holder for it */
	hold_free(sp->object->hold);
	if (sp->object->base)
		munmap(sp->object->base, sp->object->size);
	free(sp->object);
	sp->object = NULL;
}

static int object_source(struct server *s, uint64_t number, struct source **out)
{
	struct objects *o = s->objects;
	int ret;

	for (size_t i = 0; i < o->nr_sources; i++)
		if (o->sources[i].number == number) {
			*out = o->sources[i].src;
			return 0;
		}
	if (grow(&o->sources, o->nr_sources, &o->cap_sources, sizeof(*o->sources)))
		return diag_fail(s->diag, ENOMEM, "out of memory for shared memory %lu", number);
	ret = source_open_shared(s->dir, number, out, s->diag);
	if (!ret)
		o->sources[o->nr_sources++] = (struct object_source){ number, *out };
	return ret;
}

/* Map the object here and register the mapping. */
static int map_object(struct space *sp)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct object *obj = sp->object;
	struct stat st;
	void *base;

	if (fstat(sp->row->object_fd, &st))
		return -errno;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, sp->row->object_fd,
		    0);
	if (base == MAP_FAILED)
		return -errno;
	obj->base = base;
	obj->size = (size_t)st.st_size;
	reg.range.start = (uintptr_t)base;
	reg.range.len = obj->size;
	sp->row->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (sp->row->uffd < 0 || ioctl(sp->row->uffd, UFFDIO_API, &api) || ioctl(sp->row->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

/* Start to serve an object whose space has just been made. */
static int attach(struct server *s, struct space *sp, bool adopted)
{
	struct objects *o = s->objects;
	struct object *obj = sp->object = calloc(1, sizeof(*obj));
	int ret = obj && !grow(&o->v, o->nr, &o->cap, sizeof(*o->v)) ? map_object(sp) : -ENOMEM;

	if (ret)
		return diag_fail(s->diag, -ret, "cannot map shared memory %lu: %s", sp->row->number, strerror(-ret));
	obj->adopted = adopted;
	o->v[o->nr++] = sp;
	ret = fill_range(s, sp, 0, PAGE_SIZE);
	if (!ret && is_bad(sp, 0))
		ret = diag_fail(s->diag, EIO, "the first page of shared memory %lu cannot be had", sp->row->number);
	if (!ret)
		ret = hold_new(sp->row->object_fd, s->diag, &obj->hold);
	if (ret)
		return ret;
	sp->row->hold_fd = hold_uffd(obj->hold);
	return serve_add_space(s, sp);
}

int objects_take(struct server *s, unsigned place, uint64_t number, int fd)
{
	struct shared_row *row;
	struct source *src;
	struct space *sp;
	int ret;

	for (unsigned i = 0; i < s->nr_rows; i++) /* a dead server came as far as this */
		if (s->sh->rows[i].live && s->sh->rows[i].object && s->sh->rows[i].object_fd == fd)
			return 0;
	row = serve_new_row(s);
	if (!row) {
		close(fd);
		return diag_fail(s->diag, EMFILE, "more than %d processes", SHARED_MAX_SPACES);
	}
	*row = (struct shared_row){ .uffd = -1,
				    .pidfd = -1,
				    .memfd = -1,
				    .hold_fd = -1,
				    .object = 1,
				    .object_fd = fd,
				    .number = number,
				    .session = (int32_t)place };
	ret = object_source(s, number, &src);
	if (!ret)
		ret = space_open(&sp, row, &s->sh->sessions[place].stats, src, s->diag);
	if (ret)
		return ret;
	diag_info(s->diag, "restore %u: shared memory %lu lacks %lu pages", s->sh->sessions[place].number, number,
		  space_remaining(sp));
	return attach(s, sp, false);
}

int objects_adopt(struct server *s, struct shared_row *row)
{
	struct source *src;
	struct space *sp;
	int ret;

	shared_close(&row->uffd); /* they belonged to the dead server's memory */
	shared_close(&row->hold_fd);
	ret = object_source(s, row->number, &src);
	if (!ret)
		ret = space_adopt(&sp, row, &s->sh->sessions[row->session].stats, src, s->diag);
	return ret ?: attach(s, sp, true);
}

void objects_join(const struct server *s, struct shared_row *row, const struct source *src)
{
	for (size_t i = 0; i < src->nr_shares; i++)
		if (find_object(s, row->session, src->shares[i].number))
			row->shares = SHARES_KNOWN;
}

int objects_poison(struct image_dir *dir, const struct shared_row *row, struct diag *diag)
{
	MmEntry *mm;
	int ret;

	if (!row->shares)
		return 0;
	ret = image_read_one(dir, IMG_MM, (uint64_t)row->image_pid, &mm, diag);
	for (size_t i = 0; !ret && i < mm->n_vmas; i++)
		if (shared_is_anonymous(
			    mm->vmas[i])) /* one that is not registered cannot be poisoned, and need not be */
			fill_poison(row->uffd, mm->vmas[i]->start, mm->vmas[i]->end - mm->vmas[i]->start);
	if (!ret)
		image_free(mm);
	return ret;
}
