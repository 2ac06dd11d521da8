## The pages are made by sed from *.in: paths, and the tables of options and methods.
MAN_PAGES = man/tandemd.8 man/tandemctl.8 man/tandem.ini.5 man/tandem-script.7
man_MANS = $(MAN_PAGES)
dist_man_MANS += man/msrpcat.1 man/msrpbench.1
EXTRA_DIST += man/tandemd.8.in man/tandemctl.8.in man/tandem.ini.5.in man/tandem-script.7.in man/check-man.sh
MAN_TABLES = man/options.mdoc man/methods.mdoc man/functions.mdoc man/variables.mdoc man/transformations.mdoc man/sandbox.mdoc man/closings.mdoc
CLEANFILES += $(MAN_PAGES) $(MAN_TABLES)

noinst_PROGRAMS += man/tables
man_tables_SOURCES = man/tables.c tests/sip/script_case_tbl.h

$(MAN_TABLES): man/tables$(EXEEXT)
	$(AM_V_GEN)man/tables$(EXEEXT) `basename $@ .mdoc` > $@.tmp && mv $@.tmp $@

PATHS_SED = $(SED) -e 's|@sysconfdir[@]|$(sysconfdir)|g' -e 's|@localstatedir[@]|$(localstatedir)|g' \
	-e 's|@runstatedir[@]|$(runstatedir)|g' -e 's|@sbindir[@]|$(sbindir)|g'

man/tandem.ini.5: man/tandem.ini.5.in man/options.mdoc
	$(AM_V_GEN)$(PATHS_SED) -e '/^@OPTIONS[@]/{r man/options.mdoc' -e 'd;}' $(top_srcdir)/man/tandem.ini.5.in > $@.tmp && mv $@.tmp $@
man/tandemctl.8: man/tandemctl.8.in man/methods.mdoc
	$(AM_V_GEN)$(PATHS_SED) -e '/^@METHODS[@]/{r man/methods.mdoc' -e 'd;}' $(top_srcdir)/man/tandemctl.8.in > $@.tmp && mv $@.tmp $@
man/tandem-script.7: man/tandem-script.7.in $(MAN_TABLES)
	$(AM_V_GEN)$(PATHS_SED) -e '/^@FUNCTIONS[@]/{r man/functions.mdoc' -e 'd;}' -e '/^@VARIABLES[@]/{r man/variables.mdoc' -e 'd;}' \
		-e '/^@TRANSFORMATIONS[@]/{r man/transformations.mdoc' -e 'd;}' -e '/^@SANDBOX[@]/{r man/sandbox.mdoc' -e 'd;}' \
		$(top_srcdir)/man/tandem-script.7.in > $@.tmp && mv $@.tmp $@
man/tandemd.8: man/tandemd.8.in man/closings.mdoc
	$(AM_V_GEN)$(PATHS_SED) -e '/^@CLOSE_REASONS[@]/{r man/closings.mdoc' -e 'd;}' $(top_srcdir)/man/tandemd.8.in > $@.tmp && mv $@.tmp $@

check_SCRIPTS = man/check-man
CLEANFILES += man/check-man
TESTS += man/check-man
man/check-man: man/check-man.sh $(MAN_PAGES)
	$(AM_V_GEN)cp $(top_srcdir)/man/check-man.sh $@ && chmod +x $@
