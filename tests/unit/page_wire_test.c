// SPDX-License-Identifier: GPL-2.0-only
/* Messages and packed pages of the page server's protocols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/util.h"
#include "lazy-pages/wire/page_pack.h"

static void message_has_its_bytes(void **state)
{
	const struct page_msg msg = { .command = PAGE_ADD_F,
				      .flags = 4,
				      .len = 0x01020304,
				      .nr_pages = 0x1122334455667788,
				      .vaddr = 0x7f0000001000,
				      .whose = 0x10203 };
	static const uint8_t want[PAGE_MSG_LEN] = {
		6,    0,    4,	  0,	4,    3,    2,	  1,	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x00, 0x10, 0x00, 0x00, 0x00, 0x7f, 0x00, 0x00, 3,    2,    1,	  0,	0,    0,    0,	  0,
	};
	uint8_t bytes[PAGE_MSG_LEN];
	struct page_msg back;

	page_msg_encode(&msg, bytes);
	assert_memory_equal(bytes, want, sizeof(want));
	page_msg_decode(bytes, &back);
	assert_int_equal(back.command, msg.command);
	assert_int_equal(back.flags, msg.flags);
	assert_int_equal(back.len, msg.len);
	assert_true(back.nr_pages == msg.nr_pages && back.vaddr == msg.vaddr && back.whose == msg.whose);
}

static void pages_must_be_possible(void **state)
{
	const uint64_t end = 1ULL << 47;
	struct page_msg msg = { .vaddr = 4096, .nr_pages = 1 };

	assert_null(page_msg_check(&msg, end));
	msg.nr_pages = 0;
	assert_non_null(page_msg_check(&msg, end));
	msg.nr_pages = end / PAGE_SIZE - 1;
	assert_null(page_msg_check(&msg, end));
	msg.nr_pages++;
	assert_non_null(page_msg_check(&msg, end));
	msg.nr_pages = UINT64_MAX;
	assert_non_null(page_msg_check(&msg, end));
	msg = (struct page_msg){ .vaddr = 4097, .nr_pages = 1 };
	assert_non_null(page_msg_check(&msg, end));
	msg.vaddr = end;
	assert_non_null(page_msg_check(&msg, end));
}

static void fill(uint8_t *pages, uint64_t nr, bool compressible)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < nr * PAGE_SIZE; i++) {
		x = x * 1664525 + 1013904223;
		pages[i] = compressible ? (uint8_t)(i / 100) : (uint8_t)(x >> 24);
	}
}

/* Pack and unpack; the codec that was used must be @want. The packed bytes are left in @wire for the caller to damage.
 */
static void round_trip(enum page_codec codec, uint64_t nr, bool compressible, enum page_codec want)
{
	uint8_t *pages = calloc(nr, PAGE_SIZE), *back = calloc(nr, PAGE_SIZE), *room = malloc(PAGE_PACK_ROOM);
	uint8_t *wire = malloc(PAGE_PACK_ROOM + PAGE_PACK_SUM);
	struct page_msg msg = { .nr_pages = nr };
	const void *body;
	uint64_t sum;

	fill(pages, nr, compressible);
	body = page_pack(codec, pages, room, &msg);
	assert_int_equal(msg.flags, want);
	assert_null(page_pack_check(&msg));
	sum = pages_sum(pages, nr);
	memcpy(wire, &sum, sizeof(sum));
	memcpy(wire + PAGE_PACK_SUM, body, msg.len - PAGE_PACK_SUM);
	if (want == PACK_RAW)
		memcpy(back, wire + PAGE_PACK_SUM, nr * PAGE_SIZE);
	assert_int_equal(page_unpack(&msg, wire, back), 0);
	assert_memory_equal(back, pages, nr * PAGE_SIZE);
	for (size_t at = 0; at < msg.len; at += 1 + msg.len / 61) {
		wire[at] ^= 0x10;
		if (want == PACK_RAW)
			memcpy(back, wire + PAGE_PACK_SUM, nr * PAGE_SIZE);
		assert_true(page_unpack(&msg, wire, back) != 0 || !memcmp(back, pages, nr * PAGE_SIZE));
		if (at < PAGE_PACK_SUM || want == PACK_RAW)
			assert_int_not_equal(page_unpack(&msg, wire, back), 0);
		wire[at] ^= 0x10;
	}
	free(pages);
	free(back);
	free(room);
	free(wire);
}

static void pages_come_back(void **state)
{
	for (uint64_t nr = 1; nr <= PAGE_PACK_MAX; nr += 21) {
		round_trip(PACK_RAW, nr, true, PACK_RAW);
		round_trip(PACK_LZ4, nr, true, PACK_LZ4);
		round_trip(PACK_ZSTD, nr, true, PACK_ZSTD);
		round_trip(PACK_LZ4, nr, false, PACK_RAW); /* no smaller */
		round_trip(PACK_ZSTD, nr, false, PACK_RAW);
	}
}

static void zero_is_a_word(void **state)
{
	static uint8_t pages[5 * 4096], room[PAGE_PACK_ROOM];
	struct page_msg msg = { .nr_pages = 3 };

	pages[3 * PAGE_SIZE + 4095] = 1;
	assert_int_equal(pages_zero(pages, 5, true), 3);
	assert_int_equal(pages_zero(pages, 5, false), 0);
	assert_int_equal(pages_zero(pages + 3 * PAGE_SIZE, 2, false), 1);
	page_pack(PACK_LZ4, pages, room, &msg);
	assert_int_equal(msg.flags, PACK_ZERO);
	assert_int_equal(msg.len, 0);
	assert_null(page_pack_check(&msg));
}

static void lengths_must_fit(void **state)
{
	const struct page_msg good = { .nr_pages = 2, .flags = PACK_RAW, .len = PAGE_PACK_SUM + 2 * 4096 };
	struct page_msg msg = good;

	assert_null(page_pack_check(&msg));
	msg.nr_pages = 0;
	assert_non_null(page_pack_check(&msg));
	msg.nr_pages = PAGE_PACK_MAX + 1;
	assert_non_null(page_pack_check(&msg));
	msg = good;
	msg.len--;
	assert_non_null(page_pack_check(&msg));
	msg.flags = PACK_LZ4;
	assert_null(page_pack_check(&msg));
	msg.len = PAGE_PACK_SUM;
	assert_non_null(page_pack_check(&msg));
	msg.len = UINT32_MAX;
	assert_non_null(page_pack_check(&msg));
	msg = good;
	msg.flags = PACK_ZERO;
	assert_non_null(page_pack_check(&msg));
	msg.flags = PACK_NR;
	assert_non_null(page_pack_check(&msg));
}

static void codecs_have_names(void **state)
{
	assert_int_equal(page_codec_named("none"), PACK_RAW);
	assert_int_equal(page_codec_named("lz4"), PACK_LZ4);
	assert_int_equal(page_codec_named("zstd"), PACK_ZSTD);
	assert_int_equal(page_codec_named("gzip"), PACK_NR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_has_its_bytes), cmocka_unit_test(pages_must_be_possible),
		cmocka_unit_test(pages_come_back),	 cmocka_unit_test(zero_is_a_word),
		cmocka_unit_test(lengths_must_fit),	 cmocka_unit_test(codecs_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
