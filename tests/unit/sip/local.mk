check_PROGRAMS += unit-sip
unit_sip_SOURCES = tests/unit/sip/main.c tests/unit/sip/test_clock.c tests/unit/sip/test_later.c tests/unit/sip/test_locate.c tests/unit/sip/test_location.c tests/unit/sip/test_mark.c tests/unit/sip/test_overload.c tests/unit/sip/test_pump.c \
	tests/unit/sip/test_sipcheck.c tests/unit/sip/test_sipframe.c tests/unit/sip/test_uri.c
unit_sip_LDADD = $(UNIT_LIBS) $(SIP_LIBS)
