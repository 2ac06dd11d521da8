## The configuration is installed once and never over one that is there.
EXTRA_DIST += etc/tandem.ini etc/tandem.service.in etc/tandem.sysusers etc/examples
CLEANFILES += etc/tandem.service
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = etc/tandem.service
sysusersdir = $(prefix)/lib/sysusers.d
tandemconfdir = $(sysconfdir)/tandem

etc/tandem.service: etc/tandem.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && $(PATHS_SED) $(top_srcdir)/etc/tandem.service.in > $@.tmp && mv $@.tmp $@

install-data-local:
	$(MKDIR_P) $(DESTDIR)$(tandemconfdir) $(DESTDIR)$(sysusersdir)
	test -e $(DESTDIR)$(tandemconfdir)/tandem.ini || \
		$(INSTALL_DATA) $(top_srcdir)/etc/tandem.ini $(DESTDIR)$(tandemconfdir)/tandem.ini
	$(INSTALL_DATA) $(top_srcdir)/etc/tandem.sysusers $(DESTDIR)$(sysusersdir)/tandem.conf

## What was changed after it was installed stays.
uninstall-local:
	rm -f $(DESTDIR)$(sysusersdir)/tandem.conf
	if cmp -s $(top_srcdir)/etc/tandem.ini $(DESTDIR)$(tandemconfdir)/tandem.ini; then \
		rm -f $(DESTDIR)$(tandemconfdir)/tandem.ini; fi
