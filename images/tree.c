// SPDX-License-Identifier: GPL-2.0-only
#include "images/tree.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

/* Fields that people read in hexadecimal: addresses, sets of bits, registers. */
/* clang-format off */
static const char *const hex_fields[] = {
	"start", "end", "pgoff", "vaddr", "prot", "flags", "status", "madv", "blk_sigset", "blk_sigset_extended",
	"sigaction", "restorer", "mask", "mask_extended", "ss_sp", "futex_rla", "clear_tid_addr", "sigmask", "events",
	"data", "sival_ptr", "cap_inh", "cap_prm", "cap_eff", "cap_bnd", "cap_amb", "dev", "rdev", "s_dev",
	"rseq_abi_pointer", "signature", "rseq_cs_pointer", "build_id", "personality", "capability", "xfeatures_mask",
	"handle", "so_filter",
};
/* clang-format on */

static bool is_hex(const ProtobufCMessageDescriptor *type, const char *field)
{
	if (!strncmp(type->name, "user_x86_", 9) || !strncmp(field, "mm_", 3))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(hex_fields); i++)
		if (!strcmp(hex_fields[i], field))
			return true;
	return false;
}

/* Length of the UTF-8 character at @s, 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 : (s[0] >> 5) == 6 ? 2 : (s[0] >> 4) == 14 ? 3 : (s[0] >> 3) == 30 ? 4 : 0;

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, surrogates, beyond the last character. */
	if ((n == 2 && s[0] < 0xc2) || (n == 3 && s[0] == 0xe0 && s[1] < 0xa0) ||
	    (n == 3 && s[0] == 0xed && s[1] > 0x9f) || (n == 4 && s[0] == 0xf0 && s[1] < 0x90) ||
	    (n == 4 && (s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f))))
		return 0;
	return n;
}

struct json_object *tree_text(const char *s, size_t len)
{
	char *text = malloc(len * 4 + 1);
	struct json_object *o;
	size_t out = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length((const unsigned char *)s + i, len - i);

		if (n && s[i]) {
			memcpy(text + out, s + i, n);
			out += n;
			i += n;
		} else {
			out += (size_t)sprintf(text + out, "\\x%02x", (unsigned char)s[i++]);
		}
	}
	o = json_object_new_string_len(text, (int)out);
	free(text);
	return o;
}

static struct json_object *tree_of_bytes(const ProtobufCBinaryData *bytes, bool people)
{
	char *hex = malloc(bytes->len * 2 + 1);
	bool text = people && bytes->len;
	struct json_object *o;

	if (!hex)
		return NULL;
	for (size_t i = 0; i < bytes->len; i++) {
		sprintf(hex + 2 * i, "%02x", bytes->data[i]);
		text = text && (isprint(bytes->data[i]) || !bytes->data[i]);
	}
	if (text)
		o = tree_text((const char *)bytes->data, bytes->len);
	else
		o = json_object_new_string_len(hex, (int)(bytes->len * 2));
	free(hex);
	return o;
}

static struct json_object *tree_of_unsigned(uint64_t n, bool hex)
{
	char buf[24];

	if (!hex)
		return json_object_new_uint64(n);
	snprintf(buf, sizeof(buf), "0x%" PRIx64, n);
	return json_object_new_string(buf);
}

static struct json_object *tree_of_enum(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

	return v ? json_object_new_string(v->name) : json_object_new_int(value);
}

static struct json_object *tree_of_value(const ProtobufCFieldDescriptor *f, const void *value, bool hex, bool people)
{
	const char *s;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_object_new_int(*(const int32_t *)value);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_object_new_int64(*(const int64_t *)value);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return tree_of_unsigned(*(const uint32_t *)value, hex);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return tree_of_unsigned(*(const uint64_t *)value, hex);
	case PROTOBUF_C_TYPE_BOOL:
		return json_object_new_boolean(*(const protobuf_c_boolean *)value);
	case PROTOBUF_C_TYPE_ENUM:
		return tree_of_enum(f->descriptor, *(const int *)value);
	case PROTOBUF_C_TYPE_STRING:
		s = *(char *const *)value;
		return s ? tree_text(s, strlen(s)) : NULL;
	case PROTOBUF_C_TYPE_BYTES:
		return tree_of_bytes(value, people);
	case PROTOBUF_C_TYPE_MESSAGE:
		return tree_of_message(*(ProtobufCMessage *const *)value, people);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		break; /* the format has none */
	}
	return NULL;
}

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* Is an optional field there? */
static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f)
{
	const char *at = (const char *)msg;

	if (f->label != PROTOBUF_C_LABEL_OPTIONAL)
		return true;
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)(at + f->offset) != NULL;
	return *(const protobuf_c_boolean *)(at + f->quantifier_offset);
}

static struct json_object *tree_of_field(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *f, bool people)
{
	const char *at = (const char *)msg + f->offset;
	bool hex = people && is_hex(msg->descriptor, f->name);
	struct json_object *list;
	size_t nr;

	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return tree_of_value(f, at, hex, people);
	nr = *(const size_t *)((const char *)msg + f->quantifier_offset);
	list = json_object_new_array();
	for (size_t i = 0; list && i < nr; i++)
		json_object_array_add(list,
				      tree_of_value(f, *(char *const *)at + i * value_size(f->type), hex, people));
	return list;
}

struct json_object *tree_of_message(const ProtobufCMessage *msg, bool people)
{
	struct json_object *tree = json_object_new_object();

	for (unsigned int i = 0; tree && i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &msg->descriptor->fields[i];
		struct json_object *value = is_set(msg, f) ? tree_of_field(msg, f, people) : NULL;

		if (f->label == PROTOBUF_C_LABEL_REPEATED && !json_object_array_length(value))
			json_object_put(value);
		else if (value)
			json_object_object_add(tree, f->name, value);
	}
	if (tree && msg->n_unknown_fields)
		json_object_object_add(tree, "unknown_fields", json_object_new_int((int)msg->n_unknown_fields));
	return tree;
}

static bool is_scalar(struct json_object *tree)
{
	return !json_object_is_type(tree, json_type_object) && !json_object_is_type(tree, json_type_array);
}

/* Does it fit on a line: a scalar, a list of scalars, or an object of only those? */
static bool is_flat(struct json_object *tree)
{
	bool flat = true;

	if (json_object_is_type(tree, json_type_array)) {
		for (size_t i = 0; flat && i < json_object_array_length(tree); i++)
			flat = is_scalar(json_object_array_get_idx(tree, i));
	} else if (json_object_is_type(tree, json_type_object)) {
		json_object_object_foreach(tree, key, value)
		{
			(void)key;
			flat = flat && is_scalar(value);
		}
	}
	return flat;
}

/* A list of scalars; four or more of the same as "value x number". */
static void print_list(struct json_object *list, FILE *out)
{
	size_t nr = json_object_array_length(list);

	fputc('[', out);
	for (size_t i = 0, same; i < nr; i += same) {
		struct json_object *item = json_object_array_get_idx(list, i);

		for (same = 1; i + same < nr; same++)
			if (!json_object_equal(item, json_object_array_get_idx(list, i + same)))
				break;
		fprintf(out, "%s%s", i ? ", " : "", json_object_get_string(item));
		if (same >= 4)
			fprintf(out, " x %zu", same);
		else
			same = 1;
	}
	fputc(']', out);
}

static void print_flat(struct json_object *tree, FILE *out)
{
	const char *gap = "";

	if (json_object_is_type(tree, json_type_object) && !json_object_object_length(tree)) {
		fputs("{}", out);
	} else if (json_object_is_type(tree, json_type_array)) {
		print_list(tree, out);
	} else if (json_object_is_type(tree, json_type_object)) {
		json_object_object_foreach(tree, key, value)
		{
			fprintf(out, "%s%s ", gap, key);
			print_flat(value, out);
			gap = ", ";
		}
	} else if (json_object_is_type(tree, json_type_string)) {
		const char *s = json_object_get_string(tree);

		for (fprintf(out, *s ? "" : "\"\""); *s; s++)
			if (iscntrl((unsigned char)*s))
				fprintf(out, "\\x%02x", (unsigned char)*s);
			else
				fputc(*s, out);
	} else {
		fputs(json_object_get_string(tree), out);
	}
}

static void print_item(const char *mark, struct json_object *value, unsigned int indent, FILE *out)
{
	fprintf(out, "%*s%s", (int)(indent * 2), "", mark);
	if (is_flat(value)) {
		fputc(' ', out);
		print_flat(value, out);
		fputc('\n', out);
	} else {
		fputc('\n', out);
		tree_print(value, indent + 1, out);
	}
}

void tree_print(struct json_object *tree, unsigned int indent, FILE *out)
{
	if (json_object_is_type(tree, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(tree); i++)
			print_item("-", json_object_array_get_idx(tree, i), indent, out);
	} else if (json_object_is_type(tree, json_type_object)) {
		json_object_object_foreach(tree, key, value) print_item(key, value, indent, out);
	} else {
		print_item("", tree, indent, out);
	}
}
