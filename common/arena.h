/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_ARENA_H
#define THAW_COMMON_ARENA_H

#include <stddef.h>

/*
 * An arena: small zeroed allocations that are all freed at once. Dump and restore build their messages in one.
 */
struct arena;

/** arena_new() - Return: an empty arena for arena_free(), or NULL when out of memory */
struct arena *arena_new(void);

/** arena_alloc() - @len zeroed bytes, aligned to 16. Return: them, or NULL when out of memory */
void *arena_alloc(struct arena *a, size_t len);

/** arena_array() - @nr zeroed elements of @size bytes. Return: them, or NULL when out of memory or too large */
void *arena_array(struct arena *a, size_t nr, size_t size);

/** arena_strdup() - A copy of a string. Return: it, or NULL when out of memory */
char *arena_strdup(struct arena *a, const char *s);

/** arena_free() - Free everything; takes NULL */
void arena_free(struct arena *a);

#endif
