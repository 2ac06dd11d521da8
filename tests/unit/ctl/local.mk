check_PROGRAMS += unit-ctl
unit_ctl_SOURCES = tests/unit/ctl/main.c tests/unit/ctl/test_rpc.c tests/unit/ctl/test_show.c
unit_ctl_LDADD = $(UNIT_LIBS) $(CTL_LIBS)
