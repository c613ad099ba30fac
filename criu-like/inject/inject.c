// SPDX-License-Identifier: GPL-2.0-only
/*
 * A region for batches in a frozen process.
 *
 * It takes two system calls, run at a `syscall` instruction that the process has already: one maps the whole region to
 * read and execute, the other replaces all but the stub's page by one to read and write. So no page is ever writable
 * and executable, and policies that forbid that are kept. The stub gets in through /proc/PID/mem, which ignores
 * protection.
 */
#include "criu-like/inject/inject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"

#define UNMAP_TRIES 3

uint64_t inject_find_syscall(int mem_fd, uint64_t start, uint64_t end)
{
	const size_t insn_len = sizeof(ARCH_SYSCALL_INSN) - 1;
	uint8_t piece[65536];

	while (end - start >= insn_len) {
		ssize_t got = full_pread(mem_fd, piece, MIN(end - start, (uint64_t)sizeof(piece)), (off_t)start);
		const uint8_t *at = got > 0 ? memmem(piece, (size_t)got, ARCH_SYSCALL_INSN, insn_len) : NULL;

		if (at)
			return start + (uint64_t)(at - piece);
		if (got <= (ssize_t)insn_len)
			return 0;
		start += (uint64_t)got - (insn_len - 1); /* it may lie across two pieces */
	}
	return 0;
}

static int remote_call(struct injection *inj, const char *what, long nr, const uint64_t arg[6], int64_t *result,
		       struct diag *diag)
{
	int ret = tracee_syscall(inj->leader, inj->insn, nr, arg, result);

	if (!ret && *result < 0 && *result > -4096)
		ret = (int)*result;
	if (ret)
		return diag_fail(diag, -ret, "cannot run %s inside process %d: %s", what, inj->leader->tgid,
				 strerror(-ret));
	return 0;
}

int inject_open(struct injection *inj, struct tracee *leader, int mem_fd, uint64_t insn, size_t max_records,
		size_t data_cap, struct diag *diag)
{
	size_t size = batch_size(max_records, data_cap);
	int64_t at, again;
	void *local;
	int ret;

	*inj = (struct injection){ .leader = leader, .mem_fd = mem_fd, .insn = insn };
	local = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (local == MAP_FAILED)
		return diag_fail(diag, errno, "cannot allocate %zu bytes", size);
	inj->size = size;
	batch_init(&inj->batch, local, 0, max_records, data_cap);

	ret = remote_call(inj, "mmap", SYS_mmap,
			  (const uint64_t[6]){ 0, size, PROT_READ | PROT_EXEC,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1 },
			  &at, diag);
	if (ret)
		return ret;
	inj->batch.remote = (uint64_t)at;
	return remote_call(inj, "mmap", SYS_mmap,
			   (const uint64_t[6]){ (uint64_t)at + PAGE_SIZE, size - PAGE_SIZE, PROT_READ | PROT_WRITE,
						MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1 },
			   &again, diag);
}

int inject_write(struct injection *inj, struct diag *diag)
{
	struct batch_span span[2];

	batch_used(&inj->batch, span);
	for (size_t i = 0; i < ARRAY_SIZE(span); i++) {
		int ret = full_pwrite(inj->mem_fd, inj->batch.local + span[i].offset, span[i].len,
				      (off_t)(inj->batch.remote + span[i].offset));

		if (ret)
			return diag_fail(diag, -ret, "cannot write to the memory of process %d", inj->leader->tgid);
	}
	return 0;
}

int inject_read(struct injection *inj, struct diag *diag)
{
	struct batch_span span[2];

	batch_used(&inj->batch, span);
	for (size_t i = 0; i < ARRAY_SIZE(span); i++) {
		ssize_t got = full_pread(inj->mem_fd, inj->batch.local + span[i].offset, span[i].len,
					 (off_t)(inj->batch.remote + span[i].offset));

		if (got != (ssize_t)span[i].len)
			return diag_fail(diag, got < 0 ? (int)-got : EIO, "cannot read the memory of process %d",
					 inj->leader->tgid);
	}
	return 0;
}

/* Tried again: the process is not to keep what is ours. */
static int unmap(struct injection *inj)
{
	int ret = -EAGAIN;

	for (int i = 0; ret && ret != -ESRCH && i < UNMAP_TRIES; i++) {
		int64_t result = 0;

		ret = tracee_syscall(inj->leader, inj->insn, SYS_munmap,
				     (const uint64_t[6]){ inj->batch.remote, inj->size }, &result);
		ret = ret ? ret : (int)MIN(result, 0);
	}
	return ret;
}

int inject_close(struct injection *inj, struct diag *diag)
{
	int ret = inj->batch.remote ? unmap(inj) : 0;

	if (ret)
		ret = diag_fail(diag, -ret, "cannot unmap the memory of the dump in process %d: %s", inj->leader->tgid,
				strerror(-ret));
	if (inj->size)
		munmap(inj->batch.local, inj->size);
	*inj = (struct injection){ .mem_fd = -1 };
	return ret;
}
