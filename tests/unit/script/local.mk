check_PROGRAMS += unit-script
unit_script_SOURCES = tests/unit/script/main.c tests/unit/script/case_tbl.h tests/unit/script/scripts.c tests/unit/script/scripts.h \
	tests/unit/script/test_cases.c tests/unit/script/test_htable.c tests/unit/script/test_pattern.c tests/unit/script/test_pv.c tests/unit/script/test_state.c tests/unit/script/test_sql.c tests/unit/db/dbtest.c tests/unit/db/dbtest.h
EXTRA_DIST += tests/unit/script/pattern.lua
unit_script_LDADD = $(UNIT_LIBS) $(SCRIPT_LIBS)
