noinst_LIBRARIES += libharness.a
libharness_a_SOURCES = tests/unit/harness.c tests/unit/harness.h
UNIT_LIBS = libharness.a $(CUNIT_LIBS)
EXTRA_DIST += tests/flow tests/lib tests/e2e tests/sip

if HAVE_CUNIT
include tests/unit/common/local.mk
include tests/unit/net/local.mk
include tests/unit/db/local.mk
include tests/unit/auth/local.mk
include tests/unit/script/local.mk
include tests/unit/msrp/local.mk
include tests/unit/sip/local.mk
include tests/unit/ctl/local.mk
include tests/unit/client/local.mk
endif
include tests/faults/local.mk
