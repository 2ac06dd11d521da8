noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
	ctl/cmd_tbl.h \
	ctl/method.c \
	ctl/rpc.c ctl/rpc.h
CTL_LIBS = libctl.a $(DB_LIBS) $(NET_LIBS) $(JANSSON_LIBS)
