/* A worker: one thread with its loop, its connections and the memory they share.
 *
 * Everything in it belongs to that thread, except what says otherwise. The
 * protocols (MSRP, the SIP pump) hang their own per-worker state on protos[]. */
#pragma once

#include "common/crypto.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/stats.h"
#include "net/txq.h"

struct conn;
struct conf_list;
struct conn_proto;
struct limits;
struct memory;
struct resolver;
struct tlsio_server;
struct wsread;

enum proto_id { PROTO_MSRP, PROTO_SIP, PROTO_N };

enum { WORKER_READ_SIZE = 64 * 1024 /* one read(2) */ };

struct proto_slot {
    const struct conn_proto *ops; /* NULL: not served */
    void *ctx;                    /* the protocol's own state of this worker */
};

/* [websocket] of the configuration; only the worker's thread changes it. */
struct ws_settings {
    size_t max_message;              /* bytes, with the protocol's headers */
    uint32_t ping_s;                 /* silence that is answered with a ping */
    bool tls_in_front;               /* plain WebSockets come from a TLS proxy */
    const struct conf_list *origins; /* borrowed; NULL or empty: any */
};

struct conn_slot {
    struct conn *conn;   /* NULL: free */
    uint32_t next_free;
};

struct worker {
    unsigned index;
    struct loop *loop;           /* owned */
    struct stats stats;          /* written here, read by any thread */
    struct rng rng;
    struct log_quota ends, faults, refusals; /* lines about connections that end, malformed frames, AUTHs refused */
    struct limits *limits;       /* borrowed: shared by all workers, thread-safe; NULL: none */
    struct memory *memory;       /* borrowed: shared by all workers; NULL: no ceiling */
    struct tlsio_server *tls;    /* borrowed: shared, thread-safe; NULL without TLS */
    struct resolver *resolver;   /* owned; NULL: dial() takes IP literals only */
    struct proto_slot protos[PROTO_N];
    uint64_t *next_conn_id;      /* borrowed: shared, atomic */
    int64_t first_line_ms;       /* a new connection must show its protocol by then */
    int64_t handshake_ms;
    struct ws_settings ws;

    /* net/memory */
    int64_t held, held_told;     /* bytes held for peers, but those of the pool; what the others know of both */
    bool crowded;                /* all workers together hold too much */
    struct list memory_waiters;  /* connections that are not read until they hold less */
    struct wheel_timer memory_timer;
    struct post memory_post;     /* it is too much: another worker says so, as this one may be idle */
    int memory_told;             /* atomic: it is under way */

    /* net/conn's own */
    struct tx_pool pool;
    char *read_buf;              /* owned: what was kept of a connection, then what was read */
    size_t read_cap;
    char *cipher_buf;            /* owned: TLS records as they came from the socket */
    char *gather_buf;            /* owned: plaintext of one TLS record */
    struct wsread *ws_spare;     /* owned: for the next connection whose WebSocket has something to read; may be NULL */
    struct conn_slot *slots;     /* owned */
    uint32_t n_slots, free_slot; /* first free slot, UINT32_MAX: none */
    struct list dirty;           /* connections to flush at the end of this turn */
    struct list borrowers;       /* connections whose queue refers to read_buf */
    struct list again;           /* connections whose kept bytes are to be offered again */
    struct list doomed;          /* connections to close at the end of this turn */
    struct list conns;           /* all of them */
    struct list idle;            /* net/idle: those that may be closed to make room, least recently used first */
    int n_idle, room_wanted;     /* atomic: how many are on it; how many other workers want closed */
    struct post room_post;
    struct worker *next;         /* borrowed: all workers make a ring */
    struct loop_hook flush_hook;

    /* Told when a connection is open (protocol known) and when it has ended: for the database. May be NULL. */
    void (*on_conn_open)(struct worker *w, struct conn *c);
    void (*on_conn_closed)(struct worker *w, struct conn *c);
    void *observer;              /* borrowed: for those two */
};

int worker_init(struct worker *w, unsigned index, uint64_t *next_conn_id);
/* Closes what is still open (CLOSE_STOP), frees everything. The loop must not be running. */
void worker_fini(struct worker *w);

/* Bytes given to conn_write_ref() are about to change: write them out or copy them. For who reads
 * into a buffer of its own (rings between workers); net does it for its own buffer. */
void worker_settle(struct worker *w);
