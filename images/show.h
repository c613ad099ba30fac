/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_SHOW_H
#define THAW_IMAGES_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "common/diag.h"

/**
 * image_show() - Print an image, or all images of a directory
 * @path: file or directory
 * @json: print JSON: for a file {"file", "magic", "entries"}, for a directory an array of those; otherwise text for
 * people
 * @out: where to
 *
 * In a directory, a file that cannot be read is printed with its fault and the rest goes on.
 *
 * Return: 0, or -errno with a sentence (the first fault)
 */
int image_show(const char *path, bool json, FILE *out, struct diag *diag);

#endif
