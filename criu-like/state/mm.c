// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/mm.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/files.h"

#define AUXV_MAX 128 /* words; the kernel's array is a good deal smaller */

static int dump_auxv(struct dump *d, struct process *p)
{
	_cleanup_free_ uint64_t *words = NULL;
	size_t nr;
	int ret = proc_read_auxv(p->proc_fd, &words, &nr);

	if (ret)
		return diag_fail(d->diag, -ret, "cannot read the auxiliary vector of process %d: %s", p->pid,
				 strerror(-ret));
	for (size_t i = 0; i + 1 < nr && words[i] != AT_NULL; i += 2)
		p->mm->n_mm_saved_auxv = i + 2;
	p->mm->mm_saved_auxv = arena_array(d->arena, p->mm->n_mm_saved_auxv + 1, sizeof(uint64_t));
	if (!p->mm->mm_saved_auxv)
		return -ENOMEM;
	memcpy(p->mm->mm_saved_auxv, words, p->mm->n_mm_saved_auxv * sizeof(uint64_t));
	return 0;
}

int mm_dump(struct dump *d, struct process *p)
{
	const struct proc_stat *s = &p->stat;
	MmEntry *mm = p->mm = arena_alloc(d->arena, sizeof(*mm));
	int ret;

	if (!mm)
		return -ENOMEM;
	mm_entry__init(mm);
	mm->mm_start_code = s->start_code;
	mm->mm_end_code = s->end_code;
	mm->mm_start_data = s->start_data;
	mm->mm_end_data = s->end_data;
	mm->mm_start_stack = s->start_stack;
	mm->mm_start_brk = s->start_brk;
	mm->mm_arg_start = s->arg_start;
	mm->mm_arg_end = s->arg_end;
	mm->mm_env_start = s->env_start;
	mm->mm_env_end = s->env_end;
	ret = dump_auxv(d, p);
	return ret ? ret : files_dump_link(d, p, "exe", &mm->exe_file_id);
}

void mm_ask(struct process *p, struct batch *b)
{
	p->brk_record = batch_call(b, 0, SYS_brk, 0);
}

int mm_take(struct dump *d, struct process *p, const struct batch *b)
{
	int64_t brk = batch_result(b, p->brk_record);

	if (brk < 0)
		return diag_fail(d->diag, (int)-brk, "cannot read the end of the heap of process %d: %s", p->pid,
				 strerror((int)-brk));
	p->mm->mm_brk = (uint64_t)brk;
	return 0;
}

int mm_tell(struct restore *r, struct process *p, struct batch *b)
{
	const MmEntry *mm = p->mm;
	struct prctl_mm_map map = { .start_code = mm->mm_start_code,
				    .end_code = mm->mm_end_code,
				    .start_data = mm->mm_start_data,
				    .end_data = mm->mm_end_data,
				    .start_brk = mm->mm_start_brk,
				    .brk = mm->mm_brk,
				    .start_stack = mm->mm_start_stack,
				    .arg_start = mm->mm_arg_start,
				    .arg_end = mm->mm_arg_end,
				    .env_start = mm->mm_env_start,
				    .env_end = mm->mm_env_end };
	int exe = files_open_mapped(r, mm->exe_file_id, O_RDONLY);

	if (exe < 0)
		return exe;
	if (mm->n_mm_saved_auxv > AUXV_MAX)
		return diag_fail(r->diag, EPROTO, "mm-%d.img is damaged: an auxiliary vector of %zu words", p->pid,
				 mm->n_mm_saved_auxv);
	map.auxv_size = (uint32_t)(mm->n_mm_saved_auxv * sizeof(uint64_t));
	map.auxv = (void *)batch_data(b, mm->mm_saved_auxv, map.auxv_size); /* an address in the task */
	map.exe_fd = (uint32_t)exe;
	batch_call(b, BATCH_MUST, SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, batch_data(b, &map, sizeof(map)), sizeof(map));
	return 0;
}
