/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_RPC_WORK_H
#define THAW_RPC_WORK_H

#include <stdbool.h>

/**
 * rpc_work() - Serve the requests that come over a connection, until one is the last or the caller closes it
 * @sk: SOCK_SEQPACKET socket of AF_UNIX, owned by the caller of this
 * @own: the program at the other end has started this process (`thaw swrk`), and may use its own descriptors
 *
 * Dump and restore are done by this process itself, so that a tree can become the child of the one that started it.
 *
 * Return: 0 when all requests were served, 1 when one was not
 */
int rpc_work(int sk, bool own);

#endif
