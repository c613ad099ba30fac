/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_PROTO_ALL_H
#define THAW_IMAGES_PROTO_ALL_H

/* Every message of the image format, as protobuf-c generates them from the .proto files beside this header. */
#include "core.pb-c.h"
#include "files.pb-c.h"
#include "fown.pb-c.h"
#include "inventory.pb-c.h"
#include "mm.pb-c.h"
#include "namespaces.pb-c.h"
#include "sockets.pb-c.h"
#include "thaw.pb-c.h"
#include "tty.pb-c.h"
#include "x86.pb-c.h"

#endif
