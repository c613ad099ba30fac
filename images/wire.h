/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_WIRE_H
#define THAW_IMAGES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/**
 * wire_nesting_ok() - Check how deep the messages in an encoded message nest
 * @type: what it is to be decoded as
 * @depth: levels that are allowed
 *
 * Damage elsewhere is left to the decoder.
 *
 * Return: false if it nests deeper
 */
bool wire_nesting_ok(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, unsigned int depth);

#endif
