/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_RPC_MESSAGE_H
#define THAW_RPC_MESSAGE_H

#include "common/diag.h"
#include "rpc.pb-c.h"

/* Requests and replies on a SOCK_SEQPACKET socket of AF_UNIX: a packet is one protobuf message, without a frame. */

/**
 * rpc_receive() - The next request
 * @out: set to it, for rpc_request__free_unpacked()
 *
 * Return: 1, 0 when the caller has closed its end, or -errno with a sentence (-EPROTO: no request)
 */
int rpc_receive(int sk, RpcRequest **out, struct diag *diag);

/** rpc_send() - Send a reply. Return: 0, or -errno with a sentence (-EPIPE: nobody is there any more) */
int rpc_send(int sk, const RpcReply *reply, struct diag *diag);

#endif
