/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_VERIFY_H
#define THAW_IMAGES_VERIFY_H

#include <stdio.h>

#include "common/diag.h"

/**
 * image_verify() - Check a dump as a whole
 * @path: its directory
 * @out: gets a line for each fault, naming file and object, and for each image that Thaw can only name
 *
 * Every image is decoded; every reference from one to another is followed; every run of pages must lie in a mapping
 * and in its pages file; every page must match its checksum, where the dump has them.
 *
 * Return: the number of faults, or -errno with a sentence when @path is no dump at all
 */
int image_verify(const char *path, FILE *out, struct diag *diag);

#endif
