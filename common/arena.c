// SPDX-License-Identifier: GPL-2.0-only
#include "common/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK (64UL * 1024)

struct chunk {
	struct chunk *next;
	size_t used, cap;
	_Alignas(16) unsigned char bytes[];
};

struct arena {
	struct chunk *head;
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

void *arena_alloc(struct arena *a, size_t len)
{
	struct chunk *c = a->head;
	size_t need = (len + 15) & ~(size_t)15;
	void *p;

	if (need < len)
		return NULL;
	if (!c || c->cap - c->used < need) {
		size_t cap = need > CHUNK ? need : CHUNK;

		c = calloc(1, sizeof(*c) + cap);
		if (!c)
			return NULL;
		c->cap = cap;
		c->next = a->head;
		a->head = c;
	}
	p = c->bytes + c->used;
	c->used += need;
	return p;
}

void *arena_array(struct arena *a, size_t nr, size_t size)
{
	size_t len;

	if (__builtin_mul_overflow(nr, size, &len))
		return NULL;
	return arena_alloc(a, len);
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t len = strlen(s) + 1;
	char *p = arena_alloc(a, len);

	if (p)
		memcpy(p, s, len);
	return p;
}

void arena_free(struct arena *a)
{
	struct chunk *c = a ? a->head : NULL;

	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
	free(a);
}
