// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"

#define LOWEST (1ULL << 32) /* leave what programs without PIE and small maps use */

/* The end of what overlaps [start, end) in any process of the tree, 0 if nothing does. */
static uint64_t taken_until(const struct restore *r, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < r->tree.nr; i++) {
		const MmEntry *mm = r->tree.procs[i]->mm;

		for (size_t k = 0; mm && k < mm->n_vmas; k++)
			if (mm->vmas[k]->start < end && mm->vmas[k]->end > start)
				return mm->vmas[k]->end;
	}
	return 0;
}

/*
 * From below upwards: programs crowd at the top. MAP_FIXED_NOREPLACE tells what is taken here. The pages are shared
 * anonymous memory: one copy for the restorer and all the tasks that it makes.
 */
int region_open(struct restore *r, size_t max_records, size_t data_cap)
{
	size_t size = batch_size(max_records, data_cap);
	uint64_t at = LOWEST;

	while (at + size < ARCH_TASK_SIZE) {
		uint64_t taken = taken_until(r, at, at + size);
		void *mem;

		if (taken) {
			at = taken;
			continue;
		}
		mem = mmap((void *)at, size, PROT_READ | PROT_WRITE | PROT_EXEC,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
		if (mem != MAP_FAILED) {
			r->region_size = size;
			batch_init(&r->batch, mem, at, max_records, data_cap);
			return 0;
		}
		if (errno != EEXIST)
			return diag_fail(r->diag, errno, "cannot map %zu bytes for the batch: %s", size,
					 strerror(errno));
		at += 1ULL << 30;
	}
	return diag_fail(r->diag, ENOMEM, "there is no room for the batch in the address spaces of the images");
}

uint64_t region_end(const struct restore *r)
{
	return r->batch.remote + r->region_size;
}

uint64_t region_syscall(const struct restore *r)
{
	const uint8_t *insn = memmem(batch_stub_start, (size_t)(batch_stub_end - batch_stub_start), ARCH_SYSCALL_INSN,
				     sizeof(ARCH_SYSCALL_INSN) - 1);

	return r->batch.remote + (uint64_t)(insn - batch_stub_start);
}

int region_unmap(struct restore *r, struct tracee *t)
{
	int64_t result;
	int ret = tracee_syscall(t, region_syscall(r), SYS_munmap,
				 (const uint64_t[6]){ r->batch.remote, r->region_size }, &result);

	return ret ? ret : (int)MIN(result, 0);
}

void region_close(struct restore *r)
{
	if (r->region_size)
		munmap(r->batch.local, r->region_size);
	r->region_size = 0;
}
