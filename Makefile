# SPDX-License-Identifier: GPL-2.0-only
#
# make            build/thaw and its man page
# make demo       freeze a real redis-server and bring it back lazily
# make check      run all tests; T='PATTERN...' for some, tests/run --list names them
# make lint       static analysis, format, spelling
# make bench      the limits of this machine, and Thaw beside CRIU
# make install    PREFIX=/usr/local DESTDIR=
# make deps       install the Debian packages that all this needs; the targets above do so themselves
# V=1 shows commands, SAN=1 builds with address and undefined-behaviour sanitizers, TSAN=1 with the thread sanitizer

PREFIX ?= /usr/local
B := build$(if $(SAN),/san)$(if $(TSAN),/tsan)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif

BUILD_PACKAGES := gcc libc6-dev binutils pkg-config protobuf-c-compiler libprotobuf-c-dev libnl-3-dev libnl-idiag-3-dev \
	libbsd-dev zlib1g-dev libjson-c-dev libxxhash-dev liblz4-dev libzstd-dev libgnutls28-dev scdoc
DEMO_PACKAGES := python3-minimal libpython3-stdlib redis-server
TEST_PACKAGES := $(DEMO_PACKAGES) util-linux mount libcmocka-dev libasan8 libubsan1 libtsan2 criu nginx-light tmux openssl iproute2
LINT_PACKAGES := clang-tidy clang-format cppcheck codespell

PKGS := libprotobuf-c libnl-3.0 libnl-idiag-3.0 libbsd zlib json-c liblz4 libzstd gnutls
CC := gcc
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
SANFLAGS := $(if $(SAN),-fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all) $(if $(TSAN),-fsanitize=thread)
# Asked for once, when first used: pkg-config and the libraries may have come a moment ago.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)
BASE_CFLAGS := -std=gnu17 -D_GNU_SOURCE -I. -pthread $(WARN) $(CFLAGS)
ALL_CFLAGS = $(BASE_CFLAGS) -I$(B)/gen $(SANFLAGS) $(PKG_CFLAGS)

PROTOS := $(wildcard images/proto/*.proto)
GEN := $(PROTOS:images/proto/%.proto=$(B)/gen/%.pb-c.c)
LIB_SRC := $(wildcard common/*.c images/*.c images/arch/$(shell uname -m)/*.c lazy-pages/*.c lazy-pages/*/*.c \
	criu-like/*.c criu-like/commands/*.c criu-like/rpc/*.c criu-like/inspect/*.c criu-like/inject/*.c \
	criu-like/inject/arch/$(shell uname -m)/*.[cS] criu-like/state/*.c)
LIB_SRC := $(filter-out criu-like/thaw.c,$(LIB_SRC))
LIB_OBJ := $(patsubst %,$(B)/%.o,$(basename $(LIB_SRC))) $(GEN:.c=.o)

all: $(B)/thaw $(B)/thaw.1

include tests/tests.mk

$(B)/thaw: $(B)/criu-like/thaw.o $(B)/libthaw.a
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(B)/libthaw.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: images/proto/%.proto | build-deps
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(B)/gen
	$(Q)protoc-c --proto_path=images/proto --c_out=$(B)/gen $<

$(GEN:.c=.o): $(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c | $(GEN)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Wno-error -MMD -MP -c -o $@ $<

$(B)/%.o: %.c | $(GEN) build-deps
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.S | build-deps
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/thaw.1: docs/man/thaw.1.scd | build-deps
	$(call say,SCDOC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scdoc <$< >$@.tmp && mv $@.tmp $@

install: all
	$(Q)install -D -m 755 $(B)/thaw $(DESTDIR)$(PREFIX)/bin/thaw
	$(Q)install -D -m 644 $(B)/thaw.1 $(DESTDIR)$(PREFIX)/share/man/man1/thaw.1

# The ones with a narrower name keep a plain build from installing what only the tests need.
build-deps:
	$(Q)tests/install-missing $(BUILD_PACKAGES)
demo-deps: | build-deps
	$(Q)tests/install-missing $(DEMO_PACKAGES)
test-deps: | build-deps
	$(Q)tests/install-missing $(TEST_PACKAGES)
lint-deps: | build-deps
	$(Q)tests/install-missing $(LINT_PACKAGES)
deps: | test-deps lint-deps
build-deps demo-deps test-deps lint-deps: export LC_ALL := C

# What cppcheck does not understand: cleanup attributes (clang-tidy looks for leaks), linker symbols, macros with statement
# expressions.
CPPCHECK_BLIND := resourceLeak memleak comparePointers unknownMacro selfAssignment
C_FILES = $(shell git ls-files '*.c')
C_AND_H_FILES = $(shell git ls-files '*.[ch]')
lint: $(GEN) | lint-deps test-deps
	$(call say,FORMAT,sources)
	$(Q)clang-format --dry-run -Werror $(C_AND_H_FILES)
	$(call say,SPELL,sources)
	$(Q)git ls-files | grep -v LICENSE | xargs codespell
	$(call say,CPPCHECK,sources)
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr \
		--enable=warning,portability,performance $(addprefix --suppress=,$(CPPCHECK_BLIND)) \
		-j$(shell nproc) -D_GNU_SOURCE -D__x86_64__ -I. $(C_FILES)
	$(call say,TIDY,sources)
	$(Q)printf '%s\n' $(C_FILES) | xargs -P$(shell nproc) -n1 sh -c \
		'clang-tidy --quiet --warnings-as-errors="*" "$$1" -- $(BASE_CFLAGS) -I$(B)/gen $(PKG_CFLAGS) 2>/dev/null' tidy

clean:
	$(Q)rm -rf build

.PHONY: all clean install deps build-deps demo-deps test-deps lint-deps lint
.SECONDARY: $(GEN)
-include $(LIB_OBJ:.o=.d) $(B)/criu-like/thaw.d $(UNIT:$(B)/%=$(B)/tests/%.d) $(B)/tests/faults/inside.d \
	$(addsuffix .d,$(PROGRAMS) $(TOOLS) $(B)/faults/inject)
