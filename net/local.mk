noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	net/addr.c net/addr.h \
	net/close_tbl.h \
	net/worker.h net/conn.h net/listener.h net/tls.h net/limit.h net/dial.h net/resolve.h
NET_LIBS = libnet.a $(COMMON_LIBS) $(CARES_LIBS)
