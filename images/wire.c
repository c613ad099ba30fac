// SPDX-License-Identifier: GPL-2.0-only
#include "images/wire.h"

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

/* Read a varint and step over it; false at the end of the data or when it is too long. */
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	uint64_t n = 0;

	for (unsigned int shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t byte = *(*p)++;

		n |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out = n;
			return true;
		}
	}
	return false;
}

bool wire_nesting_ok(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, unsigned int depth)
{
	const uint8_t *p = data, *end = data + len;
	uint64_t tag, n;

	if (!depth)
		return false;
	while (varint(&p, end, &tag)) {
		const ProtobufCFieldDescriptor *field;
		unsigned int wire = tag & 7;

		if (wire == WIRE_VARINT) {
			if (!varint(&p, end, &n))
				return true;
			continue;
		}
		if (wire == WIRE_BYTES) {
			if (!varint(&p, end, &n))
				return true;
		} else if (wire == WIRE_64BIT || wire == WIRE_32BIT) {
			n = wire == WIRE_64BIT ? 8 : 4;
		} else {
			return true;
		}
		if (n > (uint64_t)(end - p))
			return true;
		field = protobuf_c_message_descriptor_get_field(type, (unsigned int)(tag >> 3));
		if (wire == WIRE_BYTES && field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
		    !wire_nesting_ok(field->descriptor, p, (size_t)n, depth - 1))
			return false;
		p += n;
	}
	return true;
}
