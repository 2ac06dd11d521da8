/* A worker: one thread with its loop, its connections and the memory they share.
 *
 * Everything in it belongs to that thread, except what says otherwise. The
 * protocols (MSRP, the SIP pump) hang their own per-worker state on protos[]. */
#pragma once

#include "common/crypto.h"
#include "common/hash.h"
#include "common/loop.h"
#include "common/stats.h"

struct conn;
struct conn_proto;
struct limits;
struct tlsio_server;
struct tx_block;

enum proto_id { PROTO_MSRP, PROTO_SIP, PROTO_N };

enum {
    WORKER_READ_SIZE = 128 * 1024, /* one read(2) */
    WORKER_KEEP_MAX = 1024 * 1024, /* bytes a protocol may leave unread in front of it, at most */
};

struct proto_slot {
    const struct conn_proto *ops; /* NULL: not served */
    void *ctx;                    /* the protocol's own state of this worker */
};

struct conn_slot {
    struct conn *conn; /* NULL: free */
};

struct worker {
    unsigned index;
    struct loop *loop;              /* owned */
    struct stats stats;             /* written here, read by any thread */
    struct rng rng;
    struct limits *limits;          /* borrowed: shared by all workers, thread-safe */
    struct tlsio_server *tls;         /* borrowed: shared, thread-safe; NULL without TLS */
    struct proto_slot protos[PROTO_N];
    uint64_t *next_conn_id;         /* borrowed: shared, atomic */

    /* net/conn's own */
    char *read_buf;                 /* owned: what was kept of a connection, then what was read */
    size_t read_cap;
    char *cipher_buf;               /* owned: TLS records as they came from the socket */
    struct tx_block *free_blocks;   /* owned: for queues */
    size_t n_free_blocks;
    struct conn_slot *slots;        /* owned */
    uint32_t n_slots, first_free_slot_hint;
    struct list dirty;              /* connections with bytes to flush at the end of this turn */
    struct loop_hook flush_hook;
    size_t queued_bytes;            /* in all queues of this worker */

    /* Told when a connection is open (protocol known) and when it has ended: for the database. May be NULL. */
    void (*on_conn_open)(struct worker *w, struct conn *c);
    void (*on_conn_closed)(struct worker *w, struct conn *c);
    void *observer;                 /* borrowed: for those two */
};

int worker_init(struct worker *w, unsigned index, uint64_t *next_conn_id);
void worker_fini(struct worker *w); /* closes what is still open */
