/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_TREE_H
#define THAW_IMAGES_TREE_H

#include <stdbool.h>
#include <stdio.h>

#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>

/**
 * tree_of_message() - A protobuf message as a JSON tree, by its descriptor
 * @people: addresses and the like as strings in hexadecimal, bytes as text where they are text
 *
 * Return: a new object, or NULL when out of memory
 */
struct json_object *tree_of_message(const ProtobufCMessage *msg, bool people);

/** tree_text() - Text as JSON can hold it: bytes that are no UTF-8 become \xNN. Return: a new string object */
struct json_object *tree_text(const char *s, size_t len);

/** tree_print() - Print a tree as indented text, @indent levels in */
void tree_print(struct json_object *tree, unsigned int indent, FILE *out);

#endif
