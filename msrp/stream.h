/* SENDs that are not written in one go: chunks that are still arriving, and whatever waits for a slow next hop. On its worker. */
#pragma once

#include "msrp/private.h"
#include "net/txq.h"

struct stream {
    struct list node;          /* dest->streams */
    struct list ready_node;    /* dest->ready: something of it is kept that waits for room alone */
    struct hash_node waiting_node; /* relay->waiting: the last chunk of its message that waits */
    struct stream *before, *next;  /* borrowed: chunks of the same message that go first, and behind it; NULL: none */
    struct relay *relay;       /* back */
    struct msrp_conn *dest;    /* back; NULL: the next hop has ended */
    struct outgoing f;         /* route is an owned reference; headers, message_id and body point into text */
    uint64_t start;            /* position of the chunk's first octet */
    uint64_t octets;           /* written so far */
    uint64_t piece_from;       /* octets when the open piece began */
    bool whole;                /* a frame that was there at once, and waits: f.body, f.flag; it is written whole */
    bool open;                 /* a piece is on the wire */
    bool ended;                /* no more of it comes: f.flag says how it ends */
    bool has_source;           /* who will end or abort it; else it is freed when it is over */
    bool waits;                /* it has none, and is counted among the chunks under way */
    bool stopped;              /* no more of it goes on: all is written, or the next hop wants none, or we let none pass */
    bool told;                 /* its sender has had a REPORT of a failure */
    struct txn *txn;           /* of the open piece; NULL: nobody wants to know */
    struct list txns;          /* of all its pieces, by stream_node */
    char tid[TID_LEN];         /* of the open piece */
    struct txq ahead;          /* octets that are kept: fewer than make a piece, or for want of room */
    bool hyphen_lines;         /* ... which are to be looked through for our identifier */
    size_t charged;            /* of route->ahead and dest->ahead */
    char text[];
};

/* A chunk that comes in pieces. NULL: out of memory. It outlives the connection: then its pieces go nowhere. */
struct stream *stream_begin(struct relay *relay, struct conn *dest, const struct outgoing *f);
/* n may be any number; the first piece of it has CHUNK_MIN octets or more, or is all there is. */
void stream_body(struct stream *s, const char *p, size_t n, bool hyphen_lines);
/* All of it has come. Its source lets go of it: it is freed when all of it is written. */
void stream_end(struct stream *s, char flag);
/* A chunk that is there as a whole, and too long for one message of a WebSocket. False: out of memory. */
bool stream_split(struct relay *relay, struct conn *dest, const struct outgoing *f);
/* As stream_end(), when its source has gone in the middle of it: as the message cannot be completed, what waits of this chunk is thrown away, and `#` is
 * said at once (M-CHK-14). */
void stream_abort(struct stream *s);
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

/* Must a frame wait? A SEND may not overtake another chunk of its message, and a long one does not add to a queue that is full. */
bool stream_is_behind(const struct msrp_conn *dest, const struct outgoing *f);
/* Then it does. False: out of memory. */
bool stream_wait(struct relay *relay, struct msrp_conn *dest, const struct outgoing *f);
/* The connection's queue has room: what waits for that goes on. */
void stream_drain(struct msrp_conn *dest);

/* The next hop wants no more of this message (M-FWD-16): what is on its way ends here. refused: the chunk about which it has said so; NULL: it is
 * written. */
void stream_stop_message(struct msrp_conn *dest, const struct stream *refused, struct route *route, struct sv message_id);
/* A token has ended or moved: chunks on their way to its owner end here. */
void stream_session_ended(struct msrp_conn *dest, const struct session *session);
/* The next hop has ended: the chunks on their way to it are forgotten, and have failed but for pieces with a transaction. */
void stream_down(struct msrp_conn *dest, unsigned status);
