noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/buf.c common/buf.h \
	common/conf.c common/conf.h common/conf_check.c common/conf_load.c common/conf_priv.h common/conf_tbl.h \
	common/crypto.c common/crypto.h \
	common/defs.h \
	common/err.c common/err.h common/err_tbl.h \
	common/hash.c common/hash.h \
	common/list.h \
	common/log.c common/log.h \
	common/loop.c common/loop.h \
	common/mailbox.c common/mailbox.h \
	common/ring.c common/ring.h \
	common/stats.c common/stats.h common/stats_tbl.h \
	common/sv.c common/sv.h \
	common/utf8.c common/utf8.h \
	common/wheel.c common/wheel.h
COMMON_LIBS = libcommon.a $(GNUTLS_LIBS) $(INIH_LIBS) $(SYSTEMD_LIBS)
