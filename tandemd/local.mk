noinst_LIBRARIES += libtandemd.a
libtandemd_a_SOURCES = \
	tandemd/backend.c \
	tandemd/edge.c tandemd/edge.h tandemd/edge_private.h \
	tandemd/handover.c tandemd/handover.h \
	tandemd/observer.c tandemd/observer.h \
	tandemd/privileges.c tandemd/privileges.h \
	tandemd/reload.c \
	tandemd/scripts.c tandemd/scripts.h \
	tandemd/sipproc.c tandemd/sipproc.h \
	tandemd/versions.c tandemd/versions.h

sbin_PROGRAMS += bin/tandemd
bin_tandemd_SOURCES = tandemd/main.c
bin_tandemd_LDADD = libtandemd.a $(SIP_LIBS) $(CTL_LIBS) $(MSRP_LIBS) $(SCRIPT_LIBS) $(AUTH_LIBS) $(DB_LIBS) $(NET_LIBS)
