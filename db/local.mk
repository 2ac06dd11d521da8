noinst_LIBRARIES += libdb.a
libdb_a_SOURCES = \
	db/cred.c db/cred.h db/reader.h \
	db/credcache.c db/credcache.h \
	db/db.c db/db.h db/db_private.h \
	db/feed.c db/feed.h db/feed_private.h \
	db/list.c db/list.h \
	db/location.c db/location.h db/location_private.h \
	db/migrate.c db/migrate.h \
	db/prune.c db/prune.h \
	db/query.c db/query.h db/queries.h \
	db/record.c db/record.h \
	db/startup.c db/startup.h \
	db/subscriber.c db/subscriber.h \
	db/writer.c db/writer.h
DB_LIBS = libdb.a $(COMMON_LIBS) $(SQLITE_LIBS)
