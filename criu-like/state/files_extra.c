// SPDX-License-Identifier: GPL-2.0-only
/* What files.img has no place for, in a file of Thaw's own. */
#include <stdlib.h>

#include "common/arena.h"
#include "common/util.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/own_image.h"

ThawFileEntry *file_extra(struct dump *d, uint32_t id)
{
	struct file_table *t = d->files;
	ThawFileEntry *e;

	if (t->nr_extras && t->extras[t->nr_extras - 1]->id == id)
		return t->extras[t->nr_extras - 1];
	e = arena_alloc(d->arena, sizeof(*e));
	if (!e || grow(&t->extras, t->nr_extras, &t->cap_extras, sizeof(*t->extras)))
		return NULL;
	thaw_file_entry__init(e);
	e->id = id;
	t->extras[t->nr_extras++] = e;
	return e;
}

int files_extra_write(struct dump *d)
{
	const struct file_table *t = d->files;

	return t->nr_extras ? own_image_write(d, IMG_THAW_FILES, 0, (void *const *)t->extras, t->nr_extras) : 0;
}

int files_extra_read(struct restore *r)
{
	struct own_image image;
	ThawFileEntry *e;
	int ret = own_image_open(r, IMG_THAW_FILES, 0, &image);

	while (ret == 0 && (ret = own_image_get(&image, &e)) > 0) {
		struct opened_file *f = opener_file(r, e->id);

		ret = 0;
		if (f && !f->extra) {
			f->extra = e;
			continue;
		}
		image_free(e);
		ret = own_image_damaged(&image, "its files are not those of files.img");
	}
	own_image_close(&image);
	return ret;
}
