/* Open transactions: requests that were forwarded and await a response (RFC 4976 s.6.4.3).
 *
 * The transaction identifier we send is an index into the relay's table and 66 random bits, so a response is matched in
 * O(1) and cannot be guessed (M-FRM-24). One worker. */
#pragma once

#include "msrp/private.h"

struct txn {
    _Alignas(64) /* four lines of the cache */
    struct list node;          /* msrp_conn.unsent until all octets are written, then msrp_conn.unanswered */
    struct list stream_node;   /* on the list of the chunk of which it is a piece */
    struct stream *stream;     /* back: that chunk; NULL: it is none, or has come to its end */
    struct relay *relay;       /* back */
    struct msrp_conn *to;      /* back: the next hop */
    struct route *route;       /* owned reference */
    uint32_t index;
    char tid[TID_LEN];
    bool is_auth, is_send;
    bool credentials;          /* of an AUTH */
    bool open;                 /* the frame is still being written: a chunk in pieces */
    bool written;              /* all its octets are: its time runs */
    uint16_t answer;           /* a good one that came before its last octet was written; 0: none */
    char flag;                 /* with which it ends */
    bool has_body;
    enum msrp_failure_report fr;
    uint64_t start, octets;    /* of this piece; start is 1 for the first octet of the message */
    uint64_t started_at;
    uint64_t end_pos;          /* conn->bytes_out when its last octet was queued; UINT64_MAX: it is not */
    uint64_t waits_since_ms;   /* loop time, when written */
    uint8_t message_id_n, tid_in_n;
    char message_id[MSRP_TID_MAX];
    struct msrp_range range;   /* as received */
    char tid_in[MSRP_TID_MAX]; /* of what is not SEND: its answer is passed back */
};

/* A fresh identifier without a transaction, for what nobody answers. */
void tid_make(struct relay *relay, char out[TID_LEN]);

/* NULL: out of memory, or that connection owes TXNS_PER_CONN answers. It is unsent and holds a reference to
 * f->route. */
struct txn *txn_new(struct relay *relay, struct msrp_conn *to, const struct outgoing *f);
/* A new identifier for it: the old one stands in the body. */
void txn_redraw(struct txn *t);
/* All its octets are queued. */
void txn_queued(struct txn *t);
/* The transaction with this identifier on this connection, or NULL. */
struct txn *txn_find(struct msrp_conn *from, struct sv tid);
void txn_free(struct txn **t);

/* Its time begins. */
void txn_wait(struct txn *t);

/* All octets queued up to pos are written: their timers start. */
void txn_sent(struct msrp_conn *to, uint64_t pos);
