noinst_LIBRARIES += libmsrp.a
libmsrp_a_SOURCES = \
	msrp/frame.c msrp/frame.h \
	msrp/uri.c msrp/uri.h
MSRP_LIBS = libmsrp.a $(AUTH_LIBS) $(NET_LIBS)
