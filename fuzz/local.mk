## Fuzz targets. Without --enable-fuzzing each one replays its corpus in `make check`.
if FUZZING
TD_FUZZ_MAIN =
TD_FUZZ_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
else
TD_FUZZ_MAIN = fuzz/replay_main.c
TD_FUZZ_LDFLAGS = $(AM_LDFLAGS)
endif
fuzz_targets =
check_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += fuzz/corpus fuzz/fuzz.h

fuzz_targets += fuzz-addr
fuzz_addr_SOURCES = fuzz/fuzz_addr.c $(TD_FUZZ_MAIN)
fuzz_addr_LDFLAGS = $(TD_FUZZ_LDFLAGS)
fuzz_addr_LDADD = $(NET_LIBS)

## For scripts/fuzz-smoke.
.PHONY: print-fuzz
print-fuzz:
	@echo $(fuzz_targets)
