/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_BUILD_ID_H
#define THAW_INSPECT_BUILD_ID_H

#include <stddef.h>
#include <stdint.h>

#define BUILD_ID_MAX 64

/**
 * build_id_read() - The GNU build-id of a 64-bit ELF file, elf(5)
 * @fd: the file, open for reading
 * @id: room for BUILD_ID_MAX bytes
 *
 * Return: its length in bytes, 0 when the file has none or is no such file, or -errno
 */
int build_id_read(int fd, uint8_t *id);

#endif
