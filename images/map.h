/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_MAP_H
#define THAW_IMAGES_MAP_H

#include <stdio.h>

#include "common/diag.h"

/**
 * image_map() - Draw the address spaces of a dump, as SVG
 * @path: its directory
 * @out: where to
 *
 * A line for each mapping: its addresses, what it is, and a bar that shows from left to right how much of it is in the
 * images and how much of that in the working set; what is neither is zero, or in the file that is mapped.
 *
 * Return: 0, or -errno with a sentence; a working set that a restore would ignore is not drawn
 */
int image_map(const char *path, FILE *out, struct diag *diag);

#endif
