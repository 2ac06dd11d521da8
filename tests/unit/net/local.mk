check_PROGRAMS += unit-net
unit_net_SOURCES = tests/unit/net/main.c tests/unit/net/certs.c tests/unit/net/certs.h tests/unit/net/tlsends.c tests/unit/net/tlsends.h \
	tests/unit/net/test_addr.c tests/unit/net/test_conn.c tests/unit/net/test_dial.c tests/unit/net/test_limit.c tests/unit/net/test_resolve.c \
	tests/unit/net/test_sniff.c tests/unit/net/test_tls.c tests/unit/net/test_tls_policy.c tests/unit/net/test_tls_verify.c tests/unit/net/test_ws.c tests/unit/net/test_wshand.c
unit_net_LDADD = $(UNIT_LIBS) $(NET_LIBS)
