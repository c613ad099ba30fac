/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_SECCOMP_H
#define THAW_STATE_SECCOMP_H

#include "criu-like/process.h"

/** seccomp_write() - Write seccomp.img, if any thread has filters. Return: 0, or -errno with a sentence */
int seccomp_write(struct dump *d);

/** seccomp_read() - Read it, if it is there. Return: 0, or -errno with a sentence */
int seccomp_read(struct restore *r);

/** seccomp_free() - Free what seccomp_read() has read */
void seccomp_free(struct restore *r);

/** seccomp_room() - Bytes of a batch's data that the filters of @t take, and records; added to what is there */
void seccomp_room(const struct restore *r, const struct thread *t, size_t *records, size_t *bytes);

#endif
