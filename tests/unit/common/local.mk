check_PROGRAMS += unit-common
unit_common_SOURCES = tests/unit/common/main.c tests/unit/common/test_sv.c tests/unit/common/test_wheel.c \
	tests/unit/common/test_ring.c tests/unit/common/test_hash.c tests/unit/common/test_loop.c tests/unit/common/test_conf.c tests/unit/common/test_utf8.c
unit_common_LDADD = $(UNIT_LIBS) $(COMMON_LIBS)
