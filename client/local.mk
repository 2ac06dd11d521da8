noinst_LIBRARIES += libclient.a
libclient_a_SOURCES = \
	client/digest.c client/digest.h \
	client/link.c client/link.h \
	client/msrp_auth.c \
	client/msrp_client.c client/msrp_client.h client/msrp_priv.h \
	client/msrp_out.c \
	client/sdp.c client/sdp.h \
	client/span.c client/span.h \
	client/trace.c client/trace.h \
	client/wire.c client/wire.h
CLIENT_LIBS = libclient.a libnet.a $(COMMON_LIBS)

bin_PROGRAMS += bin/msrpcat
bin_msrpcat_SOURCES = client/msrpcat.c client/cat_in.c client/cat_in.h client/cat_opts.c client/cat_opts.h \
	client/cat_out.c client/cat_out.h \
	client/sip_auth.c client/sip_auth.h client/sip_call.c client/sip_call.h
bin_msrpcat_LDADD = $(CLIENT_LIBS) $(SOFIA_LIBS)

bin_PROGRAMS += bin/msrpbench
bin_msrpbench_SOURCES = client/msrpbench.c client/procstat.c client/procstat.h
bin_msrpbench_LDADD = $(CLIENT_LIBS)
