/* A connection: a TCP stream, TLS or not, accepted or dialled.
 *
 * Layers: the socket and its queue (this file), TLS (net/tls), WebSocket (net/ws), and the protocol
 * on top (struct conn_proto), which starts as the sniffer for accepted
 * connections. A connection lives and dies on one worker; every function here
 * belongs to that worker's thread.
 *
 * Reading: bytes land in the worker's shared buffer and are offered to the
 * protocol's data(); what it does not take is kept for the connection and offered
 * again in front of the next bytes. An idle connection owns no buffer.
 *
 * Writing: conn_write() queues and the queue is flushed once at the end of the loop
 * turn, so all frames of a turn leave with one system call. conn_write_ref()
 * queues bytes without copying them; they must stay unchanged until the data() call that is running returns:
 * net flushes every connection so written before it reuses the read buffer, and copies what the kernel did not take.
 *
 * Closing: conn_close() is a request that takes effect at once for the owner
 * (down() is called, exactly once, before it returns); memory goes at the end of the turn. Faults
 * found while writing take effect at the end of the turn, so a conn_write() never calls down(). */
#pragma once

#include "net/addr.h"
#include "net/worker.h"

enum close_reason {
#define CLOSE_REASON(name, is_error, text) CLOSE_##name,
#include "net/close_tbl.h"
#undef CLOSE_REASON
    CLOSE_REASON_N
};

const char *close_reason_text(enum close_reason r);
bool close_reason_is_error(enum close_reason r);

struct tlsio_session;
struct dial;
struct wsio;

/* May a connection be closed when there is no room for others (net/idle.h)? */
enum conn_idle { CONN_IDLE, CONN_IN_USE /* ask again later */, CONN_NEEDED /* until idle_add() says otherwise */ };

/* What a protocol provides. ctx is worker->protos[].ctx or what conn_set_proto() was given. */
struct conn_proto {
    const char *name; /* for logs and the connection table: "msrp", "sip" */

    /* It can be spoken on a WebSocket, where data() is offered one message at a time (net/ws.h). */
    bool websocket;

    /* Bytes for you: take 0..n, return how many. Rest stays in front of what comes next (then data()
     * is called again only when more arrived, or by conn_read_again()). May write to and close any connection. */
    size_t (*data)(struct conn *c, const char *p, size_t n);

    /* A dialled connection is up, TLS verified. May be NULL. */
    void (*up)(struct conn *c);

    /* All that was queued up to c->sent_pos has been passed to the system. May be NULL. Not for writing. */
    void (*sent)(struct conn *c);

    /* The queue fell below the low mark after it had been above the high mark. May be NULL. */
    void (*drained)(struct conn *c);

    /* The peer sends no more, and may still read what it is owed (a TCP connection without TLS). True: the protocol goes on with it, and ends it before
     * long; nothing is read any more, and its data() does not come. False or NULL: it ends now. */
    bool (*eof)(struct conn *c);

    /* Is it needed? NULL: it is, always. */
    enum conn_idle (*idle)(struct conn *c);

    /* The connection has ended. c->user is yours to free. No other call follows. */
    void (*down)(struct conn *c, enum close_reason reason);

    /* Largest number of bytes this protocol ever leaves untaken; more closes with CLOSE_FRAMING. */
    size_t keep_max;
};

/* Names a connection from anywhere: survives its end without dangling. */
struct conn_ref {
    uint32_t worker, slot;
    uint64_t id; /* 0: none */
};

struct conn {
    struct worker *worker; /* back */
    struct loop_io io;
    uint64_t id;           /* unique for ever: conn_id of the connection table */
    uint32_t slot;

    unsigned accepted : 1;   /* else dialled */
    unsigned connecting : 1; /* dialled and not up yet */
    unsigned ended : 1;      /* down() was delivered */
    unsigned finishing : 1;  /* flush what is queued, then close */
    unsigned eof : 1;        /* the peer has sent FIN */
    unsigned above : 1;      /* queue went above the high mark: drained() is owed */
    unsigned in_data : 1;    /* the protocol's data() is running */
    unsigned opened : 1;     /* on_conn_open was told */
    unsigned is_inner : 1;   /* between our processes: the operator's counters are about others */
    unsigned counted : 1;    /* against the limits of its source and of all */
    unsigned counted_out : 1; /* dialled: against that of all */
    unsigned doomed : 1;     /* will be closed at the end of the turn, with close_reason */
    unsigned keeps_up : 1;   /* conn_keeps_up() */
    unsigned one_read : 1;   /* the protocol's wish: no more than one read a turn */
    unsigned timer_use : 3;  /* enum in conn.c */
    uint8_t pauses;          /* reasons not to read, a bit each */
    uint8_t close_reason;    /* once down */
    uint8_t port_transports, port_protocols; /* what the listener serves, bits of net/listener.h */

    const struct conn_proto *proto;
    void *proto_ctx;         /* borrowed: the protocol's state of this worker */
    void *user;              /* the protocol's state of this connection */

    struct tlsio_session *tls; /* owned; NULL: plain */
    struct wsio *ws;         /* owned; NULL: no WebSocket */
    struct dial *dial;       /* owned; while connecting */
    struct addr peer, local;
    uint64_t opened_at;      /* UNIX time, seconds */
    uint64_t bytes_in, bytes_out; /* after/before TLS; out counts what was queued */
    uint64_t sent_pos;       /* of bytes_out: passed to the system */

    struct txq out;          /* what the protocol wrote; plaintext under TLS */
    struct txq cipher;       /* TLS records for the socket */
    size_t tx_high;          /* high mark of both together; the low mark is half of it */
    size_t tx_max;           /* more than this queued ends the connection with QUEUE_FULL */
    struct list dirty_node, borrow_node, again_node, doomed_node, all_node, idle_node, memory_node;

    /* bytes received and not taken by the protocol */
    char *kept;              /* owned */
    uint32_t kept_n, kept_cap;

    struct wheel_timer timer; /* first-line, handshake, connect deadlines; later the write stall */
    union {
        uint64_t set_up_ms;   /* loop time of the accept, then of the end of its TLS handshake; until its protocol is known */
        uint64_t stall_mark;  /* conn_acked() when it was last looked at */
    };
    unsigned stall_looks;     /* how often it has been the same since */
    uint64_t socket_out;      /* bytes written to the socket */
    struct loop_defer defer_free;
};

enum conn_pause { CONN_PAUSE_FLOW = 1, CONN_PAUSE_AUTH = 2, CONN_PAUSE_ROUTE = 4, CONN_PAUSE_MEMORY = 8, CONN_PAUSE_PUMP = 16, CONN_PAUSE_ANSWERS = 32, CONN_PAUSE_REMOTE = 64, CONN_PAUSE_EOF = 128 };

/* Make a connection of a connected non-blocking socket, which it then owns (closed on failure, too). fd -1: a connection
 * that net/dial will give its socket. peer and local may be NULL. */
int conn_new(struct conn **out, struct worker *w, int fd, bool accepted, const struct addr *peer, const struct addr *local);

/* Hand the connection to a protocol; from inside data(), the bytes not taken are offered to the new one at once. */
void conn_set_proto(struct conn *c, const struct conn_proto *proto, void *ctx, void *user);

/* An accepted connection speaks this; the worker has a protocol for it. As conn_set_proto(). */
void conn_hand_over(struct conn *c, enum proto_id id);

/* From inside data(), before anything was taken: what comes is TLS, first bytes included. */
int conn_start_tls(struct conn *c);

/* The protocol is only just known: how long ago the connection was accepted, or its TLS handshake done. 0 for one that was dialled. */
uint64_t conn_set_up_ago_ms(const struct conn *c);

struct conn_ref conn_ref(const struct conn *c);
/* NULL when it has ended (or is not of this worker). */
struct conn *conn_deref(struct worker *w, struct conn_ref ref);

/* Queue bytes. After down() or conn_finish() they are thrown away. */
void conn_write(struct conn *c, const void *p, size_t n);
void conn_write_ref(struct conn *c, const void *p, size_t n);
/* Room for n more bytes (n at most TX_ROOM_MAX) to fill in place; conn_wrote() tells how many were used. NULL: ended,
 * or out of memory. */
char *conn_write_room(struct conn *c, size_t n);
void conn_wrote(struct conn *c, size_t n);
/* Flush now instead of at the end of the turn. */
void conn_flush(struct conn *c);

static inline size_t conn_queued(const struct conn *c)
{
    return c->out.n + c->cipher.n;
}

/* Socket bytes that have reached the peer's system; once its buffers are full: that it has read. A system call. */
uint64_t conn_acked(const struct conn *c);

/* Its peer takes what is written to it as fast as it comes, or does not: then the system keeps little of it unsent, so that what is more
 * urgent is not behind much (M-FAIR-07). That is so at first, and costs one who keeps up more wake-ups. */
void conn_keeps_up(struct conn *c, bool keeps_up);

/* Has it sent what nobody has taken yet? A system call. */
bool conn_has_unread(const struct conn *c);

/* Is that much queued, after a try to write it? Then write no more until drained(). */
bool conn_has_queued(struct conn *c, size_t limit);

/* The same with the high mark: for bulk data. */
static inline bool conn_is_full(struct conn *c)
{
    return conn_has_queued(c, c->tx_high);
}

/* It is one between our processes: no counter tells of it from now on. */
void conn_set_inner(struct conn *c);

/* Stop and go on reading; reasons are independent bits. Bytes already kept are offered
 * again when the last reason is gone (from the loop, not from inside conn_resume()). */
void conn_pause(struct conn *c, enum conn_pause why);
void conn_resume(struct conn *c, enum conn_pause why);

/* End it now: what is queued is lost. */
void conn_close(struct conn *c, enum close_reason reason);
/* Close it at the end of this turn: safe from anywhere. */
void conn_doom(struct conn *c, enum close_reason reason);
/* A request (SIP, or AUTH) came on it. False: its source sends too many, or is shut out; it is to be closed with CLOSE_LIMIT. */
bool conn_may_request(struct conn *c);

/* All connections of a worker. */
void conn_close_all(struct worker *w, enum close_reason reason);
/* down() now, nothing more is read; what is queued still goes out (for 10 s at most), then it is closed. A dialled
 * connection that is not up yet is closed at once. */
void conn_finish(struct conn *c, enum close_reason reason);

bool conn_is_tls(const struct conn *c);
/* Is it TLS on its whole way to the client, as far as we know? A WebSocket whose TLS ends in front of us, as configured, is, too. */
bool conn_is_secure(const struct conn *c);
const char *conn_transport_text(const struct conn *c); /* "tcp", "tls", "ws", "wss" */

enum {
    CONN_STALL_MS = 60000,     /* a peer that reads nothing for so long, while something is queued, is closed */
    CONN_STALL_LOOKS = 6,      /* looked at so often in that time */
    CONN_FINISH_MS = 10000,
    CONN_TX_HIGH = 64 * 1024,  /* default of tx_high */
    CONN_TX_MAX = 4 * 1024 * 1024, /* default of tx_max */
};
