/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_WSET_SHOW_H
#define THAW_IMAGES_WSET_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "common/diag.h"

/**
 * image_wset() - Print the working sets of a dump: which memory, in the order of the first touch
 * @path: its directory
 * @json: an array of {"file", "pid", "pages", "of", "ranges": [{"address", "pages"}]}; otherwise text for people.
 * Shared memory has "shared_memory", its number, in place of "pid", and its addresses are offsets
 * @out: where to
 *
 * Return: 0, or -errno with a sentence (-ENOENT: there is none; -EPROTO, -ESTALE: one that a restore would ignore)
 */
int image_wset(const char *path, bool json, FILE *out, struct diag *diag);

#endif
