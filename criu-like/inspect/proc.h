/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_PROC_H
#define THAW_INSPECT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/diag.h"

/* What /proc says, as plain structs (proc(5)). */

#define PROC_NR_GROUPS_MAX 65536

struct proc_status {
	char state; /* R S D T t Z ... */
	pid_t tgid, pid, ppid, tracer;
	uint32_t umask;
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint32_t *groups;	 /* malloc'ed */
	size_t nr_groups;
	uint64_t sig_pnd, shd_pnd, sig_blk, sig_ign, sig_cgt;
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	unsigned no_new_privs, seccomp;
	unsigned threads;
};

struct proc_stat {
	char state;    /* R S D T t Z ... */
	char comm[64]; /* the task's name without parentheses; kernel threads' may be long */
	pid_t ppid, pgrp, session;
	uint32_t tty_nr;
	uint32_t flags; /* PF_* */
	int32_t nice;
	uint64_t start_time;
	uint64_t start_code, end_code, start_stack, start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint32_t rt_priority, policy;
	int32_t exit_code;
};

/* A VMA, from /proc/PID/smaps. */
struct area {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint32_t prot;	/* PROT_* */
	bool shared;	/* MAP_SHARED */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	char *name;	   /* malloc'ed: path, [stack], [anon:...] or "" ; " (deleted)" is kept */
	uint64_t vm_flags; /* AREA_VM_* */
};

/* VmFlags of smaps, those that matter; proc(5) has the letters. */
#define AREA_VM_GROWSDOWN (1ULL << 0)	  /* gd */
#define AREA_VM_LOCKED (1ULL << 1)	  /* lo */
#define AREA_VM_IO (1ULL << 2)		  /* io */
#define AREA_VM_PFNMAP (1ULL << 3)	  /* pf */
#define AREA_VM_DONTCOPY (1ULL << 4)	  /* dc */
#define AREA_VM_DONTEXPAND (1ULL << 5)	  /* de */
#define AREA_VM_ACCOUNT (1ULL << 6)	  /* ac */
#define AREA_VM_NORESERVE (1ULL << 7)	  /* nr */
#define AREA_VM_HUGETLB (1ULL << 8)	  /* ht */
#define AREA_VM_DONTDUMP (1ULL << 9)	  /* dd */
#define AREA_VM_HUGEPAGE (1ULL << 10)	  /* hg */
#define AREA_VM_NOHUGEPAGE (1ULL << 11)	  /* nh */
#define AREA_VM_MERGEABLE (1ULL << 12)	  /* mg */
#define AREA_VM_SEQ_READ (1ULL << 13)	  /* sr */
#define AREA_VM_RAND_READ (1ULL << 14)	  /* rr */
#define AREA_VM_WIPEONFORK (1ULL << 15)	  /* wf */
#define AREA_VM_UFFD_MISSING (1ULL << 16) /* um */
#define AREA_VM_UFFD_WP (1ULL << 17)	  /* uw */
#define AREA_VM_UFFD_MINOR (1ULL << 18)	  /* ui */
#define AREA_VM_SHADOW_STACK (1ULL << 19) /* ss */
#define AREA_VM_SEALED (1ULL << 20)	  /* sl */
#define AREA_VM_MAYREAD (1ULL << 21)	  /* mr */
#define AREA_VM_MAYWRITE (1ULL << 22)	  /* mw */
#define AREA_VM_MAYEXEC (1ULL << 23)	  /* me */
#define AREA_VM_MAYSHARE (1ULL << 24)	  /* ms */
#define AREA_VM_SOFTDIRTY (1ULL << 25)	  /* sd */
#define AREA_VM_DROPPABLE (1ULL << 26)	  /* dp */

/** proc_open() - /proc/@pid as an O_PATH descriptor. Return: it, or -errno */
int proc_open(pid_t pid);

/** proc_read_status() - Parse "status" or "task/TID/status" under @proc_fd. Return: 0, or -errno; free with
 * proc_status_free() */
int proc_read_status(int proc_fd, const char *path, struct proc_status *out);

/** proc_status_free() - Free what it holds */
void proc_status_free(struct proc_status *s);

/** proc_read_stat() - Parse "stat" or "task/TID/stat" under @proc_fd. Return: 0, or -errno */
int proc_read_stat(int proc_fd, const char *path, struct proc_stat *out);

/** proc_read_areas() - Parse smaps. Return: 0, or -errno; free with proc_areas_free() */
int proc_read_areas(int proc_fd, struct area **areas, size_t *nr);

/** proc_areas_free() - Free an array of areas; takes NULL */
void proc_areas_free(struct area *areas, size_t nr);

/** proc_read_numbers() - The numbers in "task", "fd" or the like (a directory whose entries are numbers), ascending,
 * malloc'ed. Return: 0 or -errno */
int proc_read_numbers(int proc_fd, const char *path, int **numbers, size_t *nr);

/** proc_read_children() - All children of all threads of the process, malloc'ed. Return: 0, or -errno */
int proc_read_children(int proc_fd, pid_t **pids, size_t *nr);

/** proc_read_auxv() - The auxiliary vector as 64-bit words with its AT_NULL pair, malloc'ed. Return: 0, or -errno */
int proc_read_auxv(int proc_fd, uint64_t **words, size_t *nr);

#endif
