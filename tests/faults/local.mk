## A program that tests/e2e drives; it is no test by itself.
noinst_PROGRAMS += bin/relay-faults
bin_relay_faults_SOURCES = \
	tests/faults/main.c \
	tests/faults/end.c tests/faults/end.h \
	tests/faults/ledger.c tests/faults/ledger.h \
	tests/faults/proxy.c tests/faults/proxy.h \
	tests/faults/script.c tests/faults/script.h
bin_relay_faults_LDADD = $(CLIENT_LIBS)
