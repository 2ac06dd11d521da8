/* The control socket: JSON-RPC 2.0, one object a line, over a Unix socket (interface.md: RPC).
 *
 * A thread of its own accepts operators and runs the methods of cmd_tbl.h. What they need
 * of the server comes through struct rpc_backend, which tandemd fills in, so that nothing here knows the relay
 * or the proxy. Everything is bounded: clients, the length of a request, the length of an answer.
 *
 *     rpc_start(&rpc, &options);   after the database is open; binds the socket, starts the thread
 *     rpc_stop(&rpc);              ends the thread, removes the socket */
#pragma once

#include "common/buf.h"
#include "common/stats.h"

struct db_location; /* db/location.h */

/* One Use-Path token: a row of msrp_session. Strings are never NULL and live as long as the call. Times are seconds
 * since 1970, 0: none. */
struct rpc_session {
    const char *session_id, *username, *domain;
    uint64_t conn_id;
    const char *peer_uri; /* the client's own URI */
    const char *srcaddr;  /* msrp://ip:port or msrps://ip:port of the client */
    const char *srcsock;  /* proto:ip:port of the local socket */
    const char *use_path;
    const char *state; /* active, detached */
    int64_t created, expires, last_activity;
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
};

/* One open connection. */
struct rpc_connection {
    uint64_t conn_id;
    const char *protocol;  /* sip, msrp, or unknown as long as nothing has come */
    const char *transport; /* tcp, tls, ws, wss */
    const char *peer, *local;                         /* ip:port */
    const char *tls_version, *tls_cipher, *peer_name; /* empty without TLS */
    int64_t opened;
    uint64_t bytes_in, bytes_out;
};

/* One source that is shut out. */
struct rpc_ban {
    const char *address;
    int64_t until;
    const char *reason;
};

/* Takes one row; false: enough, send no more. */
typedef bool rpc_session_fn(void *to, const struct rpc_session *row);
typedef bool rpc_connection_fn(void *to, const struct rpc_connection *row);
typedef bool rpc_ban_fn(void *to, const struct rpc_ban *row);

/* What the server can be asked and told. Every function runs on the control thread and may block it; none may touch
 * a worker's memory but through a lock, a message or an atomic. All return 0 or an enum td_err.
 * A NULL function: the method answers "not available". */
struct rpc_backend {
    void *arg; /* borrowed: first argument of all */
    int (*sessions)(void *arg, rpc_session_fn *emit, void *to);
    int (*connections)(void *arg, rpc_connection_fn *emit, void *to);
    /* Rows of one address of record come one after the other: db_list_registrations() on a reader of the control thread. */
    int (*registrations)(void *arg, bool (*emit)(const struct db_location *row, void *to), void *to);
    void (*stats)(void *arg, struct stats *sum); /* adds every thread's counters to sum */
    /* Slots of the session table, for MAP_SIZE. */
    uint64_t (*map_size)(void *arg);
    /* Read the configuration again. live and restart: names of changed keys, separated by blanks. faults holds one line
     * per fault: with TD_EINVAL nothing has changed, with 0 all has but what these lines are about (certificates, script). */
    int (*reload)(void *arg, struct buf *live, struct buf *restart, struct buf *faults);
    /* End a session and tell its connection; TD_ENOENT: there is none of that id. */
    int (*kick)(void *arg, const char *session_id);
    int (*ban_list)(void *arg, rpc_ban_fn *emit, void *to);
    /* seconds 0: limits.ban_time. The address is a valid IP literal in its canonical text. */
    int (*ban_add)(void *arg, const char *address, int64_t seconds);
    int (*ban_del)(void *arg, const char *address); /* TD_ENOENT: was not banned */
    /* A subscriber was added, changed or removed: forget cached credentials. Empty strings: all of them. */
    int (*user_changed)(void *arg, const char *username, const char *domain);
};

struct rpc_options {
    const char *path;                  /* of the socket; copied */
    const char *version;               /* "tandem 0.1.0"; static */
    const struct rpc_backend *backend; /* borrowed: outlives the rpc */
};

struct rpc;

/* Bind the socket (mode 0660; its folder is made when missing, a dead socket is replaced) and start the thread.
 * TD_EINUSE: another server answers there. *out is NULL on failure; why holds the reason in one line. */
int rpc_start(struct rpc **out, const struct rpc_options *o, struct buf *why);
void rpc_stop(struct rpc **r);

enum {
    RPC_CLIENTS_MAX = 16,
    RPC_REQUEST_MAX = 64 << 10, /* bytes of one line */
    RPC_ANSWER_MAX = 64 << 20,
    RPC_IDLE_S = 300, /* a client that neither asks nor reads is closed after it */
};

/* Error codes beyond those of JSON-RPC 2.0 (-32700 to -32603). */
enum {
    RPC_ERR_FAILED = -32000,        /* the server could not do it; the message says why */
    RPC_ERR_NOT_FOUND = -32001,     /* no such session, address, ... */
    RPC_ERR_NOT_AVAILABLE = -32002, /* this server has no such part */
    RPC_ERR_TOO_LARGE = -32003,     /* the answer is over RPC_ANSWER_MAX: ask for less with "limit" */
    RPC_ERR_CONFIG = -32004,        /* core.reload: data.faults has the faults */
    RPC_ERR_BUSY = -32005,          /* RPC_CLIENTS_MAX clients are connected */
    RPC_ERR_NO_TABLE = 500,         /* msrp.cmaplist without a session table */
};

/* Of jansson. */
const char *rpc_library_version(void);

/* One line of request to one line of answer, as the thread does it: appends the answer (with its newline) to out,
 * nothing for a notification. uid: who asks, for the log. For tests and for fuzzing. */
void rpc_answer(const struct rpc_options *o, unsigned uid, struct sv line, struct buf *out);
