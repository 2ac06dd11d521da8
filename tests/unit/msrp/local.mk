check_PROGRAMS += unit-msrp
unit_msrp_SOURCES = tests/unit/msrp/main.c tests/unit/msrp/test_uri.c tests/unit/msrp/test_head.c tests/unit/msrp/test_body.c
unit_msrp_LDADD = $(UNIT_LIBS) $(MSRP_LIBS)
