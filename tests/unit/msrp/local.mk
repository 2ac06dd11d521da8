check_PROGRAMS += unit-msrp
unit_msrp_SOURCES = tests/unit/msrp/main.c tests/unit/msrp/rig.c tests/unit/msrp/rig.h tests/unit/msrp/test_uri.c \
	tests/unit/msrp/test_head.c tests/unit/msrp/test_body.c tests/unit/msrp/test_forward.c tests/unit/msrp/test_failure.c \
	tests/unit/msrp/test_stream.c
unit_msrp_LDADD = $(UNIT_LIBS) $(MSRP_LIBS)
