check_PROGRAMS += unit-ctl
unit_ctl_SOURCES = tests/unit/ctl/main.c tests/unit/ctl/fake.c tests/unit/ctl/fake.h \
	tests/unit/ctl/test_rpc.c tests/unit/ctl/test_show.c tests/unit/ctl/test_tandemctl.c
unit_ctl_LDADD = $(UNIT_LIBS) $(CTL_LIBS)
## test_tandemctl.c runs it
check: bin/tandemctl$(EXEEXT)
