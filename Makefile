# SPDX-License-Identifier: GPL-2.0-only
#
# make            build/thaw
# make demo       install what is missing, build, freeze a real redis-server and bring it back lazily
# make check      install what the tests need, build, run all tests
# make lint       static analysis and format
# make install    PREFIX=/usr/local DESTDIR=
# V=1 shows commands, SAN=1 builds with address and undefined-behaviour sanitizers, TSAN=1 with the thread sanitizer

PREFIX ?= /usr/local
B := build$(if $(SAN),/san)$(if $(TSAN),/tsan)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

PKGS := libprotobuf-c libnl-3.0 libnl-idiag-3.0 libbsd zlib json-c
CC ?= cc
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma),) $(if $(TSAN),-fsanitize=thread)
comma := ,
SANFLAGS := $(if $(SAN),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all) $(if $(TSAN),-fsanitize=thread)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS))
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -I. -I$(B)/gen -pthread $(WARN) $(CFLAGS) $(SANFLAGS) $(PKG_CFLAGS)

include tests/tests.mk

PROTOS := $(wildcard images/proto/*.proto)
GEN := $(PROTOS:images/proto/%.proto=$(B)/gen/%.pb-c.c)
LIB_SRC := $(wildcard common/*.c images/*.c lazy-pages/*.c lazy-pages/*/*.c \
	criu-like/*.c criu-like/commands/*.c criu-like/inspect/*.c criu-like/inject/*.c \
	criu-like/inject/arch/$(shell uname -m)/*.[cS] criu-like/state/*.c)
LIB_SRC := $(filter-out criu-like/thaw.c,$(LIB_SRC))
LIB_OBJ := $(patsubst %,$(B)/%.o,$(basename $(LIB_SRC))) $(GEN:.c=.o)

all: $(B)/thaw

$(B)/thaw: $(B)/criu-like/thaw.o $(B)/libthaw.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(B)/libthaw.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: images/proto/%.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen
	$(Q)protoc-c --proto_path=images/proto --c_out=$(B)/gen $<

$(GEN:.c=.o): $(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c | $(GEN)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-error -MMD -MP -c -o $@ $<

$(B)/%.o: %.c | $(GEN)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.S
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

clean:
	$(Q)rm -rf build

.PHONY: all clean
.SECONDARY: $(GEN)
-include $(shell find $(B) -name '*.d' 2>/dev/null)
