check_PROGRAMS += unit-client
unit_client_SOURCES = tests/unit/client/main.c tests/unit/client/test_wire.c tests/unit/client/test_digest.c \
	tests/unit/client/test_sdp.c tests/unit/client/test_span.c tests/unit/client/test_session.c \
	tests/unit/client/test_auth.c tests/unit/client/test_programs.c client/cat_in.c client/procstat.c
unit_client_LDADD = $(UNIT_LIBS) $(CLIENT_LIBS)
