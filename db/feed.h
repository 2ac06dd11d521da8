/* Rows that traffic leaves behind: sessions, connections, accounting.
 *
 * Each producing thread has a feed of its own, a lock-free queue to the writer thread; a call here copies the row,
 * never blocks and fails never: a row for which there is no room is counted (db_rows_lost) and forgotten. Accounting
 * and counters go first: the last quarter of the queue is kept for rows that open and close things. While the disk
 * fails, rows wait in the queue; they are written when it is back. Rows are in the file within a second, usually 200
 * ms. Times are UNIX seconds; texts longer than DB_TEXT_MAX are cut. */
#pragma once

#include "common/sv.h"

struct db;
struct db_feed;

enum { DB_TEXT_MAX = 2048 };

/* One for each producing thread, made before or after db_start(), freed before db_close() by a thread that knows
 * that nobody puts any more (what is queued is written still). */
int db_feed_new(struct db_feed **out, struct db *db);
void db_feed_free(struct db_feed **feed);

/* ---- msrp_session: one row a Use-Path token */

enum db_session_state { DB_SESSION_ACTIVE, DB_SESSION_CLOSED, DB_SESSION_EXPIRED };

struct db_session {
    struct sv session_id; /* the key */
    struct sv username, domain;
    uint64_t conn_id;     /* 0: it has none now and waits, active, to be resumed */
    struct sv peer_uri, srcaddr, srcsock, use_path;
    int64_t created, expires, last_activity;
    enum db_session_state state;
    uint64_t resumed;     /* how often it was resumed on another connection: what was put before the last time changes nothing
                           * any more, wherever it waited (feeds are written in no order among them) */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
};

/* A new row, or all of the one with that session_id. */
void db_session_put(struct db_feed *f, const struct db_session *s);

/* These look at session_id, resumed and what they are named after. Counters are absolute values, with last_activity;
 * call it at most a few times a second for a session, not per frame. */
void db_session_counters(struct db_feed *f, const struct db_session *s);
/* Another expiry or connection of an active one; and the counters. */
void db_session_changed(struct db_feed *f, const struct db_session *s);
/* Its state: closed or expired. */
void db_session_ended(struct db_feed *f, const struct db_session *s);

/* ---- connection */

struct db_conn {
    uint64_t conn_id;           /* the key */
    struct sv protocol, transport, peer, local;
    struct sv tls_version, tls_cipher, peer_name; /* empty without TLS */
    int64_t opened;
    int64_t closed;             /* 0: open (when listed) */
    struct sv close_reason;
    uint64_t bytes_in, bytes_out;
};

/* closed, close_reason and the bytes are not looked at. */
void db_conn_opened(struct db_feed *f, const struct db_conn *c);
void db_conn_closed(struct db_feed *f, uint64_t conn_id, int64_t closed, struct sv reason, uint64_t bytes_in,
                    uint64_t bytes_out);

/* ---- accounting */

/* One relayed MSRP message: table acc_msrp. */
struct db_acc_msrp {
    struct sv session_id, username, domain, from_uri, to_uri, message_id;
    uint64_t bytes;
    int status;
    int64_t started, finished;
};
void db_acc_msrp(struct db_feed *f, const struct db_acc_msrp *row);

/* One SIP transaction that counts (INVITE, BYE, a missed call): table acc, Kamailio's columns. */
struct db_acc {
    struct sv method, from_tag, to_tag, callid, sip_reason;
    int sip_code;
    int64_t time;
    bool is_once; /* not when there is a row with the same method, tags, Call-ID and code */
};
void db_acc(struct db_feed *f, const struct db_acc *row);
