/* Chunks that are still arriving, on their way to the next hop. On its worker. */
#pragma once

#include "common/buf.h"
#include "msrp/private.h"

struct stream {
    struct list node;          /* dest->streams */
    struct relay *relay;       /* back */
    struct msrp_conn *dest;    /* back; NULL: the next hop has ended */
    struct outgoing f;         /* route is an owned reference; headers and message_id point into text */
    uint64_t start;            /* position of the chunk's first octet */
    uint64_t octets;           /* written so far */
    uint64_t piece_from;       /* octets when the open piece began */
    bool open;                 /* a piece is on the wire */
    bool stopped;              /* no more of it goes on: the next hop wants none, or we let none pass */
    bool told;                 /* its sender has had a REPORT of a failure */
    struct txn *txn;           /* of that piece; NULL: nobody wants to know */
    struct list txns;          /* of all its pieces, by stream_node */
    char tid[TID_LEN];         /* of that piece */
    struct buf pending;        /* fewer than CHUNK_MIN octets that wait for more */
    char text[];
};

/* A chunk that comes in pieces. NULL: out of memory. It outlives the connection: then its pieces go nowhere. */
struct stream *stream_begin(struct relay *relay, struct conn *dest, const struct outgoing *f);
/* n may be any number; the first piece of it has CHUNK_MIN octets or more, or is all there is. */
void stream_body(struct stream *s, const char *p, size_t n, bool hyphen_lines);
/* Frees it. */
void stream_end(struct stream *s, char flag);
/* We let no more of it pass: downstream it ends with `#`. True: its sender is to be told by a response with this status, and nothing of this chunk
 * is reported any more; false: it has failed before, and he knows or has a REPORT for the rest, too (M-FR-02). */
bool stream_refuse(struct stream *s, unsigned status);
/* Its next hop takes no more of it: what is on the wire ends with `#`, the sender is told, and its further pieces go nowhere. */
void stream_fail(struct stream *s, unsigned status);
/* The connection a stream goes to, NULL when it has ended or the chunk goes no further, of which its
 * sender has been told. */
struct conn *stream_dest(const struct stream *s);
/* Are there other chunks on their way to there? It has a next hop. */
bool stream_has_company(const struct stream *s);

/* The next hop wants no more of this message (M-FWD-16): what is on its way ends here. */
void stream_stop_message(struct msrp_conn *dest, struct route *route, struct sv message_id);
/* A token has ended or moved: chunks on their way to its owner end here. */
void stream_session_ended(struct msrp_conn *dest, const struct session *session);
/* The next hop has ended: the chunks on their way to it are forgotten, and have failed but for pieces with a transaction. */
void stream_down(struct msrp_conn *dest, unsigned status);
