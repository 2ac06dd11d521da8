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

fuzz_targets += fuzz-challenge
fuzz_challenge_SOURCES = fuzz/fuzz_challenge.c $(TD_FUZZ_MAIN)
fuzz_challenge_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_challenge_LDADD = $(CLIENT_LIBS)

fuzz_targets += fuzz-conf
fuzz_conf_SOURCES = fuzz/fuzz_conf.c $(TD_FUZZ_MAIN)
fuzz_conf_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_conf_LDADD = $(COMMON_LIBS)

## The whole relay, with the system calls of net/ and of the loops, randomness, and who judges credentials, wrapped.
fuzz_targets += fuzz-conn
fuzz_conn_SOURCES = fuzz/fuzz_conn.c fuzz/oracle.c fuzz/oracle.h fuzz/wrapped_io.c fuzz/wrapped_io.h \
	fuzz/ws_peer.c fuzz/ws_peer.h $(TD_FUZZ_MAIN)
fuzz_conn_LDFLAGS = $(TD_FUZZ_LINK) \
	-Wl,--wrap=clock_gettime -Wl,--wrap=time -Wl,--wrap=epoll_create1 -Wl,--wrap=epoll_ctl -Wl,--wrap=epoll_wait \
	-Wl,--wrap=eventfd -Wl,--wrap=read -Wl,--wrap=write -Wl,--wrap=recv -Wl,--wrap=send -Wl,--wrap=sendmsg -Wl,--wrap=socket \
	-Wl,--wrap=connect -Wl,--wrap=getsockopt -Wl,--wrap=setsockopt -Wl,--wrap=getsockname -Wl,--wrap=shutdown \
	-Wl,--wrap=close -Wl,--wrap=crypto_random -Wl,--wrap=crypto_random_name \
	-Wl,--wrap=authn_msrp -Wl,--wrap=authn_cancel
fuzz_conn_LDADD = $(MSRP_LIBS) $(CLIENT_LIBS)

fuzz_targets += fuzz-digest
fuzz_digest_SOURCES = fuzz/fuzz_digest.c $(TD_FUZZ_MAIN)
fuzz_digest_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_digest_LDADD = $(AUTH_LIBS)

fuzz_targets += fuzz-dns
fuzz_dns_SOURCES = fuzz/fuzz_dns.c $(TD_FUZZ_MAIN)
fuzz_dns_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_dns_LDADD = $(NET_LIBS)

fuzz_targets += fuzz-frame
fuzz_frame_SOURCES = fuzz/fuzz_frame.c $(TD_FUZZ_MAIN)
fuzz_frame_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_frame_LDADD = $(MSRP_LIBS)

fuzz_targets += fuzz-mark
fuzz_mark_SOURCES = fuzz/fuzz_mark.c $(TD_FUZZ_MAIN)
fuzz_mark_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_mark_LDADD = $(SIP_LIBS)

fuzz_targets += fuzz-pattern
fuzz_pattern_SOURCES = fuzz/fuzz_pattern.c $(TD_FUZZ_MAIN)
fuzz_pattern_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_pattern_LDADD = $(SCRIPT_LIBS)

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

fuzz_targets += fuzz-wire
fuzz_wire_SOURCES = fuzz/fuzz_wire.c $(TD_FUZZ_MAIN)
fuzz_wire_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_wire_LDADD = $(MSRP_LIBS) $(CLIENT_LIBS)

fuzz_targets += fuzz-ws
fuzz_ws_SOURCES = fuzz/fuzz_ws.c $(TD_FUZZ_MAIN)
fuzz_ws_LDFLAGS = $(TD_FUZZ_LINK)
fuzz_ws_LDADD = $(NET_LIBS)

## For scripts/fuzz-smoke.
.PHONY: print-fuzz
print-fuzz:
	@echo $(fuzz_targets)
