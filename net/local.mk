noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	net/addr.c net/addr.h net/tls.c \
	net/certname.c net/certname.h \
	net/close_tbl.h \
	net/conn.c net/conn.h net/conn_private.h \
	net/dial.c net/dial.h \
	net/idle.c net/idle.h \
	net/intake.c \
	net/limit.c net/limit.h \
	net/memory.c net/memory.h \
	net/naptr.c net/naptr.h \
	net/pump.c net/pump.h net/pump_link.c net/pump_private.h net/pump_proto.h \
	net/sipframe.c net/sipframe.h \
	net/listener.c net/listener.h \
	net/reach.c net/reach.h \
	net/resolve.c net/resolve.h \
	net/resume.c net/resume.h \
	net/sipcheck.c net/sipcheck.h \
	net/sniff.c net/sniff.h \
	net/srv.c net/srv.h \
	net/tls.h \
	net/txq.c net/txq.h \
	net/worker.c net/worker.h \
	net/ws.c net/ws.h \
	net/wshand.c net/wshand.h \
	net/wsread.c net/wsread.h
NET_LIBS = libnet.a $(COMMON_LIBS) $(CARES_LIBS) $(WSLAY_LIBS)
