# SPDX-License-Identifier: GPL-2.0-only
#
# tests/unit/NAME_test.c is a cmocka program, linked with the library; tests/programs/NAME.c is a program to be dumped:
# it stands alone, is never sanitized, and may name flags for its linking in a line `/* ldflags: -static */`.

UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
PROGRAMS := $(patsubst tests/programs/%.c,$(B)/programs/%,$(wildcard tests/programs/*.c))
TOOLS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
comma := ,
FAULTS := $(B)/faults/inject $(B)/faults/thaw-inside
PROGRAM_CFLAGS := -std=gnu17 -D_GNU_SOURCE -I. -pthread $(WARN) -Wno-unused-function -O1 -g
ldflags = $(shell sed -n 's,^/\* ldflags: \(.*\) \*/$$,\1,p' $(1))

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/libthaw.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka
$(UNIT:$(B)/unit/%=$(B)/tests/unit/%.o): | test-deps

$(B)/programs/%: tests/programs/%.c | build-deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(call ldflags,$<)

$(TOOLS): $(B)/bench/%: tests/bench/%.c | build-deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -O2 -MMD -MP -MF $@.d -o $@ $<

# What makes system calls fail: those of a command, and those that it has other tasks make.
$(B)/faults/inject: tests/faults/inject.c | build-deps
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(PROGRAM_CFLAGS) -MMD -MP -MF $@.d -o $@ $<

WRAPPED := inject_write inject_read tracee_start_list tracee_syscall
$(B)/faults/thaw-inside: $(B)/criu-like/thaw.o $(B)/tests/faults/inside.o $(B)/libthaw.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(addprefix -Wl$(comma)--wrap=,$(WRAPPED)) -o $@ $^ $(PKG_LIBS)

# Changes images, for tests/fuzz/images.
$(B)/fuzz/mutate: $(B)/tests/fuzz/mutate.o $(B)/libthaw.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

tests: $(B)/thaw $(FAULTS) $(UNIT) $(PROGRAMS) $(TOOLS) $(B)/fuzz/mutate | test-deps

# The peer is for the tests that compare; they are skipped where it cannot be had.
check: all tests
	@tests/interop/get-criu || test $$? = 77
	@tests/run --build $(B) $(T)

demo: $(B)/thaw | demo-deps
	@tests/demo --build $(B)

bench: all tests
	@$(B)/bench/limits
	@tests/bench/lazy --build $(B)
	@tests/bench/working_set --build $(B)
	@unshare --pid --fork --mount-proc tests/bench/state --build $(B)
	@tests/bench/copies --build $(B)

.PHONY: tests check demo bench
.SECONDARY: $(B)/tests/fuzz/mutate.o $(UNIT:$(B)/unit/%=$(B)/tests/unit/%.o)
