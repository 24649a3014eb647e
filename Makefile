# SPDX-License-Identifier: Apache-2.0
# hull: GNU make, no configure; what the kernel can do is probed at run time. `make help` lists the goals.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
B       ?= build
ifeq ($(origin CC),default)
CC      := gcc
endif
comma   := ,
CLANG   ?= clang
V       ?= 0
Q       := $(if $(filter 0,$(V)),@,)
say      = $(if $(filter 0,$(V)),@printf '  %-7s %s\n' '$(1)' '$(2)',@:)

FOLDERS := base sys fmt io mem blk net fs virtio engine engine/kvm engine/bt engine/bt/space store iso container vm runtime api cmd
SRC     := $(wildcard $(FOLDERS:%=src/%/*.c))
TESTSRC := $(filter %_test.c,$(SRC))
FUZZSRC := $(filter %_fuzz.c,$(SRC))
# What runs without libc: the program of the bt engine's space processes; hull carries it inside.
BARE    := src/engine/bt/space/start.c src/engine/bt/space/bare.c
SPACE   := $(B)/space/space
SPACEOBJ := $(patsubst src/%.c,$(B)/space/%.o,$(filter-out %_test.c %_fuzz.c %_bench.c,$(wildcard src/engine/bt/space/*.c)) src/fmt/x86.c)
LIBSRC  := $(filter-out $(TESTSRC) $(FUZZSRC) $(BARE) src/cmd/main.c src/cmd/static.c src/cmd/entry.c,$(SRC))
OBJ     := $(LIBSRC:src/%.c=$(B)/obj/%.o)
TESTS   := $(TESTSRC:src/%.c=$(B)/test/%)
TESTOBJ := $(TESTSRC:src/%.c=$(B)/obj/%.o)
FUZZOBJ := $(FUZZSRC:src/%.c=$(B)/obj/%.o)
FUZZERS := $(FUZZSRC:src/%_fuzz.c=$(B)/run/%)
# Guests of the tests: one program each, and those that only one boot protocol can start.
GUESTS  := $(patsubst tests/guest/%.c,$(B)/guest/%,$(wildcard tests/guest/*.c)) \
	   $(addprefix $(B)/guest/,entry-linux64 entry-multiboot)
GUESTLIB := $(patsubst tests/guest/%.c,$(B)/guest/obj/%.o,$(wildcard tests/guest/lib/*.c))
GUESTASM := $(patsubst tests/guest/%.S,$(B)/guest/obj/%.o,$(filter-out %/start.S,$(wildcard tests/guest/lib/*.S)))

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wvla -Wimplicit-fallthrough -Wstrict-prototypes -Wmissing-prototypes -Werror
CPPFLAGS += -iquote src -iquote include -iquote $(B) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DHULL_VERSION='"$(VERSION)"' \
	    -DOPENSSL_SUPPRESS_DEPRECATED
ALL_CFLAGS = -std=gnu17 $(WARN) -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections -MMD -MP \
	     $(CPPFLAGS) $(CFLAGS) $(EXTRA)
LIBS    := -lseccomp -ljansson -lsqlite3 -lcrypto -lzstd -lz -llzma -llz4 -lm
LINK    ?= -static-pie
STATIC  := $(filter -static%,$(LINK))
MAINOBJ := $(B)/obj/cmd/main.o $(if $(STATIC),$(B)/obj/cmd/static.o $(B)/obj/cmd/entry.o)
ALL_LDFLAGS = -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS) $(EXTRA)

.PHONY: all run check unit e2e guests lint asan tsan fuzz fuzzers bench install deps test-deps layers format clean help
.DELETE_ON_ERROR:

all: $(B)/hull  ## build/hull

# What the OCI runtime runs through comes first, with the libc it needs, so that it shares pages: its peak memory is mostly that.
HOT     := $(MAINOBJ) $(patsubst src/%.c,$(B)/obj/%.o,$(filter src/base/% src/sys/% src/fmt/json% src/fmt/oci% \
	   src/container/% src/cmd/oci% src/cmd/opt.c,$(LIBSRC)))

# libc's functions chosen by processor are resolved at start, each a page touched; these would be the only ones far away.
NEAR    := $(foreach f,memrchr strcat wcschr wcscpy wmemcmp exp log,-Wl,-u,$(f))
WRAP    := $(foreach f,dlopen OPENSSL_cpuid_setup SHA256_Init SHA512_Init,-Wl,--wrap=$(f))
STATICF := $(if $(STATIC),-Wl$(comma)-e$(comma)hull_entry $(WRAP) -Wl$(comma)-z$(comma)pack-relative-relocs $(NEAR))

$(B)/hull: $(HOT) $(OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LINK) $(ALL_LDFLAGS) $(STATICF) -o $@ $(HOT) -lcrypto -lm -lc $(filter-out $(HOT),$(OBJ)) $(LIBS)
	$(Q)ln -sf hull $(B)/hull-oci

$(B)/libhull.a: $(OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/obj/%.o: src/%.c | $(B)/.deps
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(TESTS): $(B)/test/%: $(B)/obj/%.o $(B)/libhull.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -pie -o $@ $^ -lcmocka $(LIBS)

# another decoder, for its test alone
$(B)/test/fmt/x86_test: LIBS += -lZydis

$(FUZZERS): $(B)/run/%: $(B)/obj/%_fuzz.o $(B)/libhull.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

GUEST_CFLAGS := -std=gnu17 $(WARN) -O2 -ffreestanding -fno-pic -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-strict-aliasing \
	-fno-builtin -MMD -MP -iquote tests/guest/lib
start-entry-linux64 := -DWITHOUT_PVH -DWITHOUT_MULTIBOOT
start-entry-multiboot := -DWITHOUT_PVH

$(B)/guest/obj/%.o: tests/guest/%.c | $(B)/.deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(B)/guest/obj/%.o: tests/guest/%.S | $(B)/.deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -c -o $@ $<

$(GUESTS): $(B)/guest/%: tests/guest/lib/start.S tests/guest/lib/guest.ld $(GUESTLIB) $(GUESTASM)
	$(call say,GUEST,$@)
	$(Q)$(CC) $(GUEST_CFLAGS) $(start-$*) -static -nostdlib -no-pie -Wl,--build-id=none -Wl,--no-warn-rwx-segments \
	    -Wl,-T,tests/guest/lib/guest.ld -o $@ tests/guest/lib/start.S $(filter %.o,$^)

$(filter-out %-linux64 %-multiboot,$(GUESTS)): $(B)/guest/%: $(B)/guest/obj/%.o
$(B)/guest/entry-linux64 $(B)/guest/entry-multiboot: $(B)/guest/obj/entry.o

SPACE_CFLAGS := -std=gnu17 $(WARN) -O2 -g -ffreestanding -fno-pic -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-strict-aliasing \
	-ffunction-sections -fdata-sections -MMD -MP -iquote src -D_GNU_SOURCE

$(B)/space/%.o: src/%.c | $(B)/.deps
	$(call say,SPACE,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SPACE_CFLAGS) -c -o $@ $<

$(SPACE): $(SPACEOBJ)
	$(Q)$(CC) -static -nostdlib -no-pie -Wl,--build-id=none -Wl,--gc-sections -Wl,-z,noexecstack -Wl,-z,norelro \
	    -Wl,-Ttext-segment=0x70000000 -o $@ $^

# without symbols: what hull carries
$(B)/space/program: $(SPACE)
	$(Q)objcopy --strip-all $< $@

$(B)/gen/space.h: $(B)/space/program
	@mkdir -p $(@D)
	$(Q)echo '#define HULL_SPACE "$<"' >$@
$(B)/obj/engine/bt/spawn.o: $(B)/gen/space.h

guests: $(GUESTS)  ## what the tests run in machines

$(B)/.deps: tools/deps
	$(Q)mkdir -p $(B) && tools/deps build && touch $@

$(B)/.test-deps: tools/deps | $(B)/.deps
	$(Q)tools/deps test && touch $@

$(TESTOBJ): | $(B)/.test-deps

-include $(wildcard $(B)/guest/obj/*.d $(B)/guest/obj/lib/*.d)
-include $(SPACEOBJ:.o=.d)
-include $(OBJ:.o=.d) $(MAINOBJ:.o=.d) $(TESTOBJ:.o=.d) $(FUZZOBJ:.o=.d)

# which system calls a machine's threads may make: from the comments at the code that makes them
$(B)/gen/syscalls.h: tools/syscalls $(LIBSRC)
	@mkdir -p $(@D)
	$(Q)tools/syscalls $(LIBSRC) >$@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/obj/vm/jail.o: $(B)/gen/syscalls.h

# Else the linker takes "root" for the end of somebody else's "open the root", far from what uses it: a window of pages more, and more.
$(HOT): EXTRA += -fno-merge-constants

# before libc is up: nothing that needs it
$(B)/obj/cmd/entry.o: EXTRA += -O2 -ffreestanding -fno-stack-protector -fno-tree-loop-distribute-patterns

run: all  ## build the example image, run it as a container, say how long it took
	$(Q)tools/run-example $(B)/hull

check: $(B)/.test-deps all $(SPACE) layers $(TESTS) $(GUESTS)  ## every test; the last line counts them
	$(Q)tools/check $(B) $(TESTS)

unit: $(B)/.test-deps $(TESTS)  ## unit tests only
	$(Q)tools/check $(B) --no-e2e $(TESTS)

e2e: $(B)/.test-deps all $(GUESTS)  ## end-to-end tests only; FILES=tests/e2e/x.bats picks some
	$(Q)tools/check $(B) --e2e $(FILES)

layers:  ## no file includes a higher floor
	$(Q)tools/layers

lint: $(B)/.test-deps  ## clang-format, clang-tidy, cppcheck, shellcheck
	$(Q)tools/lint

asan: $(B)/.test-deps  ## the unit and end-to-end tests under AddressSanitizer and UBSan
	$(Q)$(MAKE) --no-print-directory B=$(B)/asan LINK=-pie CFLAGS='-O1 -g' \
	    EXTRA='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
	    -Wno-format-truncation' check

# The unit tests in which threads run: their own, or those of what they test.
THREADED := engine/engine fs/share net/user store/ahead store/archive store/faults store/layer store/layer_read store/store store/unpack \
	    store/untar virtio/vfs virtio/vsock vm/debugger vm/hotplug vm/machine vm/snapshot

tsan: $(B)/.test-deps  ## the unit tests that start threads, under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory B=$(B)/tsan LINK=-pie CFLAGS='-O1 -g' \
	    EXTRA='-fsanitize=thread -fno-omit-frame-pointer -Wno-format-truncation -Wno-tsan' \
	    TESTS='$(THREADED:%=$(B)/tsan/test/%_test)' unit

fuzz: $(B)/.test-deps  ## each parser's fuzz target for FUZZ_SECONDS (10)
	$(Q)$(MAKE) --no-print-directory B=$(B)/fuzz CC=$(CLANG) CFLAGS='-O1 -g' \
	    EXTRA='-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined \
	    -Wno-gnu-variable-sized-type-not-at-end -Wno-c2x-extensions' fuzzers
	$(Q)tools/fuzz $(FUZZSRC:src/%_fuzz.c=$(B)/fuzz/run/%)

fuzzers: $(FUZZERS)

bench: $(B)/.test-deps all guests  ## measure against runc, crun, podman, docker, QEMU; writes docs/performance.md
	$(Q)tools/deps bench
	$(Q)bench/run $(B)/hull
	$(Q)bench/vm $(B)
	$(Q)bench/bt $(B)

install: all  ## into $(DESTDIR)$(PREFIX)
	$(Q)tools/install $(B) '$(DESTDIR)' '$(PREFIX)'

deps:  ## Debian packages the build needs
	$(Q)tools/deps build

test-deps:  ## Debian packages the tests, bench and lint need
	$(Q)tools/deps build test

format:  ## clang-format in place
	$(Q)clang-format -i $(SRC) $(wildcard $(FOLDERS:%=src/%/*.h))

clean:  ## remove build/
	$(Q)rm -rf $(B)

help:  ## this list
	$(Q)grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12
