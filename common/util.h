/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_UTIL_H
#define THAW_COMMON_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#ifndef PAGE_SIZE /* <sys/user.h> has it too */
#define PAGE_SIZE 4096UL
#endif
#define PAGE_ALIGNED(x) (!((uint64_t)(x) & (PAGE_SIZE - 1)))
#define PAGE_UP(x) (((uint64_t)(x) + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1))
#define PAGE_DOWN(x) ((uint64_t)(x) & ~(uint64_t)(PAGE_SIZE - 1))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/**
 * grow() - Make room for one more element in a growing array
 * @array: address of the pointer to the elements (malloc'ed or NULL), replaced when it moves
 * @nr: elements in use
 * @cap: address of the elements that fit, updated
 * @size: bytes an element
 *
 * Return: 0, or -ENOMEM (the array is as before)
 */
int grow(void *array, size_t nr, size_t *cap, size_t size);

/** full_read() - read(2) until @len bytes or the end. Return: bytes read, or -errno */
ssize_t full_read(int fd, void *buf, size_t len);

/** full_write() - write(2) all @len bytes. Return: 0, or -errno */
int full_write(int fd, const void *buf, size_t len);

/** full_pread() - pread(2) until @len bytes or the end. Return: bytes read, or -errno */
ssize_t full_pread(int fd, void *buf, size_t len, off_t off);

/** full_pwrite() - pwrite(2) all @len bytes. Return: 0, or -errno */
int full_pwrite(int fd, const void *buf, size_t len, off_t off);

/**
 * read_text() - A small file (of /proc, say) as a string
 * @dirfd: directory that @path is relative to, or AT_FDCWD
 * @path: file
 * @text: set to a malloc'ed, NUL-terminated string that the caller frees
 *
 * Return: the length without the NUL, or -errno
 */
ssize_t read_text(int dirfd, const char *path, char **text);

/** now_us() - CLOCK_MONOTONIC in microseconds */
uint64_t now_us(void);

/** now_ns() - The same in nanoseconds */
uint64_t now_ns(void);

#endif
