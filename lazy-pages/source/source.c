// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/source/source.h"

#include <errno.h>
#include <stdlib.h>

#include "images/huge.h"
#include "images/shared.h"

int source_read_areas(struct source *src, struct image_dir *dir, pid_t pid, struct diag *diag)
{
	MmEntry *mm;
	int ret;

	if (!image_exists(dir, IMG_MM, (uint64_t)pid))
		return 0;
	ret = image_read_one(dir, IMG_MM, (uint64_t)pid, &mm, diag);
	if (ret)
		return ret;
	src->areas = calloc(mm->n_vmas + 1, sizeof(*src->areas));
	src->huge = calloc(mm->n_vmas + 1, sizeof(*src->huge));
	src->shares = calloc(mm->n_vmas + 1, sizeof(*src->shares));
	for (size_t i = 0; src->areas && src->huge && src->shares && i < mm->n_vmas; i++) {
		const VmaEntry *v = mm->vmas[i];

		if (v->start >= v->end)
			continue;
		if (v->status & VMA_ANON_PRIVATE && !(v->status & VMA_VSYSCALL))
			src->areas[src->nr_areas++] = (struct source_area){ v->start, v->end };
		if (huge_can_be_lazy(v))
			src->huge[src->nr_huge++] = (struct source_area){ v->start, v->end };
		if (shared_is_anonymous(v))
			src->shares[src->nr_shares++] = (struct source_share){ v->start, v->end, v->shmid, v->pgoff };
	}
	image_free(mm);
	return src->areas && src->huge && src->shares
		       ? 0
		       : diag_fail(diag, ENOMEM, "out of memory for the areas of process %d", pid);
}

void source_put(struct source *src)
{
	if (!src || --src->refs)
		return;
	free(src->areas);
	free(src->huge);
	free(src->shares);
	src->ops->close(src);
}
