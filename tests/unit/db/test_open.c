/* Opening: the file, its tables, its faults. */
#include "db/db.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "db/subscriber.h"
#include "db/startup.h"
#include "tests/unit/db/dbtest.h"

static int open_close(struct buf *why)
{
    struct db *db;
    int err = db_open(&db, scratch_file(), why);

    CHECK((db == NULL) == (err != 0));
    db_close(&db);
    return err;
}

TEST(a_missing_file_is_made_with_its_directory_and_mode_0640)
{
    struct buf why = BUF_INIT;
    struct stat sb;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    CHECK_INT(stat(scratch_file(), &sb), 0);
    CHECK_INT(sb.st_mode & 0777, 0640);
    CHECK_STR(look("PRAGMA journal_mode"), "wal");
    scratch_end();
    buf_fini(&why);
}

#define COLUMNS_OF(table) "SELECT group_concat(name, ' ') FROM pragma_table_info('" table "')"

TEST(a_new_file_has_every_promised_table_and_column)
{
    struct buf why = BUF_INIT;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    CHECK_STR(look("SELECT group_concat(table_name || ' ' || table_version, ', ') FROM (SELECT * FROM version ORDER BY "
                   "table_name)"),
              "acc 5, location 9, subscriber 7, version 1");
    CHECK_STR(look(COLUMNS_OF("subscriber")), "id username domain password ha1 ha1b ha1_sha256 blocked");
    CHECK_STR(look(COLUMNS_OF("location")), "id ruid username domain contact received path expires q callid cseq "
                                            "last_modified flags cflags user_agent socket "
                                            "methods instance reg_id server_id connection_id keepalive partition");
    CHECK_STR(look(COLUMNS_OF("acc")), "id method from_tag to_tag callid sip_code sip_reason time");
    CHECK_STR(look(COLUMNS_OF("msrp_session")), "session_id username domain conn_id peer_uri srcaddr srcsock use_path "
                                                "created expires last_activity state frames_in "
                                                "frames_out bytes_in bytes_out resumed");
    CHECK_STR(look(COLUMNS_OF("connection")), "conn_id protocol transport peer local tls_version tls_cipher peer_name "
                                              "opened closed close_reason bytes_in bytes_out");
    CHECK_STR(look(COLUMNS_OF("acc_msrp")),
              "id session_id username domain from_uri to_uri message_id bytes status started finished");
    /* A second opening changes nothing. */
    CHECK_INT(open_close(&why), 0);
    CHECK_STR(look("PRAGMA user_version"), "3");
    scratch_end();
    buf_fini(&why);
}

TEST(tables_that_kamailio_made_are_adopted_with_their_rows)
{
    struct buf why = BUF_INIT;
    struct db *db;

    scratch_begin();
    CHECK_INT(open_close(&why), 0); /* for the directory */
    unlink(scratch_file());
    change("CREATE TABLE version (table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL,"
           " CONSTRAINT version_table_name_idx UNIQUE (table_name));"
           "INSERT INTO version VALUES ('subscriber', 6), ('location', 10), ('dialog', 7);"
           "CREATE TABLE subscriber (id INTEGER PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL,"
           " domain VARCHAR(64) DEFAULT '' NOT NULL, password VARCHAR(64) DEFAULT '' NOT NULL,"
           " email_address VARCHAR(64) DEFAULT '' NOT NULL, ha1 VARCHAR(64) DEFAULT '' NOT NULL,"
           " ha1b VARCHAR(64) DEFAULT '' NOT NULL, rpid VARCHAR(64) DEFAULT NULL,"
           " CONSTRAINT subscriber_account_idx UNIQUE (username, domain));"
           "INSERT INTO subscriber (username, domain, ha1, email_address) VALUES ('alice', 'example.com', 'abc', "
           "'a@example.com')");
    CHECK_INT(open_close(&why), 0);
    CHECK_STR(look("SELECT username || ' ' || email_address || ' ' || ha1 || ' ' || blocked || ' [' || ha1_sha256 || "
                   "']' FROM subscriber"),
              "alice a@example.com abc 0 []");
    CHECK_STR(look("SELECT table_version FROM version WHERE table_name = 'subscriber'"), "7");
    CHECK_STR(look("SELECT table_version FROM version WHERE table_name = 'location'"), "10"); /* never lowered */
    CHECK_STR(look("SELECT table_version FROM version WHERE table_name = 'dialog'"), "7");
    /* And it works: the old row gets a password, a new one comes beside it. */
    CHECK_INT(db_open(&db, scratch_file(), &why), 0);
    CHECK_INT(db_user_passwd(db, SV("alice"), SV("example.com"), SV("pw")), 0);
    CHECK_INT(db_user_add(db, SV("bob"), SV("example.com"), SV("pw")), 0);
    db_close(&db);
    CHECK_STR(look("SELECT count(*) FROM subscriber WHERE length(ha1) = 32 AND length(ha1_sha256) = 64"), "2");
    scratch_end();
    buf_fini(&why);
}

TEST(a_file_of_the_first_version_is_brought_up_to_date)
{
    struct buf why = BUF_INIT;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    change("ALTER TABLE msrp_session DROP COLUMN resumed;"
           "INSERT INTO msrp_session (session_id, username) VALUES ('tok1', 'alice'); PRAGMA user_version = 1");
    CHECK_INT(open_close(&why), 0);
    CHECK_STR(look("PRAGMA user_version"), "3");
    CHECK_STR(look("SELECT session_id || ' ' || username || ' ' || resumed FROM msrp_session"), "tok1 alice 0");
    scratch_end();
    buf_fini(&why);
}

TEST(a_file_of_a_newer_version_is_refused_and_left_alone)
{
    struct buf why = BUF_INIT;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    change("PRAGMA user_version = 1000");
    CHECK_INT(open_close(&why), TD_EUNSUPP);
    CHECK(strstr(why.p, "newer version") != NULL);
    CHECK_STR(look("PRAGMA user_version"), "1000");
    scratch_end();
    buf_fini(&why);
}

TEST(what_is_no_database_is_refused_with_a_reason)
{
    struct buf why = BUF_INIT;
    FILE *f;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    unlink(scratch_file());
    f = fopen(scratch_file(), "w");
    CHECK_FATAL(f != NULL);
    for (int i = 0; i < 200; i++)
        fputs("not a database at all\n", f);
    fclose(f);
    CHECK(open_close(&why) < 0);
    CHECK(why.n > 0 && strchr(why.p, '\n') == NULL);
    scratch_end();
    buf_fini(&why);
}

TEST(a_file_that_may_not_be_written_is_refused_with_a_reason)
{
    struct buf why = BUF_INIT;
    int status;
    pid_t pid;

    scratch_begin();
    CHECK_INT(open_close(&why), 0);
    chmod(scratch_file(), 0444);
    scratch_share();
    fflush(stdout);
    pid = fork();
    if (pid == 0) { /* root may write everything: look as somebody else */
        struct buf said = BUF_INIT;
        struct db *db;
        int err;

        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(9);
        err = db_open(&db, scratch_file(), &said);
        _exit(err < 0 && db == NULL && said.n > 0 && strstr(said.p, scratch_file()) ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    scratch_end();
    buf_fini(&why);
}

TEST(a_directory_that_cannot_be_made_is_named)
{
    struct buf why = BUF_INIT;
    struct db *db;

    CHECK(db_open(&db, "/proc/nowhere/tandem.db", &why) < 0);
    CHECK(db == NULL && why.n > 0 && strstr(why.p, "/proc/nowhere") != NULL);
    buf_fini(&why);
}

TEST(a_secret_is_made_once_and_stays_with_the_file)
{
    char first[DB_SECRET_LEN + 1], again[DB_SECRET_LEN + 1], other[DB_SECRET_LEN + 1];
    struct buf why = BUF_INIT;
    struct db *db;

    scratch_begin();
    CHECK_FATAL(db_open(&db, scratch_file(), &why) == TD_OK);
    CHECK_INT(db_secret(db, "mark", first), TD_OK);
    CHECK_INT(db_secret(db, "other", other), TD_OK);
    db_close(&db);
    CHECK_FATAL(db_open(&db, scratch_file(), &why) == TD_OK);
    CHECK_INT(db_secret(db, "mark", again), TD_OK);
    CHECK_INT(strlen(first), DB_SECRET_LEN);
    CHECK_STR(again, first);
    CHECK(strcmp(first, other) != 0);
    db_close(&db);
    scratch_end();
    buf_fini(&why);
}

SUITE(open_suite, TEST_ROW(a_secret_is_made_once_and_stays_with_the_file), TEST_ROW(a_missing_file_is_made_with_its_directory_and_mode_0640),
      TEST_ROW(a_new_file_has_every_promised_table_and_column),
      TEST_ROW(tables_that_kamailio_made_are_adopted_with_their_rows),
      TEST_ROW(a_file_of_the_first_version_is_brought_up_to_date),
      TEST_ROW(a_file_of_a_newer_version_is_refused_and_left_alone),
      TEST_ROW(what_is_no_database_is_refused_with_a_reason),
      TEST_ROW(a_file_that_may_not_be_written_is_refused_with_a_reason),
      TEST_ROW(a_directory_that_cannot_be_made_is_named));
