/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_PROCESS_H
#define THAW_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/arena.h"
#include "common/diag.h"
#include "criu-like/action.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/inject.h"
#include "criu-like/inject/tracee.h"
#include "criu-like/inspect/proc.h"
#include "images/image.h"
#include "images/pagestore.h"
#include "images/proto/all.h"
#include "lazy-pages/modes.h"
#include "lazy-pages/net/link.h"

/*
 * The process tree as dump and restore know it, and the contexts of the two.
 *
 * The protobuf messages serve as the plain structs between reading and doing: a dump fills them from what it saw, a
 * restore reads them. All messages hang from the tree; a dump allocates their parts with dump_alloc(), which the
 * context frees at once at the end.
 */

struct thread {
	pid_t tid;
	struct tracee tracee;
	struct proc_status status; /* dump: /proc/PID/task/TID/status */
	CoreEntry *core;
	ThawThreadEntry *extra; /* what the core has no place for; restore: NULL in CRIU's images */
	int64_t call_result;	/* restore: what the call in its extra came to, state/calls.c */
	size_t list;		/* index of the first record of its list in the batch being built */
	size_t *kind_records;	/* for each row of state_kinds[] the index of its first record in that batch;
				   state/kinds.c */
};

/* From so many threads on what the kernel does for each of them at each SIGSTOP counts: lists end by a trap instead. */
#define MANY_THREADS 64

struct process {
	pid_t pid, ppid, pgid, sid; /* ppid is 0 for the root of the tree */
	struct process *parent;
	struct thread *threads; /* the first is the leader */
	size_t nr_threads, cap_threads;
	int proc_fd; /* dump: /proc/PID, O_PATH */
	int pidfd;
	struct proc_status status; /* dump */
	struct proc_stat stat;	   /* dump */
	struct area *areas;	   /* dump: its VMAs, ascending */
	size_t nr_areas;
	struct injection inj;	/* dump: the batch's region in the frozen process */
	uint64_t insn;		/* dump: a `syscall` instruction in it, 0: not known yet */
	int mem_fd;		/* /proc/PID/mem */
	struct pagemap pagemap; /* restore; dump with --lazy-pages: what is to be served */
	int uffd;		/* restore: its userfaultfd, -1: none */
	int uffd_remote;	/* the task's own descriptor of it */
	size_t uffd_record;	/* the record that made it */
	bool *covered;		/* restore: for each VMA, is it registered? */
	size_t nr_guards;	/* state/guards.h */
	bool zombie, stopped;
	bool is_parent;			  /* dump: of a process in the tree */
	struct process *files_of, *fs_of; /* whose descriptors, or working directory, root and umask, it shares; NULL:
					     it has its own */
	/* restore, state/births_plan.c: */
	bool helper;				  /* not of the images; ends before the tree goes */
	bool leads_group;			  /* there is a process group with its pid */
	pid_t born_sid;				  /* session leader: the session that it is born in, 0: any */
	struct process *bearer;			  /* who makes it, NULL: the restorer */
	struct process *first_borne, *next_borne; /* those that it makes */
	size_t brk_record;
	size_t memory_list;	     /* restore: first record of the list that builds its memory */
	size_t files_list, end_list; /* restore, where descriptors are shared: see stage_memory() */
	MmEntry *mm;
	FsEntry *fs;
	TaskKobjIdsEntry *ids;
	FdinfoEntry **fds;
	size_t nr_fds;
};

/* A process's pid as this process knows it. In a restore it may have another one in its own namespace. */
static inline pid_t process_outside(const struct process *p)
{
	return p->threads[0].tracee.tgid;
}

struct tree {
	struct process **procs; /* parents before children */
	size_t nr, cap;
};

/** tree_add() - Add a process below @parent (NULL: the root). Return: it, or NULL when out of memory */
struct process *tree_add(struct tree *tree, pid_t pid, struct process *parent);

/** tree_find() - Return: the process with that pid, or NULL */
struct process *tree_find(const struct tree *tree, pid_t pid);

/** process_add_thread() - Add a thread; pointers to earlier ones are invalid then. Return: it, or NULL when out of
 * memory */
struct thread *process_add_thread(struct process *p, pid_t tid);

/** tree_drop_last() - Free the last process of the tree, which has no children there */
void tree_drop_last(struct tree *tree);

/** tree_drop_helpers() - Free the helpers at the end of the tree, which have ended */
void tree_drop_helpers(struct tree *tree);

/** tree_free() - Close and free all that hangs from the tree */
void tree_free(struct tree *tree);

/* What `thaw dump` was asked for. */
struct dump_options {
	pid_t pid;
	const char *images_dir;
	const char *page_store;	     /* "raw" or "files" */
	const char *prev_images_dir; /* earlier images, seen from images_dir, whose pages need not be written again */
	bool pre_dump;		     /* memory only, for a dump to go on from */
	bool leave_running, leave_stopped;
	bool shell_job;
	bool tcp_established, tcp_close, skip_in_flight;
	const char *network_lock; /* "nftables", or "skip": others keep packets of TCP connections out */
	const char *work_dir;	  /* the log is there */
	bool link_remap, ext_unix;
	uint64_t ghost_limit; /* bytes, 0: none */
	unsigned timeout;     /* seconds, 0: none */
	bool display_stats;
	bool page_server;		/* memory goes to one */
	bool lazy;			/* memory is served when the images are written */
	struct net_options net;		/* where the page server is, or is to be */
	bool free_moved;		/* what a client has is given back to the system */
	int status_fd;			/* gets one NUL byte when the server listens; -1: none */
	const struct action_hook *hook; /* NULL: nobody is told */
	struct text_list scripts;	/* --action-script; the command's hook runs them */
};

struct file_table;
struct memory_dump;

struct dump {
	const struct dump_options *opt;
	struct diag *diag;
	struct image_dir *dir, *prev_dir; /* prev_dir: NULL if there are no earlier images */
	struct tree tree;
	uint64_t deadline_us;	    /* now_us() when --timeout is over, 0: never */
	uint64_t start_us;	    /* now_us() at the start of the freeze */
	DumpStatsEntry stats;	    /* times in us */
	struct page_stream *stream; /* to the page server, NULL: memory goes into the images */
	int listen_fd;		    /* with --lazy-pages: where clients come, -1: none */
	bool spent;		    /* memory of the tree has been given back: it cannot go on */
	struct shmem_dump *shmem;   /* state/shmem.c */
	struct sysv_dump *sysv;	    /* state/sysv.c */
	uint32_t last_pages_id;
	struct file_table *files; /* state/files.c: the open files found so far and their ids */
	SeccompEntry *seccomp;	  /* the filters found so far, in the arena; NULL: none */
	uint64_t *cpu_clocks;	  /* inject/waiting.h; in the arena, NULL: none was needed yet */
	size_t nr_cpus;
	struct arena *arena;
	struct arch_cpu cpu;
};

/* What `thaw restore` was asked for. */
struct restore_options {
	const char *images_dir;
	const char *work_dir;
	const char *pidfile;
	bool detach;
	bool sibling;
	bool lazy;
	bool shell_job;
	bool new_pidns; /* state/pidns.h */
	bool tcp_established, tcp_close;
	const char *network_lock; /* as above */
	bool ext_unix;
	bool any_mode;	/* files may have other permissions than at the dump */
	bool no_verify; /* take pages without comparing their checksums */
	const char *stats_file;
	bool page_server;		/* with lazy: pages come from one */
	struct net_options net;		/* where it is */
	const struct action_hook *hook; /* NULL: nobody is told */
	struct text_list scripts;	/* --action-script; the command's hook runs them */
	struct lazy_modes modes;	/* of the server that --lazy-pages starts */
};

struct file_opener;
struct pidns;
struct shmem_restore;

struct restore {
	const struct restore_options *opt;
	struct diag *diag;
	struct image_dir *dir;
	struct arch_cpu cpu;
	struct tree tree;
	struct pidns *pidns;	     /* state/pidns.c, in the arena; NULL: the tree is in this process's */
	int lazy_conn;		     /* to the lazy-pages server, -1: none */
	bool own_server;	     /* that was started by this restore */
	bool lazy_kin;		     /* it is Thaw's, and takes shared memory */
	struct shmem_restore *shmem; /* state/shmem.c */
	struct sysv_restore *sysv;   /* state/sysv.c */
	struct file_opener
		*files;	       /* state/files.c: the open files of the images, opened here and inherited by the tasks */
	SeccompEntry *seccomp; /* all filters in the images; NULL: none */
	uint32_t network_lock; /* how the dump locked TCP connections, state/tcp_repair.h; 0: not */
	bool dumped_tcp_close;
	struct arena *arena;
	struct batch batch; /* the region that all tasks share, state/region.c */
	size_t region_size; /* bytes */
};

/**
 * struct state_kind - One kind of in-task state, both halves
 *
 * Dump: ask() appends the system calls that read the state to the thread's batch; after the run take() puts the results
 * into the images' messages (t->core and so on), with the index of the kind's first record. Kinds read from outside
 * have no ask(). check() runs before anything in the task has been touched and refuses what cannot be restored.
 * Restore: tell() appends the system calls that set the state to the thread's list. The list runs after the task's
 * memory is in place (or being served), in table order. apply() does from outside what cannot be told, after the list
 * has run and before the thread is released.
 * All return 0, or -errno with a sentence in the diag. Null pointers: nothing to do there.
 */
struct state_kind {
	const char *name;
	bool leader_only; /* per process, not per thread */
	int (*check)(struct dump *d, struct process *p, struct thread *t);
	int (*ask)(struct dump *d, struct process *p, struct thread *t, struct batch *b);
	int (*take)(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first);
	int (*tell)(struct restore *r, struct process *p, struct thread *t, struct batch *b);
	int (*apply)(struct restore *r, struct process *p, struct thread *t);
};

#endif
