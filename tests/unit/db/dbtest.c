/* What the tests of db/ share. */
#include "tests/unit/db/dbtest.h"

#include <dirent.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/mailbox.h"

static char dir[64], sub[80], file[96];

void scratch_begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/tandem-db-XXXXXX");
    CHECK_FATAL(mkdtemp(dir) != NULL);
    snprintf(sub, sizeof sub, "%s/sub", dir);
    snprintf(file, sizeof file, "%s/tandem.db", sub);
}

const char *scratch_file(void)
{
    return file;
}

void scratch_share(void)
{
    chmod(dir, 0755);
    chmod(sub, 0755);
}

void scratch_end(void)
{
    DIR *d = opendir(sub);

    for (struct dirent *e; d && (e = readdir(d));) {
        char path[400];

        snprintf(path, sizeof path, "%s/%s", sub, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(sub);
    rmdir(dir);
}

const char *look(const char *sql)
{
    static char text[4096];
    sqlite3 *h = NULL;
    sqlite3_stmt *st = NULL;
    int rc;

    text[0] = '\0';
    sqlite3_open_v2(file, &h, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_busy_timeout(h, 2000);
    if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) == SQLITE_OK && (rc = sqlite3_step(st)) != SQLITE_DONE &&
        rc == SQLITE_ROW)
        snprintf(text, sizeof text, "%s",
                 sqlite3_column_type(st, 0) == SQLITE_NULL ? "(null)" : (const char *)sqlite3_column_text(st, 0));
    else if (sqlite3_errcode(h) != SQLITE_OK && sqlite3_errcode(h) != SQLITE_DONE)
        snprintf(text, sizeof text, "error: %s", sqlite3_errmsg(h));
    sqlite3_finalize(st);
    sqlite3_close(h);
    return text;
}

long look_number(const char *sql)
{
    const char *text = look(sql);
    char *end;
    long n = strtol(text, &end, 10);

    return end == text || *end ? -1 : n;
}

void change(const char *sql)
{
    sqlite3 *h = NULL;

    sqlite3_open_v2(file, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    sqlite3_busy_timeout(h, 2000);
    CHECK_INT(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(h);
}

bool look_until(const char *sql, const char *expected)
{
    for (int i = 0; i < 300; i++) {
        if (strcmp(look(sql), expected) == 0)
            return true;
        usleep(10000);
    }
    printf("\n    wanted %s, got %s\n", expected, look(sql));
    return false;
}

bool mail_until(struct mailbox *mb, const int *done)
{
    for (time_t end = time(NULL) + 5; !*done && time(NULL) <= end;) {
        struct pollfd fd = { .fd = mailbox_fd(mb), .events = POLLIN };

        poll(&fd, 1, 10);
        mailbox_run(mb);
    }
    return *done != 0;
}

struct db *open_started(void)
{
    struct buf why = BUF_INIT;
    struct db *db;

    CHECK_INT(db_open(&db, scratch_file(), &why), 0);
    CHECK_FATAL(db != NULL);
    CHECK_INT(why.n, 0);
    buf_fini(&why);
    CHECK_INT(db_start(db), 0);
    return db;
}
