noinst_LIBRARIES += libauth.a
libauth_a_SOURCES = \
	auth/authn.c auth/authn.h \
	auth/digest.c auth/digest.h \
	auth/nonce.c auth/nonce.h \
	auth/scheme.c auth/scheme.h \
	auth/claim.c auth/claim.h
AUTH_LIBS = libauth.a $(DB_LIBS) $(SOFIA_LIBS)
