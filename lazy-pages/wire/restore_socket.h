/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_RESTORE_SOCKET_H
#define THAW_LAZY_RESTORE_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/diag.h"

/*
 * The socket between a restore and the lazy-pages server, as CRIU has it: a stream socket of the UNIX domain named
 * lazy-pages.socket in the work directory. The restore connects and sends, in native byte order,
 *
 *	for each process: i32 pid, then one byte that carries the process's userfaultfd (SCM_RIGHTS);
 *	for each process without memory (a zombie): i32 -pid, nothing else;
 *	once all memory is registered: u32 0x52535446.
 *
 * Thaw's server has a second name for the same socket, lazy-pages.thaw, and who connects by that one may also send,
 * before all processes,
 *
 *	for each object of shared memory that the server shall fill: u32 0x54534d4f, then the object's u64 number in
 *	the images, which carries a descriptor of it. The areas that map it are registered, in all processes.
 *
 *	if private memory of huge pages is registered in all processes: u32 0x54485547.
 *
 * The server says nothing. Whoever opened the userfaultfd has done UFFDIO_API on it, with the FORK, REMAP, REMOVE and
 * UNMAP events. CRIU's server wants exactly one message for each entry of pstree.img; Thaw's takes what comes.
 */

#define RESTORE_SOCKET_NAME "lazy-pages.socket"
#define RESTORE_SOCKET_KIN "lazy-pages.thaw"
#define RESTORE_FINISHED 0x52535446u
#define RESTORE_SHARED 0x54534d4fu /* no process has such a number */
#define RESTORE_HUGE 0x54485547u   /* nor this */

/**
 * restore_socket_listen() - Make the server's socket, mode 0600
 *
 * The file of a server that is no more is replaced.
 *
 * Return: a descriptor, or -errno with a sentence in @diag (-EADDRINUSE: a server listens there)
 */
int restore_socket_listen(const char *work_dir, struct diag *diag);

/** restore_socket_take_shared() - Give a socket that listens the name by which restores know that this server takes
 * shared memory */
void restore_socket_take_shared(const char *work_dir, struct diag *diag);

/**
 * restore_socket_unlink() - Let nobody connect any more, and remove the socket's name if it is still that of @fd's
 * socket
 *
 * Those that wait can still be accepted.
 */
void restore_socket_unlink(const char *work_dir, int fd);

/**
 * restore_socket_accept() - Take a connection, which must be checked before it is used
 *
 * Return: a descriptor, -EAGAIN when none waits, -EINVAL when none will come any more, or -errno
 */
int restore_socket_accept(int fd);

/** restore_socket_check() - Is the peer root or the caller's own user? Return: 0, -EPERM, or -errno */
int restore_socket_check(int conn);

/** restore_socket_came_from() - Is @conn a connection that was accepted from @fd? */
bool restore_socket_came_from(int conn, int fd);

enum restore_word { RESTORE_NONE, RESTORE_PROCESS, RESTORE_ZOMBIE, RESTORE_OBJECT, RESTORE_HUGE_PAGES, RESTORE_DONE };

/*
 * What has been received of a message; all zero between two messages. When it lies in shared memory, somebody else can
 * go on where a killed receiver stopped: what the kernel gave is in here, and what is not in here was not taken.
 */
struct restore_receiver {
	uint32_t word;
	int32_t sender; /* pid of the sending process as seen here; 0: unknown */
	uint8_t control[96] __attribute__((aligned(8)));
	uint64_t number; /* of an object */
	uint8_t carrier;
};

/**
 * restore_socket_receive() - Read the next message from a connection
 * @rx: keeps it until restore_socket_recorded(); asked again before that, the same message comes out again
 * @pid: set for RESTORE_PROCESS and RESTORE_ZOMBIE; an object's number is in @rx
 * @fd: the process's userfaultfd, or a descriptor of the object; the caller's
 *
 * Return: enum restore_word, -EAGAIN until there is more, -ENODATA at the end, -EPROTO, or -errno
 */
int restore_socket_receive(int conn, struct restore_receiver *rx, pid_t *pid, int *fd);

/** restore_socket_recorded() - The message is dealt with */
void restore_socket_recorded(struct restore_receiver *rx);

/**
 * restore_socket_connect() - The restore's end
 *
 * Return: a descriptor, or -errno: -ENOENT or -ECONNREFUSED (no sentence) when no server listens; others with a
 * sentence in @diag
 */
int restore_socket_connect(const char *work_dir, struct diag *diag);

/** restore_socket_connect_kin() - As above, but only to a server of Thaw's, which takes shared memory too */
int restore_socket_connect_kin(const char *work_dir, struct diag *diag);

/** restore_socket_send_huge() - Say that huge pages are registered too. Return: 0, or -errno */
int restore_socket_send_huge(int conn);

/** restore_socket_send_object() - Hand over an object of shared memory (the caller keeps its own descriptor). Return:
 * 0, or -errno */
int restore_socket_send_object(int conn, uint64_t number, int fd);

/**
 * restore_socket_send() - Hand over a process's userfaultfd (the caller keeps its own)
 * @pid: process, as the images number it
 * @outside: its pid here. Where that is another one, the process speaks for itself by its credentials, as it does in
 * CRIU: that takes CAP_SYS_ADMIN
 *
 * Return: 0, or -errno
 */
int restore_socket_send(int conn, pid_t pid, pid_t outside, int uffd);

/** restore_socket_send_zombie() - Announce a process without memory. Return: 0, or -errno */
int restore_socket_send_zombie(int conn, pid_t pid);

/**
 * restore_socket_finish() - Say that all memory is registered, and wait until the server has read it all
 *
 * Only then do the descriptors outlive this process and the connection; let no task run before.
 *
 * Return: 0, or -errno (-ECONNRESET: the server is gone)
 */
int restore_socket_finish(int conn);

#endif
