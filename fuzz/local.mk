## Fuzz targets. Without --enable-fuzzing each one replays its corpus in `make check`.
if FUZZING
TD_FUZZ_MAIN =
TD_FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
TD_FUZZ_MAIN = fuzz/replay_main.c
TD_FUZZ_LINK = $(AM_LDFLAGS)
endif
fuzz_targets =
check_PROGRAMS += $(fuzz_targets)
EXTRA_DIST += fuzz/corpus fuzz/fuzz.h

fuzz_targets += fuzz-addr
fuzz_addr_SOURCES = fuzz/fuzz_addr.c $(TD_FUZZ_MAIN)
fuzz_addr_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_addr_LDADD = $(NET_LIBS)

fuzz_targets += fuzz-conf
fuzz_conf_SOURCES = fuzz/fuzz_conf.c $(TD_FUZZ_MAIN)
fuzz_conf_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_conf_LDADD = $(COMMON_LIBS)

fuzz_targets += fuzz-digest
fuzz_digest_SOURCES = fuzz/fuzz_digest.c $(TD_FUZZ_MAIN)
fuzz_digest_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_digest_LDADD = $(AUTH_LIBS)

fuzz_targets += fuzz-frame
fuzz_frame_SOURCES = fuzz/fuzz_frame.c $(TD_FUZZ_MAIN)
fuzz_frame_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_frame_LDADD = $(MSRP_LIBS)

fuzz_targets += fuzz-pv
fuzz_pv_SOURCES = fuzz/fuzz_pv.c $(TD_FUZZ_MAIN)
fuzz_pv_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_pv_LDADD = $(SCRIPT_LIBS)

fuzz_targets += fuzz-rpc
fuzz_rpc_SOURCES = fuzz/fuzz_rpc.c $(TD_FUZZ_MAIN)
fuzz_rpc_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_rpc_LDADD = $(CTL_LIBS)

fuzz_targets += fuzz-sipframe
fuzz_sipframe_SOURCES = fuzz/fuzz_sipframe.c $(TD_FUZZ_MAIN)
fuzz_sipframe_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_sipframe_LDADD = $(NET_LIBS)

fuzz_targets += fuzz-sniff
fuzz_sniff_SOURCES = fuzz/fuzz_sniff.c $(TD_FUZZ_MAIN)
fuzz_sniff_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_sniff_LDADD = $(NET_LIBS)

fuzz_targets += fuzz-uri
fuzz_uri_SOURCES = fuzz/fuzz_uri.c $(TD_FUZZ_MAIN)
fuzz_uri_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_uri_LDADD = $(MSRP_LIBS)

## For scripts/fuzz-smoke.
.PHONY: print-fuzz
print-fuzz:
	@echo $(fuzz_targets)
