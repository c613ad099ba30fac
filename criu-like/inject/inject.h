/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_INJECT_H
#define THAW_INJECT_INJECT_H

#include <stdint.h>

#include "common/diag.h"
#include "criu-like/inject/batch.h"
#include "criu-like/inject/tracee.h"

/* A batch's region in a frozen process, and the way to it. */
struct injection {
	struct batch batch;
	struct tracee *leader;
	int mem_fd;    /* /proc/PID/mem, not owned */
	uint64_t insn; /* a `syscall` instruction in the process */
	size_t size;   /* bytes of the region, 0: none */
};

/**
 * inject_find_syscall() - Look for a `syscall` instruction in an executable area of a process
 * @mem_fd: its /proc/PID/mem
 *
 * Return: its address, or 0 when there is none
 */
uint64_t inject_find_syscall(int mem_fd, uint64_t start, uint64_t end);

/**
 * inject_open() - Map a region for a batch in a frozen process
 * @inj: to fill; inject_close() takes it also after a failure
 * @leader: a stopped thread of the process, kept by the caller
 * @mem_fd: /proc/PID/mem opened to read and write, kept by the caller
 * @insn: where the process has a `syscall` instruction
 * @max_records: records that the region can hold
 * @data_cap: bytes of data that it can hold
 *
 * Return: 0, or -errno with a sentence
 */
int inject_open(struct injection *inj, struct tracee *leader, int mem_fd, uint64_t insn, size_t max_records,
		size_t data_cap, struct diag *diag);

/** inject_write() - Put stub, records and data into the process. Return: 0, or -errno with a sentence */
int inject_write(struct injection *inj, struct diag *diag);

/** inject_read() - Fetch results and data. Return: 0, or -errno with a sentence */
int inject_read(struct injection *inj, struct diag *diag);

/** inject_close() - Unmap the region. Return: 0, or -errno with a sentence */
int inject_close(struct injection *inj, struct diag *diag);

#endif
