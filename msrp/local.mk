noinst_LIBRARIES += libmsrp.a
libmsrp_a_SOURCES = \
	msrp/auth.c \
	msrp/binding.c \
	msrp/cross.c \
	msrp/emit.h \
	msrp/flow.c \
	msrp/frame.c msrp/frame.h \
	msrp/hop.c \
	msrp/peer.c \
	msrp/policy.c \
	msrp/private.h \
	msrp/proto.c \
	msrp/relay.c msrp/relay.h \
	msrp/report.c msrp/status_tbl.h \
	msrp/route.c \
	msrp/script.c msrp/script.h msrp/script_dst.c msrp/script_ksr.c msrp/script_private.h msrp/script_pv.c msrp/script_tbl.h \
	msrp/session.c msrp/session.h msrp/session_private.h \
	msrp/shared.c \
	msrp/stream.c msrp/stream.h \
	msrp/token.c \
	msrp/txn.c msrp/txn.h \
	msrp/uri.c msrp/uri.h
MSRP_LIBS = libmsrp.a $(SCRIPT_LIBS) $(AUTH_LIBS) $(NET_LIBS)
