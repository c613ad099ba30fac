/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_FILE_KIND_H
#define THAW_STATE_FILE_KIND_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "common/idmap.h"
#include "criu-like/inspect/fdinfo.h"
#include "criu-like/process.h"

/*
 * Between files.c, files_open.c and the kinds of files: one source file a kind, both halves, one row in file_kinds[].
 */

/* A message that waits in the receive queue of a UNIX socket. */
struct packet {
	SkPacketEntry entry;
	uint8_t *data;
	pid_t pid; /* dump: it waits at this descriptor of this process */
	int fd;
	int *fds;	  /* dump: what it carries, open in this process; state/in_flight.c */
	uint32_t *rights; /* restore: the same, by their ids */
	size_t nr_fds;
	struct packet *next;   /* dump: of all; restore: in the queue */
	struct packet *of_all; /* restore */
};

/* Dump: a descriptor that is being looked at. */
struct seen {
	struct dump *d;
	struct process *p;
	int fd;	 /* in the process */
	int lfd; /* an own duplicate, gone after the look */
	struct stat st;
	struct fdinfo info;
	uint32_t flags;		     /* O_*, without O_CLOEXEC */
	char link[PATH_MAX];	     /* what /proc/PID/fd/N points to */
	const struct packet *flight; /* it is in flight in this message, @p is the dumping process itself; NULL: not */
};

/* Dump: an open file. */
struct open_file {
	const struct file_kind *kind;
	FileEntry *entry;
	pid_t pid; /* where it was seen first */
	int fd;
	uint64_t ino;
	uint64_t hash;			  /* see files.c */
	struct open_file *less, *greater; /* search tree */
};

struct memfd_table;
struct memfd_store;
struct file_lock;
struct pipe_table;
struct unix_table;
struct ghost_table;
struct tty_table;
struct tcp_table;
struct link;

struct file_table {
	struct open_file **files; /* in the order of their ids */
	size_t nr, cap;
	uint32_t last_id;
	struct open_file *root;
	struct idmap named; /* hash of device, inode, name -> struct named_file: mapped files and directories */
	struct memfd_table *memfds;
	struct pipe_table *pipes;
	struct unix_table *unixes;
	struct idmap udp_shutdowns; /* see sockdiag.h */
	bool udp_listed;
	struct ghost_table *ghosts;
	struct tty_table *ttys;
	struct tcp_table *tcp;
	struct link *links; /* state/link_remap.c */
	struct file_lock *locks, *last_lock;
	struct packet *packets, *last_packet; /* in the receive queues of sockets */
	ThawFileEntry **extras;		      /* state/files_extra.c */
	size_t nr_extras, cap_extras;
	struct process *self; /* this one, where it has files that are in flight */
	int *in_flight;	      /* those */
	size_t nr_in_flight, cap_in_flight;
};

/* Restore: an open file. */
struct opened_file {
	const struct file_kind *kind;
	FileEntry *entry;
	ThawFileEntry *extra;	  /* what that has no place for; NULL: nothing */
	int fd;			  /* -1: not opened yet */
	struct opened_file *next; /* for the kind: others of one pipe, ... */
	void *own;		  /* for the kind */
	bool used;		  /* a descriptor or a directory of some process */
	struct process *first;	  /* the process that does what is done once; NULL: none has a descriptor */
	struct process *told;	  /* the process whose in-task part has been appended last */
};

struct pipe_store;
struct unix_store;
struct tty_store;
struct tcp_again;

struct file_opener {
	struct opened_file *files;
	size_t nr, cap;
	struct idmap by_id; /* -> struct opened_file */
	int base, top;	    /* own descriptors are from here, and below there */
	int *fds;	    /* all of them */
	size_t nr_fds, cap_fds;
	struct idmap mapped; /* id << 32 | flags -> descriptor + 1 */
	struct memfd_store *memfds;
	struct pipe_store *pipes;
	struct unix_store *unixes;
	struct tty_store *ttys;
	struct tcp_again *tcp;
	const char *lock_table; /* of nftables, locks TCP connections; NULL: none */
	bool locked_before;	/* the dump has made it */
	struct idmap links;	/* id -> struct opened_file, whose name leads there; state/link_remap.c */
	struct idmap ghosts;	/* id -> struct ghost_again */
	struct idmap dead;	/* pids of processes that are no more; state/dead.c */
	struct file_lock *locks, *last_lock;
	struct idmap queues;	/* id -> struct queue */
	struct packet *packets; /* in all of them */
};

/**
 * struct file_kind - A kind of file
 *
 * Dump: match() picks the kind by what the descriptor looks like; dump() fills the entry (id and type are set) and
 * copies contents; it refuses what cannot be restored. peers() runs once after all descriptors of all processes; stop()
 * runs once when all else has been copied, and before files.img is written; write() writes the kind's own images.
 *
 * Restore: read() reads the kind's own images; open() opens a file and puts it at f->fd with opener_keep() (it may open
 * others on the way); open_mapped() returns a descriptor for a mapping, the caller's; finish() runs once when all files
 * are open; tell() appends what has to be done in the task, once its descriptors are in place, e being one of them: it
 * is called once for each process that has the file, and f->first is the one for what is done once in all. records()
 * says how many calls that are at most, each with up to 32 bytes of data.
 *
 * All return 0, or -errno with a sentence. Null pointers: nothing to do.
 */
struct file_kind {
	FdTypes type;
	const char *name; /* for messages */
	size_t member;	  /* offset of its message's address in FileEntry */
	size_t owner;	  /* offset of the FownEntry's address in the message; 0: elsewhere or none */
	size_t flags;	  /* offset of the O_* flags in the message, where there is an owner */
	bool (*match)(const struct seen *s);
	int (*dump)(struct seen *s, FileEntry *e);
	int (*peers)(struct dump *d);
	int (*stop)(struct dump *d);
	int (*write)(struct dump *d);
	void (*free_dump)(struct file_table *t);
	int (*read)(struct restore *r);
	int (*open)(struct restore *r, struct opened_file *f);
	int (*open_mapped)(struct restore *r, const struct opened_file *f, uint32_t flags);
	int (*finish)(struct restore *r);
	int (*tell)(struct restore *r, struct process *p, const FdinfoEntry *e, struct opened_file *f, struct batch *b);
	size_t (*records)(const FileEntry *e);
	void (*free_restore)(struct file_opener *o);
};

extern const struct file_kind *const file_kinds[];
extern const size_t nr_file_kinds;
extern const struct file_kind reg_file_kind, pipe_kind, fifo_kind, eventfd_kind, epoll_kind, timerfd_kind,
	signalfd_kind, inotify_kind, fanotify_kind, tty_kind, pidfd_kind, memfd_kind, inet_socket_kind,
	unix_socket_kind, netlink_socket_kind, packet_socket_kind;

/* The sentences are inline so that analysers see that they do not return 0. */

/** no_memory() - Return: -ENOMEM with a sentence */
static inline int no_memory(struct diag *diag)
{
	return diag_fail(diag, ENOMEM, "out of memory");
}

/* Where a file was seen, for messages. */
static inline int seen_fd(const struct seen *s)
{
	return s->flight ? s->flight->fd : s->fd;
}

static inline pid_t seen_pid(const struct seen *s)
{
	return s->flight ? s->flight->pid : s->p->pid;
}

/** file_refuse() - Say that a descriptor cannot be dumped: what it is, where, and @why with the way out. Return:
 * -ENOTSUP
 */
static inline int file_refuse(const struct seen *s, const char *what, const char *why)
{
	return diag_fail(s->d->diag, ENOTSUP, "%s cannot be dumped: %sdescriptor %d of process %d (%s): %s", what,
			 s->flight ? "in flight to " : "", seen_fd(s), seen_pid(s), s->link, why);
}

/** file_fail() - Say that a call failed on a descriptor while it was looked at. Return: -@code */
static inline int file_fail(const struct seen *s, int code, const char *what)
{
	return diag_fail(s->d->diag, code, "%s failed for descriptor %d of process %d (%s): %s", what, seen_fd(s),
			 seen_pid(s), s->link, strerror(code));
}

/** opener_fail() - Say that @call failed while a file of the images was restored. Return: -@code */
static inline int opener_fail(struct restore *r, int code, const struct opened_file *f, const char *call)
{
	return diag_fail(r->diag, code, "cannot restore the %s with id %u: %s: %s", f->kind->name, f->entry->id, call,
			 strerror(code));
}

/** file_owner() - Owner and signal of the open file, F_SETOWN(2const). Return: 0, or -errno with a sentence */
int file_owner(struct seen *s, FownEntry **out);

/** file_add() - An entry of its own for files.img, beside those that descriptors lead to. Return: it, or NULL */
FileEntry *file_add(struct dump *d, const struct file_kind *kind);

/** file_extra() - What there is to an open file that is being dumped beyond its entry; is written. Return: it, or NULL
 * when out of memory */
ThawFileEntry *file_extra(struct dump *d, uint32_t id);

/** files_extra_write(), files_extra_read() - Write and read all of that. Return: 0, or -errno with a sentence */
int files_extra_write(struct dump *d);
int files_extra_read(struct restore *r);

/** file_at() - The open file behind descriptor @fd of @p, or NULL */
struct open_file *file_at(struct dump *d, const struct process *p, int fd);

/** file_in_flight() - The open file of @fd of this process, which came with @p. Return: 0, or -errno with a sentence */
int file_in_flight(struct dump *d, const struct packet *p, int fd, const struct open_file **out);

/** process_fd() - The entry of descriptor @fd of @p, or NULL */
FdinfoEntry *process_fd(const struct process *p, int fd);

/**
 * reg_file_entry() - The entry of a file with a name, without flags, position and owner
 * @p, @link: it is what this link in the process's directory of /proc leads to, "fd/3" say
 * @name: the link's text
 * @id: id of the entry
 *
 * A deleted file is noted, see ghost.h.
 *
 * Return: 0, or -errno with a sentence
 */
int reg_file_entry(struct dump *d, const struct process *p, const char *link, const char *name, const struct stat *st,
		   uint32_t id, RegFileEntry **out);

/** reg_file_open() - Open the file of an entry and check that it is still the same. Return: a descriptor, or -errno
 * with a sentence */
int reg_file_open(struct restore *r, const RegFileEntry *e, uint32_t flags);

/** reg_file_proc_pid() - The process that a name under /proc belongs to. Return: its pid, 0: none */
pid_t reg_file_proc_pid(const char *name);

/** opener_file() - The file with @id, or NULL */
struct opened_file *opener_file(const struct restore *r, uint32_t id);

/** opener_keep() - Move @fd (owned by this call) out of the way of all descriptors of the images. Return: the new one,
 * or -errno with a sentence */
int opener_keep(struct restore *r, int fd);

/** opener_placeholder() - Something else for a file that only the tasks can open. Return: 0, or -errno with a sentence
 */
int opener_placeholder(struct restore *r, struct opened_file *f);

/**
 * opener_tell_made() - Put what a task has opened in the place of all descriptors that lead to the placeholder
 * @first: the descriptor that tell() is called with
 * @made: the record whose result is the new descriptor; that is none of the process's, those are all taken, so it is
 *	closed with the rest
 *
 * Takes one record, and one for each further descriptor.
 */
void opener_tell_made(const struct process *p, const FdinfoEntry *first, size_t made, struct batch *b);

/** opener_setup() - Status flags and signal of an open file. Return: 0, or -errno with a sentence */
int opener_setup(struct restore *r, const struct opened_file *f, uint32_t flags, const FownEntry *owner);

/* All files of a kind that have to be opened. */
#define for_each_used(r, k, f)                                                                       \
	for (struct opened_file *f = (r)->files->files; f < (r)->files->files + (r)->files->nr; f++) \
		if (f->used && f->kind == (k))

/* socket_options.c */

/** opener_socket() - Make the socket of an open file and keep it at f->fd; socket(2). Return: 0, or -errno with a
 * sentence */
int opener_socket(struct restore *r, struct opened_file *f, int family, int type, int protocol);

/**
 * socket_number() - An option that is an int, getsockopt(2). Return: its value, 0 where the socket has none, and 0 with
 * a sentence that ends the stage if it cannot be read
 */
int socket_number(const struct seen *s, int level, int name);

/** socket_netns() - Refuse a socket of another network namespace. @id: set to the namespace's id, 0: none. Return: 0,
 * or -errno with a sentence */
int socket_netns(struct seen *s, uint32_t *id);

/** socket_options_dump() - Options that all sockets have. Return: 0, or -errno with a sentence */
int socket_options_dump(struct seen *s, SkOptsEntry **out);

/** socket_buffers_restore() - Set the sizes of the buffers only. Return: 0, or -errno with a sentence */
int socket_buffers_restore(struct restore *r, const struct opened_file *f, const SkOptsEntry *o);

/** socket_options_restore() - Set them. Return: 0, or -errno with a sentence */
int socket_options_restore(struct restore *r, const struct opened_file *f, const SkOptsEntry *o);

/* file_locks.c */

struct file_lock {
	FileLockEntry entry;
	uint64_t dev, ino;
	struct file_lock *next;
};

/**
 * file_locks_note() - Note the locks that a descriptor shows
 * @known: its open file has been seen before, and with it the locks that belong to the open file
 *
 * Return: 0, or -errno with a sentence
 */
int file_locks_note(struct seen *s, bool known);

/** file_locks_write() - Write the image of all locks. Return: 0, or -errno with a sentence */
int file_locks_write(struct dump *d);

/** file_locks_read() - Read it. Return: 0, or -errno with a sentence */
int file_locks_read(struct restore *r);

/** file_locks_finish() - Take the locks that belong to open files. Return: 0, or -errno with a sentence */
int file_locks_finish(struct restore *r);

/** file_locks_tell() - Append the calls that take a process's locks, after its last close() */
void file_locks_tell(struct restore *r, const struct process *p, struct batch *b);

/* sk_queue.c */

struct queue {
	struct packet *first, **last;
};

/** sk_queue_dump() - Copy what waits in the receive queue of a socket. Return: 0, or -errno with a sentence */
int sk_queue_dump(struct seen *s, uint32_t id);

/** sk_queue_write() - Write the image of all queues. Return: 0, or -errno with a sentence */
int sk_queue_write(struct dump *d);

/** sk_queue_read() - Read it. Return: 0, or -errno with a sentence */
int sk_queue_read(struct restore *r);

/** sk_queue_fill() - Send what waited in the queue of @f through @sender, once. Return: 0, or -errno with a sentence */
int sk_queue_fill(struct restore *r, const struct opened_file *f, int sender);

/** sk_queue_empty() - Is nothing waiting for @f? */
bool sk_queue_empty(const struct restore *r, const struct opened_file *f);

#endif
