// SPDX-License-Identifier: GPL-2.0-only
#include "common/idmap.h"

#include <errno.h>
#include <stdlib.h>

/* Open addressing, at most half full. The upper half of the product is odd times the key: neighbours do not meet. */
static struct idmap_slot *idmap_slot(const struct idmap *m, uint64_t key)
{
	size_t i = (size_t)(key * 0x9E3779B97F4A7C15ULL >> 32);

	for (;; i++) {
		struct idmap_slot *s = &m->slots[i & (m->cap - 1)];

		if (!s->value || s->key == key)
			return s;
	}
}

void *idmap_get(const struct idmap *m, uint64_t key)
{
	return m->cap ? idmap_slot(m, key)->value : NULL;
}

static int idmap_grow(struct idmap *m)
{
	struct idmap bigger = { .cap = m->cap ? m->cap * 2 : 64, .nr = m->nr };

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			*idmap_slot(&bigger, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int idmap_put(struct idmap *m, uint64_t key, void *value)
{
	struct idmap_slot *s;

	if ((m->nr + 1) * 2 > m->cap && idmap_grow(m) < 0)
		return -ENOMEM;
	s = idmap_slot(m, key);
	m->nr += !s->value;
	*s = (struct idmap_slot){ .key = key, .value = value };
	return 0;
}

void idmap_free(struct idmap *m)
{
	free(m->slots);
	*m = (struct idmap){ 0 };
}
