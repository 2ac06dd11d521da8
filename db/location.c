/* Change sets of registrations, and reading them back. */
#include "db/location.h"

#include <stdlib.h>

#include "common/err.h"
#include "db/db_private.h"
#include "db/location_private.h"
#include "db/record.h"
#include "db/writer.h"

enum { LOC_PARAMS_MAX = 24 };

struct db_loc_set *db_loc_begin(struct db *db)
{
    struct db_loc_set *set = calloc(1, sizeof *set);

    if (!set)
        return NULL;
    list_init(&set->node);
    set->db = db;
    return set;
}

void db_loc_drop(struct db_loc_set **set)
{
    if (!*set)
        return;
    buf_fini(&(*set)->records);
    free(*set);
    *set = NULL;
}

static void loc_add(struct db_loc_set *set, enum row_kind kind, const struct param *p, size_t n)
{
    uint8_t record[LOC_PARAMS_MAX * (5 + DB_TEXT_MAX)];
    uint32_t size = (uint32_t)record_size(p, n);

    for (size_t i = 0; i < n; i++) /* accounting may be cut, a contact or a path may not */
        if (p[i].type == PARAM_TEXT && p[i].s.n > DB_TEXT_MAX)
            set->err = TD_EINVAL;
    buf_add(&set->records, &size, sizeof size);
    record_write(record, kind, p, n);
    buf_add(&set->records, record, size);
}

static void loc_add_row(struct db_loc_set *set, enum row_kind kind, const struct db_location *l)
{
    const struct param p[] = {
        param_text(l->ruid),
        param_text(l->username),
        param_text_or_null(l->domain),
        param_text(l->contact),
        param_text_or_null(l->received),
        param_text_or_null(l->path),
        param_time(l->expires),
        param_real(l->q),
        param_text(l->callid),
        param_int(l->cseq),
        param_time(l->last_modified),
        param_int(l->flags),
        param_int(l->cflags),
        param_text(l->user_agent),
        param_text_or_null(l->socket),
        param_int_or_null(l->methods, -1),
        param_text_or_null(l->instance),
        param_int(l->reg_id),
        param_int(l->server_id),
        param_int(l->connection_id),
        param_int(l->keepalive),
        param_int(l->partition),
    };

    loc_add(set, kind, p, TD_ARRAY_LEN(p));
}

void db_loc_put(struct db_loc_set *set, const struct db_location *row)
{
    loc_add_row(set, ROW_LOC_PUT, row);
}

void db_loc_refresh(struct db_loc_set *set, const struct db_location *row)
{
    loc_add_row(set, ROW_LOC_REFRESH, row);
}

void db_loc_del(struct db_loc_set *set, struct sv ruid)
{
    const struct param p[] = { param_text(ruid) };

    loc_add(set, ROW_LOC_DEL, p, TD_ARRAY_LEN(p));
}

void db_loc_del_aor(struct db_loc_set *set, struct sv username, struct sv domain)
{
    const struct param p[] = { param_text(username), param_text_or_null(domain) };

    loc_add(set, ROW_LOC_DEL_AOR, p, TD_ARRAY_LEN(p));
}

void db_loc_del_expired(struct db_loc_set *set, int64_t now)
{
    const struct param p[] = { param_time(now) };

    loc_add(set, ROW_LOC_DEL_EXPIRED, p, TD_ARRAY_LEN(p));
}

static void loc_answered(struct post *p)
{
    struct db_loc_set *set = TD_CONTAINER_OF(p, struct db_loc_set, post);
    void (*done)(int err, void *arg) = set->done;
    void *arg = set->arg;
    int err = set->err;

    db_loc_drop(&set);
    done(err, arg);
}

void loc_set_answer(struct db_loc_set *set, int err)
{
    set->err = err;
    if (!set->mb) {
        db_loc_drop(&set);
        return;
    }
    set->post.fn = loc_answered;
    mailbox_post(set->mb, &set->post);
}

void db_loc_commit(struct db_loc_set *set, struct mailbox *mb, void (*done)(int err, void *arg), void *arg)
{
    set->mb = done ? mb : NULL;
    set->done = done;
    set->arg = arg;
    if (buf_failed(&set->records))
        set->err = TD_ENOMEM;
    if (!set->db->writer || set->err) {
        loc_set_answer(set, set->err ? set->err : TD_ECLOSED);
        return;
    }
    set->post.fn = writer_take_set;
    mailbox_post(writer_mailbox(set->db->writer), &set->post);
}

void db_location_read(sqlite3_stmt *st, struct db_location *l)
{
    *l = (struct db_location){
        .ruid = db_column_sv(st, 0),
        .username = db_column_sv(st, 1),
        .domain = db_column_sv(st, 2),
        .contact = db_column_sv(st, 3),
        .received = db_column_sv(st, 4),
        .path = db_column_sv(st, 5),
        .expires = sqlite3_column_int64(st, 6),
        .q = sqlite3_column_double(st, 7),
        .callid = db_column_sv(st, 8),
        .cseq = sqlite3_column_int64(st, 9),
        .last_modified = sqlite3_column_int64(st, 10),
        .flags = sqlite3_column_int64(st, 11),
        .cflags = sqlite3_column_int64(st, 12),
        .user_agent = db_column_sv(st, 13),
        .socket = db_column_sv(st, 14),
        .methods = sqlite3_column_type(st, 15) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 15),
        .instance = db_column_sv(st, 16),
        .reg_id = sqlite3_column_int64(st, 17),
        .server_id = sqlite3_column_int64(st, 18),
        .connection_id = sqlite3_column_int64(st, 19),
        .keepalive = sqlite3_column_int64(st, 20),
        .partition = sqlite3_column_int64(st, 21),
    };
}

int db_loc_load(struct db *db, int64_t now, bool (*fn)(const struct db_location *row, void *arg), void *arg)
{
    sqlite3_stmt *st = db_prepare(db->main, "SELECT " DB_LOCATION_COLUMNS " FROM location WHERE " DB_LOCATION_LIVE
                                            " ORDER BY username, domain, id");
    struct db_location row;
    int rc;

    if (!st)
        return db_err(sqlite3_errcode(db->main));
    sqlite3_bind_int64(st, 1, now);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        db_location_read(st, &row);
        if (!fn(&row, arg))
            break;
    }
    sqlite3_finalize(st);
    return db_err(rc);
}
