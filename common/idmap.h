/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_IDMAP_H
#define THAW_COMMON_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A map from numbers (ids, inodes) to pointers. An idmap of zeroes is empty; the values are not owned.
 */
struct idmap {
	struct idmap_slot {
		uint64_t key;
		void *value; /* NULL: free */
	} * slots;
	size_t nr, cap; /* cap: a power of two, or 0 */
};

/** idmap_get() - Return: the value for @key, or NULL */
void *idmap_get(const struct idmap *m, uint64_t key);

/** idmap_put() - Set the value (not NULL) for @key. Return: 0, or -ENOMEM */
int idmap_put(struct idmap *m, uint64_t key, void *value);

/** idmap_free() - Free the map, not the values; it is empty then */
void idmap_free(struct idmap *m);

#endif
