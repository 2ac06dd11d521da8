check_PROGRAMS += unit-db
unit_db_SOURCES = tests/unit/db/main.c tests/unit/db/dbtest.c tests/unit/db/dbtest.h tests/unit/db/test_open.c \
	tests/unit/db/test_feed.c tests/unit/db/test_location.c tests/unit/db/test_cred.c tests/unit/db/test_prune.c tests/unit/db/test_query.c
unit_db_LDADD = $(UNIT_LIBS) $(DB_LIBS)
