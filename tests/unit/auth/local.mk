check_PROGRAMS += unit-auth
unit_auth_SOURCES = tests/unit/auth/main.c tests/unit/auth/test_digest.c tests/unit/auth/test_nonce.c \
	tests/unit/auth/test_authn.c
unit_auth_LDADD = $(UNIT_LIBS) $(AUTH_LIBS)
