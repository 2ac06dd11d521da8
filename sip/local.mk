noinst_LIBRARIES += libsip.a
libsip_a_SOURCES = \
	sip/account.c sip/account.h \
	sip/answered.c sip/answered.h \
	sip/clock.c sip/clock.h \
	sip/datagram.c sip/datagram.h \
	sip/display.c sip/display.h \
	sip/dns.c sip/dns.h \
	sip/errand.c sip/errand.h \
	sip/flow.c sip/flow.h \
	sip/fork.c sip/fork.h \
	sip/forward.c sip/forward.h \
	sip/hop.c sip/hop.h \
	sip/later.c sip/later.h \
	sip/locate.c sip/locate.h \
	sip/location.c sip/location.h \
	sip/mark.c sip/mark.h \
	sip/method.c sip/method.h \
	sip/overload.c sip/overload.h \
	sip/process.c sip/process.h \
	sip/rank.c sip/rank.h \
	sip/registrar.c sip/registrar.h \
	sip/request.c sip/request.h \
	sip/script.c sip/script.h sip/script_ksr.c sip/script_private.h sip/script_pv.c sip/script_tbl.h sip/script_user.c \
	sip/sipd.h sip/sofia.h \
	sip/stack.c sip/stack.h \
	sip/undelivered.c sip/undelivered.h \
	sip/uri.c sip/uri.h \
	sip/step_auth.c sip/step_cancel.c sip/step_forward.c sip/step_locate.c sip/step_path.c sip/step_route.c sip/step_sanity.c
SIP_LIBS = libsip.a $(SCRIPT_LIBS) $(AUTH_LIBS) $(DB_LIBS) $(NET_LIBS) $(SOFIA_LIBS)
