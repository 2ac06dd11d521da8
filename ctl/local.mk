noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
	ctl/ask.c ctl/ask.h \
	ctl/cmd_tbl.h \
	ctl/method.c \
	ctl/rpc.c ctl/rpc.h \
	ctl/show.c ctl/show.h \
	ctl/table.c ctl/table.h
CTL_LIBS = libctl.a $(DB_LIBS) $(NET_LIBS) $(JANSSON_LIBS)

bin_PROGRAMS += bin/tandemctl
bin_tandemctl_SOURCES = ctl/ctl.h ctl/tandemctl.c ctl/user.c
bin_tandemctl_LDADD = $(CTL_LIBS)
