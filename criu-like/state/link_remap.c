// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/link_remap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/arena.h"

struct link {
	const char *from, *to;
	bool made;
	struct link *next;
};

/* The names that a link gets: @to is free. */
static const char *new_name(struct dump *d, const char *name, uint32_t id)
{
	int dir = (int)(strrchr(name, '/') - name);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.*s/link_remap.%u", dir, name, id);
	for (unsigned i = 1; faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0; i++)
		snprintf(path, sizeof(path), "%.*s/link_remap.%u.%u", dir, name, id, i);
	return arena_strdup(d->arena, path);
}

int link_remap_note(struct dump *d, const struct process *p, const char *link, const RegFileEntry *e, uint32_t *link_id)
{
	FileEntry *fe = file_add(d, &reg_file_kind);
	RegFileEntry *linked = arena_alloc(d->arena, sizeof(*linked));
	struct link *l = arena_alloc(d->arena, sizeof(*l));
	char from[96];

	if (!fe || !linked || !l)
		return no_memory(d->diag);
	snprintf(from, sizeof(from), "/proc/%d/%s", p->pid, link);
	*l = (struct link){ .from = arena_strdup(d->arena, from),
			    .to = new_name(d, e->name, fe->id),
			    .next = d->files->links };
	if (!l->from || !l->to)
		return no_memory(d->diag);
	d->files->links = l;
	*linked = *e;
	linked->id = fe->id;
	linked->name = (char *)l->to;
	fe->reg = linked;
	*link_id = fe->id;
	return 0;
}

int link_remap_make(struct dump *d)
{
	for (struct link *l = d->files->links; l; l = l->next) {
		if (linkat(AT_FDCWD, l->from, AT_FDCWD, l->to, AT_SYMLINK_FOLLOW) < 0)
			return diag_fail(d->diag, errno, "cannot link a deleted file to %s: %s", l->to,
					 strerror(errno));
		l->made = true;
	}
	return 0;
}

void link_remap_undo(struct dump *d)
{
	for (struct link *l = d->files ? d->files->links : NULL; l; l = l->next)
		if (l->made && unlink(l->to) < 0)
			diag_warn(d->diag, "cannot delete %s: %s", l->to, strerror(errno));
}

int link_remap_read(struct restore *r, uint32_t id, uint32_t link_id)
{
	const struct opened_file *f = opener_file(r, link_id);

	if (!f || f->kind != &reg_file_kind || !f->entry->reg->name)
		return diag_fail(r->diag, EPROTO,
				 "remap-fpath.img: file %u is to be found as file %u, which is not there", id, link_id);
	return idmap_put(&r->files->links, id, (void *)f) < 0 ? no_memory(r->diag) : 0;
}

bool link_remap_has(const struct restore *r, uint32_t id)
{
	return idmap_get(&r->files->links, id) != NULL;
}

/* The old name, so that /proc shows it; where it has been taken, the new one has to do. */
int link_remap_open(struct restore *r, const RegFileEntry *e, uint32_t flags)
{
	const struct opened_file *f = idmap_get(&r->files->links, e->id);
	bool renamed;
	int fd, code;

	renamed = link(f->entry->reg->name, e->name) == 0;
	fd = open(renamed ? e->name : f->entry->reg->name, (int)(flags | O_CLOEXEC | O_NOCTTY));
	code = errno;
	if (renamed)
		unlink(e->name);
	if (fd < 0)
		return diag_fail(r->diag, code, "cannot open %s, the link to the deleted file %s: %s",
				 f->entry->reg->name, e->name, strerror(code));
	return fd;
}

void link_remap_done(struct restore *r)
{
	for (size_t i = 0; i < r->files->nr; i++) {
		const struct opened_file *f = idmap_get(&r->files->links, r->files->files[i].entry->id);

		if (f && unlink(f->entry->reg->name) < 0 && errno != ENOENT)
			diag_warn(r->diag, "cannot delete %s: %s", f->entry->reg->name, strerror(errno));
	}
}
