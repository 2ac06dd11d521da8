/* A row on its way to the writer.
 *
 * Bytes: statement (1), number of parameters (1), then each parameter: type (1) and 8 bytes of value, or for a text
 * its length (4) and its bytes. Only ever read by the process that wrote it, hence host order. A time becomes text
 * here: SQLite's datetime() takes as long as an index. */
#include "db/record.h"

#include <string.h>

#include "db/feed.h"

#define SESSION_COUNTERS \
    "resumed = ?2, last_activity = ?3, frames_in = ?4, frames_out = ?5, bytes_in = ?6, bytes_out = ?7"
#define SESSION_WHERE " WHERE session_id = ?1 AND resumed <= ?2"

/* clang-format off */
static const char *const statements[ROW_KIND_N] = {
    [ROW_SESSION_PUT] =
        "INSERT INTO msrp_session (session_id, username, domain, conn_id, peer_uri, srcaddr, srcsock, "
        "use_path, created, expires, last_activity, state, frames_in, frames_out, bytes_in, bytes_out, resumed) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) "
        "ON CONFLICT (session_id) DO UPDATE SET username = excluded.username, domain = excluded.domain, "
        "conn_id = excluded.conn_id, peer_uri = excluded.peer_uri, srcaddr = excluded.srcaddr, "
        "srcsock = excluded.srcsock, use_path = excluded.use_path, created = excluded.created, "
        "expires = excluded.expires, last_activity = excluded.last_activity, state = excluded.state, "
        "frames_in = excluded.frames_in, frames_out = excluded.frames_out, bytes_in = excluded.bytes_in, "
        "bytes_out = excluded.bytes_out, resumed = excluded.resumed WHERE resumed <= excluded.resumed",
    [ROW_SESSION_COUNTERS] = "UPDATE msrp_session SET " SESSION_COUNTERS SESSION_WHERE,
    [ROW_SESSION_CHANGED] =
        "UPDATE msrp_session SET " SESSION_COUNTERS ", expires = ?8, conn_id = ?9" SESSION_WHERE,
    [ROW_SESSION_ENDED] = "UPDATE msrp_session SET resumed = ?2, state = ?3" SESSION_WHERE,
    [ROW_CONN_OPENED] =
        "INSERT OR REPLACE INTO connection (conn_id, protocol, transport, peer, local, tls_version, tls_cipher, "
        "peer_name, opened) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [ROW_CONN_CLOSED] =
        "UPDATE connection SET closed = ?2, close_reason = ?3, bytes_in = ?4, bytes_out = ?5 "
        "WHERE conn_id = ?1",
    [ROW_ACC_MSRP] =
        "INSERT INTO acc_msrp (session_id, username, domain, from_uri, to_uri, message_id, bytes, status, "
        "started, finished) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [ROW_ACC] =
        "INSERT INTO acc (method, from_tag, to_tag, callid, sip_code, sip_reason, time) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [ROW_ACC_ONCE] =
        "INSERT INTO acc (method, from_tag, to_tag, callid, sip_code, sip_reason, time) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS "
        "(SELECT 1 FROM acc WHERE callid = ?4 AND from_tag = ?2 AND to_tag = ?3 AND method = ?1 AND sip_code = ?5)",
    [ROW_LOC_PUT] =
        "INSERT INTO location (ruid, username, domain, contact, received, path, expires, q, callid, cseq, "
        "last_modified, flags, cflags, user_agent, socket, methods, instance, reg_id, server_id, connection_id, "
        "keepalive, \"partition\") "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
        "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) "
        "ON CONFLICT (ruid) DO UPDATE SET username = excluded.username, domain = excluded.domain, "
        "contact = excluded.contact, received = excluded.received, path = excluded.path, "
        "expires = excluded.expires, q = excluded.q, callid = excluded.callid, cseq = excluded.cseq, "
        "last_modified = excluded.last_modified, flags = excluded.flags, cflags = excluded.cflags, "
        "user_agent = excluded.user_agent, socket = excluded.socket, methods = excluded.methods, "
        "instance = excluded.instance, reg_id = excluded.reg_id, server_id = excluded.server_id, "
        "connection_id = excluded.connection_id, keepalive = excluded.keepalive, "
        "\"partition\" = excluded.\"partition\"",
    /* Of a row that is there already, without the columns that all indexes but one are made of: SQLite writes two
     * pages, not five. */
    [ROW_LOC_REFRESH] =
        "UPDATE location SET received = ?5, path = ?6, expires = ?7, q = ?8, callid = ?9, cseq = ?10, last_modified = ?11, "
        "flags = ?12, cflags = ?13, user_agent = ?14, socket = ?15, methods = ?16, instance = ?17, reg_id = ?18, "
        "keepalive = ?21, \"partition\" = ?22 WHERE ruid = ?1",
    [ROW_LOC_DEL] = "DELETE FROM location WHERE ruid = ?1",
    [ROW_LOC_DEL_AOR] = "DELETE FROM location WHERE username = ?1 AND domain IS ?2",
    [ROW_LOC_DEL_EXPIRED] =
        "DELETE FROM location WHERE expires <= ?1 AND expires <> '1970-01-01 00:00:00'",
};
/* clang-format on */

const char *row_sql(enum row_kind kind)
{
    return statements[kind];
}

static size_t text_len(const struct param *p)
{
    return TD_MIN(p->s.n, (size_t)DB_TEXT_MAX);
}

size_t record_size(const struct param *p, size_t n)
{
    size_t size = 2;

    for (size_t i = 0; i < n; i++)
        size += p[i].type == PARAM_TEXT ? 5 + text_len(&p[i]) : p[i].type == PARAM_NULL ? 1 : 9;
    return size;
}

void record_write(void *to, enum row_kind kind, const struct param *p, size_t n)
{
    uint8_t *at = to;

    *at++ = (uint8_t)kind;
    *at++ = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        *at++ = (uint8_t)p[i].type;
        if (p[i].type == PARAM_TEXT) {
            uint32_t len = (uint32_t)text_len(&p[i]);

            memcpy(at, &len, 4);
            if (len)
                memcpy(at + 4, p[i].s.p, len);
            at += 4 + len;
        } else if (p[i].type != PARAM_NULL) {
            memcpy(at, p[i].type == PARAM_REAL ? (const void *)&p[i].d : (const void *)&p[i].i, 8);
            at += 8;
        }
    }
}

enum row_kind record_kind(const void *record)
{
    return *(const uint8_t *)record;
}

static void two_digits(char *at, unsigned v)
{
    at[0] = (char)('0' + v / 10);
    at[1] = (char)('0' + v % 10);
}

/* As datetime(t, 'unixepoch') writes it, and NULL for a year of other than four digits. The calendar of years that
 * begin in March: the day that comes and goes is the last one. */
static int bind_time(sqlite3_stmt *st, int i, int64_t t)
{
    enum { DAY = 86400, CENTURIES = 146097 /* days of four */, TO_MARCH_0 = 719468, LAST = 2932896 /* 9999-12-31 */ };
    char text[] = "YYYY-MM-DD HH:MM:SS";
    unsigned days, era, day, year, month, second;

    if (t < 0 || t / DAY > LAST)
        return sqlite3_bind_null(st, i);
    second = (unsigned)(t % DAY);
    days = (unsigned)(t / DAY) + TO_MARCH_0;
    era = days / CENTURIES;
    day = days % CENTURIES;
    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100; /* of the year */
    month = (5 * day + 2) / 153;               /* 0: March */
    day -= (153 * month + 2) / 5;
    year += era * 400 + (month >= 10);
    two_digits(text, year / 100);
    two_digits(text + 2, year % 100);
    two_digits(text + 5, month < 10 ? month + 3 : month - 9);
    two_digits(text + 8, day + 1);
    two_digits(text + 11, second / 3600);
    two_digits(text + 14, second / 60 % 60);
    two_digits(text + 17, second % 60);
    return sqlite3_bind_text64(st, i, text, sizeof text - 1, SQLITE_TRANSIENT, SQLITE_UTF8);
}

int record_bind(const void *record, sqlite3_stmt *st)
{
    const uint8_t *at = record;
    int n = at[1], rc = SQLITE_OK;

    at += 2;
    for (int i = 1; i <= n && rc == SQLITE_OK; i++) {
        int64_t value;
        double real;
        uint32_t len;

        switch (*at++) {
        case PARAM_INT:
            memcpy(&value, at, 8);
            rc = sqlite3_bind_int64(st, i, value);
            at += 8;
            break;
        case PARAM_TIME:
            memcpy(&value, at, 8);
            rc = bind_time(st, i, value);
            at += 8;
            break;
        case PARAM_REAL:
            memcpy(&real, at, 8);
            rc = sqlite3_bind_double(st, i, real);
            at += 8;
            break;
        case PARAM_TEXT:
            memcpy(&len, at, 4);
            rc = sqlite3_bind_text64(st, i, (const char *)at + 4, len, SQLITE_STATIC, SQLITE_UTF8);
            at += 4 + len;
            break;
        default:
            rc = sqlite3_bind_null(st, i);
        }
    }
    return rc;
}
