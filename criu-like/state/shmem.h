/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_SHMEM_H
#define THAW_STATE_SHMEM_H

#include "criu-like/process.h"

/* Shared anonymous memory: objects without a name that several VMAs, of several processes, map. */

/** shmem_is_anonymous() - Is the area a piece of such an object? */
bool shmem_is_anonymous(const struct area *a);

/**
 * shmem_dump_area() - Note the object that an area maps
 * @shmid: set to its number in the images
 *
 * Return: 0, or -errno with a sentence
 */
int shmem_dump_area(struct dump *d, const struct process *p, const struct area *a, uint64_t *shmid);

/**
 * shmem_dump_object() - Note an object that is known by a descriptor
 * @fd: the caller's, duplicated
 * @size: bytes that count, whole pages
 *
 * Return: 0, or -errno with a sentence
 */
int shmem_dump_object(struct dump *d, uint64_t shmid, int fd, uint64_t size);

/** shmem_open_area() - The object that an area maps. Return: a descriptor for the caller, or -errno with a sentence */
int shmem_open_area(struct dump *d, const struct process *p, const struct area *a);

/** shmem_dump_pages() - Write the content of all objects noted. Return: 0, or -errno with a sentence */
int shmem_dump_pages(struct dump *d);

/** shmem_dump_free() - Free the notes */
void shmem_dump_free(struct dump *d);

/**
 * shmem_restore() - Make all objects that the tree's VMAs map, with their content
 *
 * Return: 0, or -errno with a sentence
 */
int shmem_restore(struct restore *r);

/** shmem_fd() - The object's descriptor, out of the way of the tasks'. Return: it, or -errno with a sentence */
int shmem_fd(struct restore *r, uint64_t shmid);

/** shmem_is_lazy() - Does the VMA map an object that a lazy-pages server is to fill? */
bool shmem_is_lazy(const struct restore *r, const VmaEntry *v);

/** shmem_hand_over() - Give those objects to the server, before any process. Return: 0, or -errno with a sentence */
int shmem_hand_over(struct restore *r);

/** shmem_make() - A new anonymous object with its content; @flags: of mmap(2), for huge pages. Return: a descriptor for
 * the caller, or -errno with a sentence */
int shmem_make(struct restore *r, uint64_t shmid, uint64_t size, uint32_t flags);

/** shmem_fill() - The content of an object into the file @fd, @size bytes. Return: 0, or -errno with a sentence */
int shmem_fill(struct restore *r, uint64_t shmid, int fd, uint64_t size);

/** shmem_fill_memory() - The content of an object into zeroed memory of @size bytes. Return: 0, or -errno with a
 * sentence */
int shmem_fill_memory(struct restore *r, uint64_t shmid, uint64_t size, void *mem);

/** shmem_close() - Close and free what shmem_restore() made */
void shmem_close(struct restore *r);

#endif
