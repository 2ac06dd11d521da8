msrp_rig_sources = \
	tests/unit/msrp/rig.c tests/unit/msrp/rig.h \
	tests/unit/msrp/test_bounds.c \
	tests/unit/msrp/test_ends.c \
	tests/unit/msrp/test_failure.c \
	tests/unit/msrp/test_ahead.c \
	tests/unit/msrp/test_fair.c \
	tests/unit/msrp/test_flow.c \
	tests/unit/msrp/test_limits.c \
	tests/unit/msrp/test_forward.c \
	tests/unit/msrp/test_account.c \
	tests/unit/msrp/test_policy.c \
	tests/unit/msrp/test_inner.c \
	tests/unit/msrp/test_relays.c \
	tests/unit/msrp/test_resume.c \
	tests/unit/msrp/script_case_tbl.h tests/unit/msrp/script_rig.h tests/unit/msrp/test_script.c tests/unit/msrp/test_script_sessions.c tests/unit/msrp/test_script_waits.c \
	tests/unit/msrp/test_room.c \
	tests/unit/msrp/test_session.c \
	tests/unit/msrp/test_soak.c \
	tests/unit/msrp/test_stream.c \
	tests/unit/msrp/test_table.c \
	tests/unit/net/certs.c tests/unit/net/certs.h

check_PROGRAMS += unit-msrp
unit_msrp_SOURCES = \
	tests/unit/msrp/main.c \
	tests/unit/msrp/test_body.c \
	tests/unit/msrp/test_head.c \
	tests/unit/msrp/test_uri.c \
	$(msrp_rig_sources)
unit_msrp_LDADD = $(UNIT_LIBS) $(MSRP_LIBS) $(GNUTLS_LIBS)

## The same relay tests with the two clients on two workers.
check_PROGRAMS += unit-msrp-cross
unit_msrp_cross_SOURCES = tests/unit/msrp/main_cross.c tests/unit/msrp/test_cross.c $(msrp_rig_sources)
unit_msrp_cross_CPPFLAGS = $(AM_CPPFLAGS) -DRIG_WORKERS=2
unit_msrp_cross_LDADD = $(UNIT_LIBS) $(MSRP_LIBS) $(GNUTLS_LIBS)
unit_msrp_cross_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc -Wl,--wrap=realloc -Wl,--wrap=calloc
