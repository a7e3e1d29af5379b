# The C probe module. Included by the top-level Makefile: paths start at the repository.

ZM_CC ?= $(CC)
ZM_CLANG ?= clang
FUZZ_SECONDS ?= 30

ZM_OUT := build/zmap-module
ZM_CFLAGS := -std=c11 -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wcast-align -Wwrite-strings -Wvla -Werror -MMD -MP
# Where row/ finds the zmap_fields.h of the ZMap that it is built for.
ZM_CFLAGS += -Izmap-module/zmap211
ZM_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

ZM_WIRE := $(wildcard zmap-module/wire/*.c)
ZM_PLUGIN := $(wildcard zmap-module/zmap211/*.c)
ZM_ROW := zmap-module/row/row.c
ZM_TESTS := $(wildcard zmap-module/tests/*_test.c)
ZM_FUZZ := $(wildcard zmap-module/fuzz/fuzz_*.c)

ZM_SO_OBJECTS := $(patsubst zmap-module/%.c,$(ZM_OUT)/so/%.o,$(ZM_WIRE) $(ZM_ROW) $(ZM_PLUGIN))
# What unit tests link: what needs no ZMap.
ZM_TESTED := $(ZM_WIRE) $(ZM_ROW) zmap-module/zmap211/tx_ring.c
ZM_CHECK_OBJECTS := $(patsubst zmap-module/%.c,$(ZM_OUT)/check/%.o,$(ZM_TESTED) \
	zmap-module/tests/vector.c zmap-module/tests/sample.c zmap-module/tests/fieldset.c)
ZM_FUZZ_OBJECTS := $(patsubst zmap-module/%.c,$(ZM_OUT)/fuzz/%.o,$(ZM_WIRE) \
	zmap-module/tests/sample.c)
# Lets the Go tests compare pipeline/mptcp with the option walker.
ZM_WALK_OPTIONS := $(ZM_OUT)/check/tests/walk_options
ZM_TEST_PROGRAMS := $(patsubst zmap-module/%.c,$(ZM_OUT)/check/%,$(ZM_TESTS))
ZM_REPLAY_PROGRAMS := $(patsubst zmap-module/fuzz/%.c,$(ZM_OUT)/check/fuzz/%,$(ZM_FUZZ))
ZM_FUZZ_PROGRAMS := $(patsubst zmap-module/fuzz/%.c,$(ZM_OUT)/fuzz/fuzz/%,$(ZM_FUZZ))

bin/mptcp.so: $(ZM_SO_OBJECTS)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(ZM_CC) -shared -Wl,-z,relro -Wl,-z,noexecstack -Wl,-z,defs -o $@ $^ -ldl

bin/zmap-mptcp: zmap-module/zmap-mptcp
	@mkdir -p $(@D)
	install -m 755 $< $@

$(ZM_OUT)/so/%.o: zmap-module/%.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(ZM_CC) $(ZM_CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<

$(ZM_OUT)/check/%.o: zmap-module/%.c
	@mkdir -p $(@D)
	@echo "  CC  $< (sanitizers)"
	@$(ZM_CC) $(ZM_CFLAGS) $(ZM_SANITIZE) -c -o $@ $<

$(ZM_OUT)/fuzz/%.o: zmap-module/%.c
	@mkdir -p $(@D)
	@echo "  CC  $< (fuzzer)"
	@$(ZM_CLANG) $(ZM_CFLAGS) $(ZM_SANITIZE) -fsanitize=fuzzer-no-link -c -o $@ $<

$(ZM_TEST_PROGRAMS) $(ZM_WALK_OPTIONS): %: %.o $(ZM_CHECK_OBJECTS)
	@echo "  LD  $@"
	@$(ZM_CC) $(ZM_SANITIZE) -o $@ $^ -lm

$(ZM_REPLAY_PROGRAMS): %: %.o $(ZM_OUT)/check/fuzz/replay.o $(ZM_CHECK_OBJECTS)
	@echo "  LD  $@"
	@$(ZM_CC) $(ZM_SANITIZE) -o $@ $^ -lm

$(ZM_FUZZ_PROGRAMS): %: %.o $(ZM_FUZZ_OBJECTS)
	@echo "  LD  $@"
	@$(ZM_CLANG) $(ZM_SANITIZE) -fsanitize=fuzzer -o $@ $^

.PHONY: test-module fuzz-module format-module check-format-module
.SECONDARY:

test-module: bin/mptcp.so bin/zmap-mptcp $(ZM_TEST_PROGRAMS) $(ZM_WALK_OPTIONS) $(ZM_REPLAY_PROGRAMS) ## C unit tests, corpus replay and plug-in load tests
	@set -e; for test in $(ZM_TEST_PROGRAMS); do $$test; done
	@set -e; for replay in $(ZM_REPLAY_PROGRAMS); do \
		$$replay zmap-module/fuzz/corpus/$$(basename $$replay)/*; done
	@zmap-module/tests/plugin_test.sh bin
	@zmap-module/tests/sender_test.sh bin
	@zmap-module/tests/hostile_test.sh bin
	@zmap-module/tests/trace_test.sh bin
	@zmap-module/tests/add_to_zmap_test.sh
	@zmap-module/tests/zmap4_test.sh bin

fuzz-module: $(ZM_FUZZ_PROGRAMS) ## fuzz the C code, FUZZ_SECONDS for each target
	@set -e; for fuzz in $(ZM_FUZZ_PROGRAMS); do \
		corpus=zmap-module/fuzz/corpus/$$(basename $$fuzz); \
		mkdir -p $$fuzz.found; \
		$$fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=1600 -print_final_stats=1 \
			-artifact_prefix=$(ZM_OUT)/ $$fuzz.found $$corpus; done

# What bench_probe.sh loads into ZMap, and the writer of its targets.
ZM_BENCH := $(ZM_OUT)/so/bench
ZM_BENCH_PROGRAMS := $(ZM_BENCH)/make_packet.so $(ZM_BENCH)/write_targets

$(ZM_BENCH)/make_packet.so: $(ZM_BENCH)/make_packet.o
	@echo "  LD  $@"
	@$(ZM_CC) -shared -o $@ $^

$(ZM_BENCH)/write_targets: $(ZM_BENCH)/write_targets.o
	@echo "  LD  $@"
	@$(ZM_CC) -o $@ $^

ZM_FORMATTED := $(wildcard zmap-module/*/*.c zmap-module/*/*.h)

format-module:
	clang-format -i $(ZM_FORMATTED)

check-format-module:
	@clang-format --dry-run -Werror $(ZM_FORMATTED)

-include $(shell find $(ZM_OUT) -name '*.d' 2>/dev/null)
