// SPDX-License-Identifier: GPL-2.0-only
/*
 * Change an image as its messages are made.
 *
 *	mutate IN OUT SEED			one change at random, which is printed as the words below
 *	mutate IN OUT ENTRY PATH OP ARG		that change
 *
 * ENTRY is a number from 0; PATH leads through the fields of its message, names and indices with dots, "-" for the
 *entry itself. OP: number N (as 64 bits), text HEX (a string or bytes), clear, drop, copy N (that many more); for an
 *entry also cut N and flip N (the raw bytes behind it: so many are left, that one is inverted).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"
#include "images/codec.h"
#include "images/kinds.h"

#define MAX_ENTRIES 4096
#define MAX_COPIES 70000

struct entry {
	ProtobufCMessage *msg;
	uint8_t *raw;
	size_t len;
};

struct image {
	uint32_t magic[2];
	size_t nr_magic;
	struct entry v[MAX_ENTRIES];
	size_t nr;
};

struct change {
	size_t entry;
	char path[512], op[16], arg[2048];
};

/* A place in a message: the field, and which element of a list. */
struct place {
	ProtobufCMessage *msg;
	const ProtobufCFieldDescriptor *field;
	size_t index;
};

static void fail(const char *what)
{
	fprintf(stderr, "mutate: %s\n", what);
	exit(2);
}

static uint64_t dice(uint64_t *state, uint64_t sides)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 11) % sides;
}

static void *room(size_t len)
{
	void *p = calloc(1, len + 1);

	if (!p)
		fail("out of memory");
	return p;
}

/* Reading and writing. */

static void load(const char *path, struct image *im)
{
	FILE *f = fopen(path, "r");
	struct image_reader *r;
	struct diag diag;
	struct stat st;
	void *msg;

	diag_init(&diag, -1, DIAG_ERROR);
	if (!f || fstat(fileno(f), &st) || fread(im->magic, 4, 2, f) != 2)
		fail("cannot read the image");
	rewind(f);
	if (image_open_stream(f, (uint64_t)st.st_size, path, IMG_NR_KINDS, &r, &diag))
		fail(diag.text);
	im->nr_magic = kind_of(image_reader_kind(r))->first_magic ? 2 : 1;
	while (im->nr < MAX_ENTRIES && image_get(r, &msg) > 0) {
		const struct kind *k = kind_of(image_reader_kind(r));
		struct entry *e = &im->v[im->nr++];
		uint64_t len = k->tail ? k->tail(msg, ((const ProtobufCMessage *)msg)->descriptor == k->head) : 0;

		e->msg = msg;
		e->len = len == TAIL_REST ? image_raw_left(r) : len;
		e->raw = room(e->len);
		if (image_get_raw(r, e->raw, e->len))
			fail(diag.text);
	}
	image_close(r);
}

static void store(const char *path, const struct image *im)
{
	FILE *f = fopen(path, "w");

	if (!f)
		fail("cannot write the image");
	fwrite(im->magic, 4, im->nr_magic, f);
	for (size_t i = 0; i < im->nr; i++) {
		uint32_t len = (uint32_t)protobuf_c_message_get_packed_size(im->v[i].msg);
		uint8_t *bytes = room(len);

		protobuf_c_message_pack(im->v[i].msg, bytes);
		fwrite(&len, 4, 1, f);
		fwrite(bytes, 1, len, f);
		fwrite(im->v[i].raw, 1, im->v[i].len, f);
		free(bytes);
	}
	if (fclose(f))
		fail("cannot write the image");
}

/* Fields. */

static bool is_list(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool is_pointer(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static size_t *count_of(const struct place *p)
{
	return (size_t *)((char *)p->msg + p->field->quantifier_offset);
}

static void *at(const struct place *p)
{
	char *member = (char *)p->msg + p->field->offset;

	return is_list(p->field) ? *(char **)member + p->index * size_of(p->field) : member;
}

static bool is_set(const struct place *p)
{
	if (is_list(p->field))
		return *count_of(p) > 0;
	if (is_pointer(p->field))
		return *(void **)at(p) != NULL;
	return p->field->label == PROTOBUF_C_LABEL_REQUIRED || *(protobuf_c_boolean *)count_of(p);
}

static void set_present(const struct place *p, bool on)
{
	if (p->field->label == PROTOBUF_C_LABEL_OPTIONAL && !is_pointer(p->field))
		*(protobuf_c_boolean *)count_of(p) = on;
}

static void make_message(const struct place *p)
{
	const ProtobufCMessageDescriptor *type = p->field->descriptor;
	ProtobufCMessage *m = room(type->sizeof_message);

	type->message_init(m);
	*(ProtobufCMessage **)at(p) = m;
}

/* Lists grow into new memory; nothing is ever freed, the program ends soon. */
static void copy_element(const struct place *p, size_t times)
{
	size_t size = size_of(p->field), nr = *count_of(p);
	char **list = (char **)((char *)p->msg + p->field->offset), *bigger = room((nr + times) * size);

	memcpy(bigger, *list, nr * size);
	for (size_t i = 0; i < times; i++)
		memcpy(bigger + (nr + i) * size, at(p), size);
	*list = bigger;
	*count_of(p) += times;
}

static void drop_element(const struct place *p)
{
	size_t size = size_of(p->field);

	memmove(at(p), (char *)at(p) + size, (*count_of(p) - p->index - 1) * size);
	--*count_of(p);
}

/* Changes. */

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t nr = strlen(hex) / 2;

	for (size_t i = 0; i < nr; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &out[i]) != 1)
			fail("no hexadecimal digits");
	return nr;
}

static void set_text(const struct place *p, const char *hex)
{
	uint8_t *text = room(strlen(hex) / 2);
	size_t len = from_hex(hex, text);

	if (p->field->type == PROTOBUF_C_TYPE_STRING)
		*(char **)at(p) = (char *)text;
	else if (p->field->type == PROTOBUF_C_TYPE_BYTES)
		*(ProtobufCBinaryData *)at(p) = (ProtobufCBinaryData){ len, text };
	else
		fail("this field has no text");
	set_present(p, true);
}

static void set_number(const struct place *p, uint64_t n)
{
	if (is_pointer(p->field) || p->field->type == PROTOBUF_C_TYPE_BYTES)
		fail("this field is no number");
	memcpy(at(p), &n, size_of(p->field));
	if (p->field->type == PROTOBUF_C_TYPE_BOOL)
		*(protobuf_c_boolean *)at(p) = n != 0;
	set_present(p, true);
}

static void change_field(const struct place *p, const struct change *c)
{
	uint64_t n = strtoull(c->arg, NULL, 0);

	if (is_list(p->field) && p->index >= *count_of(p))
		fail("the list is shorter");
	if (!strcmp(c->op, "number"))
		set_number(p, n);
	else if (!strcmp(c->op, "text"))
		set_text(p, c->arg);
	else if (!strcmp(c->op, "drop") && is_list(p->field))
		drop_element(p);
	else if (!strcmp(c->op, "copy") && is_list(p->field))
		copy_element(p, MIN(n, MAX_COPIES));
	else if (!strcmp(c->op, "clear") && is_list(p->field))
		*count_of(p) = 0;
	else if (!strcmp(c->op, "clear") && is_pointer(p->field))
		*(void **)at(p) = NULL;
	else if (!strcmp(c->op, "clear"))
		set_present(p, false);
	else if (!strcmp(c->op, "make") && p->field->type == PROTOBUF_C_TYPE_MESSAGE && !is_list(p->field))
		make_message(p);
	else
		fail("no such change to this field");
}

static void change_entry(struct image *im, const struct change *c)
{
	struct entry *e = &im->v[c->entry];
	uint64_t n = strtoull(c->arg, NULL, 0);

	if (!strcmp(c->op, "drop")) {
		memmove(e, e + 1, (im->nr - c->entry - 1) * sizeof(*e));
		im->nr--;
	} else if (!strcmp(c->op, "copy")) {
		for (uint64_t i = 0; i < n && im->nr < MAX_ENTRIES; i++)
			im->v[im->nr++] = *e;
	} else if (!strcmp(c->op, "cut")) {
		e->len = MIN(e->len, n);
	} else if (!strcmp(c->op, "flip") && n < e->len) {
		e->raw[n] ^= 0xff;
	} else {
		fail("no such change to an entry");
	}
}

static void apply(struct image *im, const struct change *c)
{
	char path[sizeof(c->path)], *save = NULL;
	struct place p = { 0 };

	if (c->entry >= im->nr)
		fail("there are fewer entries");
	if (!strcmp(c->path, "-")) {
		change_entry(im, c);
		return;
	}
	strcpy(path, c->path);
	p.msg = im->v[c->entry].msg;
	for (char *word = strtok_r(path, ".", &save); word; word = strtok_r(NULL, ".", &save)) {
		if (p.field) {
			p.msg = is_set(&p) && p.field->type == PROTOBUF_C_TYPE_MESSAGE ? *(ProtobufCMessage **)at(&p)
										       : NULL;
			if (!p.msg)
				fail("the path ends before");
		}
		p.field = protobuf_c_message_descriptor_get_field_by_name(p.msg->descriptor, word);
		if (!p.field)
			fail("there is no such field");
		p.index = is_list(p.field) ? strtoul(strtok_r(NULL, ".", &save) ?: "0", NULL, 10) : 0;
		if (is_list(p.field) && p.index >= *count_of(&p))
			fail("the list is shorter");
	}
	if (!p.field)
		fail("the path is empty");
	change_field(&p, c);
}

/* Chance. */

static uint64_t some_number(uint64_t *s, uint64_t now)
{
	static const uint64_t edges[] = { 0,	      1,	  2,	      3,	  7,
					  0x7f,	      0xff,	  0x100,      0xfff,	  0x1000,
					  0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
					  1ULL << 47, INT64_MAX,  1ULL << 63, UINT64_MAX };

	switch (dice(s, 6)) {
	case 0:
		return now ^ 1ULL << dice(s, 64);
	case 1:
		return now ^ 1ULL << dice(s, 12);
	case 2:
		return now + 1;
	case 3:
		return now - 1;
	case 4:
		return now + (dice(s, 2) ? 0x1000 : -0x1000ULL) * (1 + dice(s, 300));
	default:
		return edges[dice(s, ARRAY_SIZE(edges))];
	}
}

static void some_text(uint64_t *s, const struct place *p, struct change *c)
{
	static const char *const others[] = {
		"", "/", ".", "..", "../../..", "/nonexistent/file", "/proc/self/mem", "\xff\xfe"
	};
	const uint8_t *now = (const uint8_t *)"";
	size_t len = 0, max = (sizeof(c->arg) - 3) / 2;
	uint8_t text[(sizeof(c->arg) - 3) / 2];

	if (is_set(p) && p->field->type == PROTOBUF_C_TYPE_STRING) {
		now = *(const uint8_t **)at(p);
		len = strlen((const char *)now);
	} else if (is_set(p)) {
		now = ((ProtobufCBinaryData *)at(p))->data;
		len = ((ProtobufCBinaryData *)at(p))->len;
	}
	len = MIN(len, max);
	if (len)
		memcpy(text, now, len);
	switch (dice(s, 5)) {
	case 0: /* shorter */
		len = dice(s, len + 1);
		break;
	case 1: /* longer */
		for (size_t more = dice(s, max - len + 1); more; more--)
			text[len++] = (uint8_t)('a' + more % 26);
		break;
	case 2:
		now = (const uint8_t *)others[dice(s, ARRAY_SIZE(others))];
		len = strlen((const char *)now);
		memcpy(text, now, len);
		break;
	default:
		if (len)
			text[dice(s, len)] ^= (uint8_t)(1u << dice(s, 8));
	}
	for (size_t i = 0; i < len; i++)
		sprintf(c->arg + 2 * i, "%02x", text[i]);
}

static uint64_t number_at(const struct place *p)
{
	uint64_t n = 0;

	if (is_set(p) && !is_pointer(p->field) && p->field->type != PROTOBUF_C_TYPE_BYTES)
		memcpy(&n, at(p), size_of(p->field));
	return n;
}

static void some_change(uint64_t *s, const struct place *p, struct change *c)
{
	uint64_t what = dice(s, 10);

	if (is_list(p->field) && what < 5) {
		strcpy(c->op, what < 2 ? "drop" : what < 4 ? "copy" : "clear");
		snprintf(c->arg, sizeof(c->arg), "%d", dice(s, 20) ? 1 : 70000);
	} else if (p->field->type == PROTOBUF_C_TYPE_MESSAGE) {
		strcpy(c->op, is_set(p) || is_list(p->field) ? "clear" : "make");
	} else if (what == 9 && p->field->label == PROTOBUF_C_LABEL_OPTIONAL) {
		strcpy(c->op, "clear");
	} else if (p->field->type == PROTOBUF_C_TYPE_STRING || p->field->type == PROTOBUF_C_TYPE_BYTES) {
		strcpy(c->op, "text");
		some_text(s, p, c);
	} else {
		strcpy(c->op, "number");
		snprintf(c->arg, sizeof(c->arg), "%llu", (unsigned long long)some_number(s, number_at(p)));
	}
}

/* Return: false when no field was found in which there is something to change */
static bool choose_field(uint64_t *s, ProtobufCMessage *msg, struct change *c)
{
	struct place p = { .msg = msg };
	size_t len = 0;

	for (int tries = 0; tries < 200; tries++) {
		p.field = &p.msg->descriptor->fields[dice(s, p.msg->descriptor->n_fields)];
		if (!is_set(&p) && (is_list(p.field) || dice(s, 4))) /* mostly what is there */
			continue;
		len += (size_t)snprintf(c->path + len, sizeof(c->path) - len, "%s%s", len ? "." : "", p.field->name);
		p.index = is_list(p.field) ? dice(s, *count_of(&p)) : 0;
		if (is_list(p.field))
			len += (size_t)snprintf(c->path + len, sizeof(c->path) - len, ".%zu", p.index);
		if (p.field->type != PROTOBUF_C_TYPE_MESSAGE || !is_set(&p) || !dice(s, 8) || len > 400)
			break;
		if (!(*(ProtobufCMessage **)at(&p))->descriptor->n_fields)
			break;
		p.msg = *(ProtobufCMessage **)at(&p);
		p.field = NULL;
	}
	if (!p.field || (!is_set(&p) && is_list(p.field)))
		return false;
	some_change(s, &p, c);
	return true;
}

static void choose(uint64_t *s, const struct image *im, struct change *c)
{
	*c = (struct change){ .entry = dice(s, im->nr), .arg = "" };
	if (dice(s, 8) && im->v[c->entry].msg->descriptor->n_fields && choose_field(s, im->v[c->entry].msg, c))
		return;
	strcpy(c->path, "-");
	if (im->v[c->entry].len && dice(s, 2)) {
		strcpy(c->op, dice(s, 2) ? "cut" : "flip");
		snprintf(c->arg, sizeof(c->arg), "%llu", (unsigned long long)dice(s, im->v[c->entry].len));
	} else {
		strcpy(c->op, dice(s, 2) ? "drop" : "copy");
		snprintf(c->arg, sizeof(c->arg), "%d", dice(s, 10) ? 1 : 3000);
	}
}

int main(int argc, char **argv)
{
	static struct image im;
	struct change c = { 0 };

	if (argc != 4 && argc != 6 && argc != 7)
		fail("usage: mutate IN OUT SEED | ENTRY PATH OP [ARG]");
	load(argv[1], &im);
	if (!im.nr)
		fail("an image without entries");
	if (argc == 4) {
		uint64_t state = strtoull(argv[3], NULL, 0) * 0x9e3779b97f4a7c15 + 1;

		choose(&state, &im, &c);
		printf("%zu %s %s %s\n", c.entry, c.path, c.op, c.arg);
	} else {
		c.entry = strtoul(argv[3], NULL, 10);
		snprintf(c.path, sizeof(c.path), "%s", argv[4]);
		snprintf(c.op, sizeof(c.op), "%s", argv[5]);
		snprintf(c.arg, sizeof(c.arg), "%s", argc > 6 ? argv[6] : "");
	}
	apply(&im, &c);
	store(argv[2], &im);
	return 0;
}
