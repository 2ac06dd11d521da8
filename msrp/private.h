/* What the files of msrp/ share among themselves: the state of a worker's relay and of a connection. */
#pragma once

#include "common/hash.h"
#include "msrp/frame.h"
#include "msrp/relay.h"
#include "msrp/session.h"
#include "net/conn.h"

struct auth_wait;
struct authn_result;
struct cross_note;
struct orders;
struct msrp_conn;
struct script;
struct stream;
struct txn;

enum {
    TID_LEN = 16,             /* 5 characters of index, 11 of randomness (66 bits) */
    CHUNK_MIN = 2048,         /* octets: chunks up to here are sent whole (RFC 4975 s.7.1.1) */
    WS_CHUNK_MAX = 64 * 1024, /* octets of a chunk on a WebSocket: it is one message, in the middle of which nobody else has his turn (M-WS-05) */
    ROUTES_PER_CONN = 4096,   /* cached, with up to ROUTE_BYTES_PER_CONN; the oldest goes */
    ROUTE_RECENT = 8,         /* messages of a conversation remembered as stopped, and as failed; the oldest is forgotten */
    ROUTE_BYTES_PER_CONN = 8 * 1024 * 1024, /* of their text */
    REFUSALS_MAX = 5,         /* requests refused on a connection that has had none accepted (M-CON-03) */
    TXNS_PER_CONN = 65536,    /* requests without an answer towards one next hop; more are not sent */
    SESSIONS_AHEAD = 4,       /* what waits for a next hop is at most the buffers of so many */
    CHUNK_ABORTED = 0,        /* in the place of a flag: the source has gone in the middle of a chunk */
    OWED_PER_CONN = 4 * TXNS_PER_CONN, /* REPORTs that wait for one sender to read; more end his connection */
    STATUS_COMMENT_MAX = 128, /* copied from a response into a REPORT (M-SEC-09) */
};

/* The last few messages of which something is known, by the hashes of their Message-IDs. Any worker. */
struct recent {
    uint64_t hash[ROUTE_RECENT]; /* atomic */
    unsigned n;                  /* atomic: how many were put */
};

uint64_t message_hash(struct sv message_id);
static inline bool recent_is_empty(const struct recent *r) /* asked first, as it needs no hash */
{
    return __atomic_load_n(&r->n, __ATOMIC_RELAXED) == 0;
}
bool recent_has(const struct recent *r, uint64_t message);
/* False: it was there. */
bool recent_put(struct recent *r, uint64_t message);

/* What is known of the messages of a conversation. The route that comes in the place of one that is good no more shares it with that, as what is on
 * its way there has still to be answered; so do all ways that a script has found for frames of one connection. Any worker. */
struct route_memory {
    int refs;              /* atomic */
    struct recent stopped; /* no further chunk of them is passed on: 413, from the next hop or by our own limit (RFC 4975 s.10.5, M-FWD-16) */
    struct recent failed;  /* their failure has its row in the accounts */
};

struct route_memory *route_memory_new(void); /* NULL: out of memory */
struct route_memory *route_memory_ref(struct route_memory *k);
void route_memory_unref(struct route_memory **k);

/* Where frames with these two path lines go, and the lines that go with them. Found once, then matched byte for
 * byte. Lines and references never change, so a transaction on another worker may hold on to one (atomic count). */
struct route {
    int refs;                /* atomic */
    struct hash_node node;   /* relay->routes: by raw and origin */
    struct list conn_node;   /* on the origin's list, oldest first */
    struct list relay_node;  /* on relay->remembered, oldest first */
    struct conn_ref origin;  /* where the frames come from */
    struct conn_ref dest;    /* where they go */
    unsigned hops_ended;     /* shared->hops_ended when it was made: is a next hop on another worker to be looked for again? */
    struct session *u1;      /* owned reference: To-Path[0]; NULL: a script knows the way, without a session */
    struct session *u2;      /* owned reference: To-Path[1], when both clients are ours; else NULL */
    bool outward;            /* origin is u1's owner, or there is no session */
    bool from_relay;         /* origin is a link of another relay: From-Path names more than one */
    bool via_peer;           /* dest is no client's connection: it may end, and another be found, while the tokens live */
    bool in_clear;           /* only msrp.require_tls = no lets these frames in */
    bool auth;               /* for AUTH alone: a next hop that is no client of ours is a relay (M-AUTH-31) */
    struct msrp_paths raw;   /* as received */
    struct sv out;           /* the two lines to send */
    struct sv answer;        /* the two lines of our response to a SEND: To-Path is From-Path[0] */
    struct sv full_answer;   /* ... to other methods: To-Path is the whole From-Path */
    struct sv end_to_end;    /* ... of the far end to other methods: From-Path is the whole To-Path */
    struct sv ours;          /* our URI next to the far end: first of the From-Path sent */
    struct sv report;        /* the two lines of a failure REPORT by us */
    struct sv from_uri, to_uri; /* the two ends, for accounting */
    struct route_memory *memory; /* owned reference */
    /* of the next hop's worker: */
    size_t ahead;             /* bytes of what waits */
    struct list held_node;    /* dest's held: the origin is not read for want of room */
    bool held_shared;         /* ... and has others to serve */
    struct cross_note *held_note; /* owned: to tell it, on another worker, that it may go on */
    size_t text_n;
    char text[];
};

/* Is it still good for new frames? */
bool route_is_good(const struct relay *relay, const struct route *r);
/* Are its tokens good for new frames? */
bool route_is_live(const struct route *r);
/* The session whose owner the next hop is; NULL: it is somebody else. */
struct session *route_target(const struct route *r);
/* Is the next hop still that session's owner? What was taken for him before does not go to a connection he has left. */
bool route_leads_on(const struct route *r);
/* What a sender is told when his frame was taken and cannot go this way any more: 481 when a token has ended, else
 * 408. */
unsigned route_failure(const struct route *r);

struct route *route_ref(struct route *r);
/* Any worker's relay: its own. */
void route_unref(struct relay *relay, struct route **r);
/* There is too much in memory (M-FLOW-04): the routes made longest ago, on whatever connection, go, a part of them a
 * turn. */
void route_trim(struct relay *relay);
/* The route, made for frames from m, is no longer used for new ones. */
void route_drop(struct relay *relay, struct msrp_conn *m, struct route *r);

/* Find the route of a request, or make it. NULL: refused, *status says how (0: close the connection, not for us;
 * ROUTE_WAITS: not yet, the connection is paused until there is one connection less being opened for it, or memory for
 * a large route). What our own policy will refuse gets a route that leads nowhere: nothing is opened for it.
 * body  of it, as much as there is, and what comes behind it */
enum { ROUTE_WAITS = 1 };
struct route *route_of(struct relay *relay, struct conn *c, const struct msrp_head *h, struct sv body, unsigned *status);

/* A way that a script knows: To-Path and From-Path to be sent, the latter in one part or two; hops_ended as it was
 * before dest was found. It takes a reference to memory; its own one is the caller's. NULL: out of memory, or no paths. */
struct route_paths {
    struct sv to, from1, from2;
    struct sv second;        /* of from1, the URI of ours that stands before the first of To-Path: a REPORT comes through both; empty: none */
};
struct route *route_of_script(struct conn *c, const struct msrp_head *h, const struct route_paths *p, struct conn_ref dest, unsigned hops_ended,
                              struct route_memory *memory);

/* Is this the link of another relay, which has proven to be the host of the first URI of this From-Path (M-TLS-02,
 * M-TLS-07)? */
bool route_is_relay_link(const struct conn *c, struct sv from_path);

/* A request on its way to the next hop. Views live for the call. */
struct outgoing {
    struct route *route;
    enum msrp_method method;
    struct sv method_text;
    struct sv tid_in;
    enum msrp_failure_report fr;
    struct sv message_id;
    struct msrp_range range;
    struct sv headers;       /* lines, CRLFs included */
    struct sv range_value;   /* of Byte-Range, within headers; empty: there is none */
    bool has_body;
    bool credentials;        /* an AUTH with an Authorization */
    bool hyphen_lines;       /* look for clashes of the body with our tid */
    struct sv body;
    char flag;
    bool finish;             /* the connection is closed when it is written and answered: a script wants that */
    uint64_t started_at;
};

/* Will it have an answer, or is its sender to know that it has none? */
static inline bool outgoing_is_answered(const struct outgoing *f)
{
    return f->method == MSRP_SEND ? f->fr != MSRP_FR_NO : f->method != MSRP_REPORT;
}

/* ---- proto.c: a connection ---- */

struct relay {
    struct relay_shared *shared;  /* borrowed */
    struct worker *worker;        /* borrowed */
    struct authn *authn;          /* borrowed */
    struct cross *cross;          /* owned */
    struct hash routes;
    struct list remembered;       /* the same, oldest first */
    struct hash streams;          /* that come from other workers, by their number */
    struct hash waiting;          /* chunks that have come and wait for their next hop (stream.c), by message and origin */
    uint64_t next_stream;
    struct txn *txn_blocks[20];   /* owned: by index, each block as large as all before it */
    uint32_t n_txns, free_txn;    /* free_txn: first free index, UINT32_MAX: none */
    struct list sessions; /* owned here: those of other relays, by conn_node */
    unsigned n_sessions;
    struct list changed;          /* sessions with traffic the database does not know of yet, by changed_node */
    struct wheel_timer changed_timer;
    struct loop_hook hook;
    bool draining;                /* no new sessions */
    bool stopped;                 /* no new connections either */
    struct script *script;        /* owned: run for every frame; NULL: none */
    const char *callback;         /* borrowed: its function */
    struct buf spare;             /* room for an answer of a script */
    struct buf whole;             /* a frame for a WebSocket, while it is put together (emit.h) */
};

enum rx_state { RX_HEAD, RX_STREAM, RX_SKIP };

/* The MSRP state of a connection: conn->user. */
struct msrp_conn {
    struct conn *conn;            /* back */
    struct relay *relay;          /* back */
    struct wheel_timer timer;     /* probation, then idleness */
    struct wheel_timer head_timer; /* an unfinished head */
    uint64_t last_used_ms;
    struct list sessions;         /* owned here, by conn_node */
    struct list bindings;         /* by conn_node */
    struct list routes;           /* frames that come from here, by conn_node */
    unsigned n_routes, n_sessions, n_txns;
    unsigned n_dials;             /* connections that are being opened for its frames */
    bool shared;                  /* its frames go to several next hops, or have: it must not wait for one for ever */
    size_t route_bytes;           /* text of the routes on the list */
    struct route *last_route;     /* borrowed: on the list above */
    uint16_t auth_failures;
    bool proven;                  /* has had an accepted request */
    uint8_t refusals;             /* before that */

    /* the frame being received */
    enum rx_state rx;
    char rx_tid[MSRP_TID_MAX];
    uint8_t rx_tid_n;
    bool rx_at_start;             /* no body byte was taken yet */
    enum msrp_failure_report rx_fr;
    uint64_t rx_message;          /* hash of its Message-ID; RX_STREAM, as the rest: */
    uint64_t rx_pos;              /* position in the message of the last octet taken, 1 being the first */
    struct route *rx_route;       /* owned reference */
    struct stream *rx_stream;     /* owned: next hop on this worker; else NULL */
    uint64_t rx_stream_id;        /* next hop on another worker; 0: none */
    uint16_t rx_refused;          /* the status by which we do not let that one pass: its worker answers; 0: we do */
    unsigned rx_stream_worker;
    struct cross_note *rx_note;   /* owned: to tell that one of its end; NULL: none was told of a chunk yet, or the last one of it waits */
    struct auth_wait *auth;       /* an AUTH that waits for credentials */
    struct orders *orders;        /* owned: of a script; NULL: none was run */
    bool no_dial;                 /* nothing may be opened for the frame in hand: a script has said so */
    bool finish_hop;              /* ... and its next hop is to end with it */
    bool finish;                  /* to be closed when all is written and answered */

    /* as a next hop */
    bool unheard;                 /* when answer_timer fired last, we did not read from it */
    size_t buffer;                /* bytes that may wait for it */
    struct peer_entry *peer; /* owned: of a dialled connection, or of another relay's link */
    bool relay_link; /* another relay has proven its name on it */
    struct conn_ref dialled_for;  /* whose frame it was, while it is being opened; id 0: none */
    struct stream *tx_stream;     /* the chunk that is open on the wire, if any */
    struct list streams;          /* all chunks on their way to here */
    struct list unsent;           /* transactions that are not wholly written yet, oldest first */
    struct list unanswered;       /* those that are, in the order in which their time began */
    struct wheel_timer answer_timer; /* runs while there are some */
    struct list ready;            /* of the streams: those that wait for nothing but room, by ready_node; the first is next */
    size_t ahead;                 /* bytes of all that waits for us beside the queue */
    struct list held;             /* routes whose origins are paused for us, by held_node; owned references */
    struct list wait_node;        /* paused for want of room in a ring to another worker (cross.c) */
    struct list owed;             /* owned: REPORTs to it that found no room in its queue (report.c) */
    unsigned n_owed;
    unsigned remote_holds;        /* next hops on other workers that have us paused */
    struct wheel_timer hold_timer; /* flow.c: while sources wait for us */
    uint64_t hold_left_ms;        /* how long shared ones still may, as of hold_at_ms and hold_read octets */
    uint64_t hold_at_ms, hold_read;
    bool hold_spent;              /* none was left since little was waiting last */
    uint64_t fast_from;           /* where in our output to it it was slow last */
    bool slow;                    /* since nothing was beside its queue a source has waited for SLOW_MS */
};

static inline struct msrp_conn *msrp_of(struct conn *c)
{
    return c->user;
}

extern const struct conn_proto msrp_proto;

struct msrp_conn *msrp_conn_new(struct relay *relay, struct conn *c);

/* ---- relay.c: what becomes of a frame ---- */

/* Write a response made by us. When that fails its connection is about to end. */
void relay_answer(struct conn *c, struct sv tid, unsigned status, struct sv lines, struct sv more_headers);
/* There is no memory for what that connection, of any worker, is to be told: that is counted, and it ends, so that its peer knows that not all
 * went well. */
void relay_lost(struct relay *relay, struct conn_ref to);
/* The path lines of an answer to a request, in b; empty: it cannot be answered, or b has failed. */
struct sv relay_answer_lines(struct buf *b, const struct msrp_head *h);
/* Refuse a request, if its sender wants to know (never for a REPORT, M-REP-05). */
void relay_refuse(struct conn *c, const struct msrp_head *h, unsigned status);
/* A request by the built-in rules. The bytes taken; 0: it must wait for more of it, or is paused. */
size_t relay_request(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n);
/* One whose To-Path names us alone (M-FWD-11), or an AUTH to us: true, it is dealt with. */
bool relay_to_us(struct msrp_conn *m, const struct msrp_head *h);
/* More of the chunk that streams or of what is skipped. The bytes taken; fewer than all: wait. */
size_t relay_more_body(struct msrp_conn *m, const char *p, size_t n);
/* No more of it will come: it cannot be completed, which is said downstream (M-CHK-14). */
void relay_abort_chunk(struct msrp_conn *m);
/* A request goes its way: the bytes taken, 0 when it must wait. */
size_t relay_go(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n, struct route *route);
/* A request for another relay: whoever sends it is closed, but a relay's link carries other sessions and goes on
 * (M-FWD-02). True: closed. */
bool relay_not_for_us(struct msrp_conn *m, const struct msrp_head *h);
/* The rest of the frame goes nowhere. */
void relay_skip_body(struct msrp_conn *m, const struct msrp_head *h);
/* A request was accepted on it: probation is over. */
void relay_proven(struct msrp_conn *m);
/* A whole frame, or octets of one, came from the owner or went to it. */
void relay_count(struct relay *relay, struct session *s, bool in, bool frame, size_t octets);
/* The session's counters have changed: its row is written again soon. */
void relay_session_changed(struct relay *relay, struct session *s);
/* The next hop of an accepted request is gone: tell its sender, if he wants to know. */
void relay_undeliverable(struct relay *relay, const struct outgoing *f);
/* Write a whole frame to a connection of any worker; REPORTs and end-to-end responses. Dropped if it has ended. */
void relay_deliver(struct relay *relay, struct conn_ref to, struct sv frame);
/* A message has come to its end: one row in the accounts, be it of several chunks that failed one by one. bytes: how
 * far it came.
 * status  of the next hop; 408 and 481 as in a REPORT of ours; 413 and 415 by our own policy; 0: nobody has confirmed
 *         it (its sender wanted no reports, or gave up before the end) */
void relay_account(struct relay *relay, struct route *route, struct sv message_id, uint64_t bytes, unsigned status,
                   uint64_t started_at);
/* A 2xx, or not asked for. */
static inline bool status_is_good(unsigned status)
{
    return status == 0 || (status >= 200 && status <= 299);
}

/* ---- peer.c: the connection to a next hop that is no client of ours ---- */

/* These two find one or open one, and return 200 and where, or how to refuse: 4xx, or ROUTE_WAITS: origin, from which
 * the frame comes, is paused until there is one connection less being opened for it. origin NULL: the frame is ours. */
unsigned peer_endpoint(struct relay *relay, struct conn *origin, struct session *u, const struct msrp_uri *uri,
                       struct conn_ref *dest);
/* Of an AUTH it may be a name without port, to be found by SRV (M-DNS-03). */
unsigned peer_relay(struct relay *relay, struct conn *origin, const struct msrp_uri *uri, struct conn_ref *dest);
/* To that host and port, for a script; from: our end, NULL: any. is_relay: its certificate must be good, as for a next
 * hop of peer_relay(). */
unsigned peer_address(struct relay *relay, struct conn *origin, const struct msrp_uri *uri, const struct addr *from, bool is_relay,
                      struct conn_ref *dest);
/* Is there such a connection, as far as can be seen from this worker? */
bool peer_is_there(const struct relay *relay, struct conn_ref ref);
/* A dialled connection is open or has failed. */
void peer_dialled(struct msrp_conn *m);
/* A relay has proven to be this host on a connection: it is used for requests to that host (M-CON-14). */
void peer_is_relay(struct relay *relay, struct conn *c, struct sv host);
/* The connection on which the route's frames came has ended: another one, if that was with a relay (M-REP-04). False:
 * none. */
bool peer_other_link(struct relay *relay, const struct route *route, struct conn_ref *to);

/* ---- hop.c: the next hop, on its own worker ---- */

enum hop_result { HOP_TAKEN, HOP_GONE /* the connection has ended */ };

/* A whole frame: it is written, or waits behind others (stream.c). */
enum hop_result hop_frame(struct relay *relay, struct conn *dest, const struct outgoing *f);
/* Write it now. borrowed: its body lives until the connection is flushed. */
enum hop_result hop_write(struct relay *relay, struct conn *dest, const struct outgoing *f, bool borrowed);
/* Octets of a request, or a whole one, go to that connection. */
void hop_count_out(struct relay *relay, const struct route *route, const struct conn *dest, size_t octets, bool whole);
/* A token has ended or moved, though this connection of its owner lives: chunks on their way to him end here, and
 * frames that wait to be written have failed (M-FR-01). */
void hop_session_ended(struct msrp_conn *dest, const struct session *session);
/* The next hop has ended: fail what is open towards it, and forget the chunks on their way. status: 403, or 408, which
 * is made 481 where the token has ended, too. */
void hop_down(struct msrp_conn *dest, unsigned status);
/* Answer a SEND that came over this route, on whatever worker. */
void hop_answer(struct relay *relay, const struct route *route, struct sv tid_in, unsigned status);
/* A forwarded AUTH has failed: answer it. */
void hop_auth_failed(struct relay *relay, const struct route *route, struct sv tid_in, unsigned status);
void hop_response(struct msrp_conn *from, const struct msrp_head *h);
/* Is it the answer to a SEND, which is for us alone? */
bool hop_ends_here(struct msrp_conn *from, const struct msrp_head *h);
/* Bytes were written: start the timers of what is out. */
void hop_progress(struct msrp_conn *dest);
void hop_timed_out(struct txn *t);
/* The next hop's answer to a SEND that was written: it is accounted for and forgotten. */
void hop_answered(struct txn *t, unsigned status);
/* About to write a whole frame: end the chunk that is open on the wire, if any. */
void hop_interrupt(struct msrp_conn *dest);

/* ---- flow.c: next hops that are full, and the sources that wait for them ---- */

void flow_init(struct msrp_conn *m);
/* Who waits for it may go on; it waits for nobody. */
void flow_fini(struct msrp_conn *m);

/* Can a next hop take more of a session? NEVER: the source is shared and others have waited long enough, what it has
 * for this next hop fails. */
enum flow_room { FLOW_ROOM, FLOW_LATER, FLOW_NEVER };
enum flow_room flow_room(struct msrp_conn *dest, const struct route *route, bool shared);
/* It cannot: the route's origin, of our own worker or of another one, is not read until it can. shared: it has others
 * to serve. */
void flow_wait(struct msrp_conn *dest, struct route *route, bool shared);
/* Its queue has drained, or something that waited has gone. */
void flow_release(struct msrp_conn *dest);

/* ---- report.c ---- */

/* Tell the sender of a SEND that octets from..to failed. to_octets: UINT64_MAX for a frame without body (range as
 * received). */
void report_failure(struct relay *relay, struct route *route, struct sv message_id, const struct msrp_range *range,
                    uint64_t start, uint64_t octets, unsigned status, struct sv comment);
/* A REPORT that finds no room in its receiver's queue is written when there is (M-FLOW-03): its queue has drained. */
void report_owed(struct msrp_conn *m);
/* The same, to the connection that has come in the place of the route's origin. */
void report_to(struct relay *relay, struct conn_ref to, struct route *route, struct sv message_id, const struct msrp_range *range,
               uint64_t start, uint64_t octets, unsigned status, struct sv comment);
/* The receiver is gone, and what it is owed with it, unless it is a relay that has another link. */
void report_forget(struct msrp_conn *m);
/* The same about a SEND that was not taken, by its head: the range is what was announced.
 * from_path  of the REPORT; empty: the first URI of To-Path */
void report_refusal(struct relay *relay, const struct conn *c, const struct msrp_head *h, unsigned status, struct sv from_path);
const char *status_phrase(unsigned status);

/* ---- policy.c: what the operator does not want to be relayed (RFC 4976 s.9.4, s.6.4.2) ---- */

/* 200 or how to refuse it, when n octets of its body are there (M-FWD-15, M-FWD-31); stopped: messages that were
 * stopped before. */
unsigned policy_of_frame(const struct conf *conf, const struct recent *stopped, const struct msrp_head *h, size_t n);
/* May a message have an octet at this position, 1 being the first? */
bool policy_allows_octet(const struct conf *conf, uint64_t pos);

/* ---- txn.c ---- */

void txn_pool_free(struct relay *relay);
/* A connection as a next hop: no transactions yet; none any more. */
void txn_conn_init(struct msrp_conn *m);
void txn_conn_fini(struct msrp_conn *m);

/* ---- cross.c: between workers ---- */

enum {
    CROSS_BODY_MAX = 16 * 1024, /* octets of one record; with the largest header it fits a ring */
    REMOTE_MAX = 64 * 1024,     /* bytes of one record */
};

int cross_new(struct cross **out, struct relay *relay, unsigned n_workers);
void cross_free(struct cross **c);
/* These three: false when there is no room now; then the source is on the list of those to be resumed when there is.
 * The body has at most CROSS_BODY_MAX octets. */
bool cross_frame(struct relay *relay, struct msrp_conn *source, const struct outgoing *f);
bool cross_stream_begin(struct relay *relay, struct msrp_conn *source, const struct outgoing *f, uint64_t id);
bool cross_stream_body(struct relay *relay, struct msrp_conn *source, unsigned worker, uint64_t id, const char *p, size_t n,
                       bool hyphen_lines);
/* What must be said of a chunk or a pause that has begun, its end, has its memory reserved before that: NULL, out of
 * memory. */
struct cross_note *cross_note_new(void);
/* These always get through, in order with the others; the first two without new memory: *note (rx_note of the source)
 * is taken if the ring has no room, and cleared. The others are lost, and counted, when there is no memory; then the
 * connection that waits for one ends, as by relay_lost(). */
void cross_stream_end(struct relay *relay, struct msrp_conn *source, char flag);
void cross_pause(struct relay *relay, struct conn_ref source, bool pause, struct cross_note **note);
/* Our policy lets no more of the chunk pass (rx_refused): the other worker ends it downstream, and answers its sender
 * now, or at its end if he has heard of a failure before. */
void cross_stream_refuse(struct relay *relay, struct msrp_conn *source);
void cross_deliver(struct relay *relay, struct conn_ref to, struct sv frame);
/* report_to() on the worker of that connection. */
void cross_report(struct relay *relay, struct conn_ref to, struct route *route, struct sv message_id, const struct msrp_range *range,
                  uint64_t start, uint64_t octets, unsigned status, struct sv comment);
/* relay_lost() on the worker of that connection. */
void cross_lost(struct relay *relay, struct conn_ref who);
/* relay_auth_strike() on the worker of that connection, after what was delivered to it. */
void cross_auth_failed(struct relay *relay, struct conn_ref who);

/* ---- token.c ---- */

/* A session begins on this worker: given or resumed on the connection m, or restored (NULL). */
void token_begin(struct relay *relay, struct msrp_conn *m, struct session *s);
/* An AUTH to a token, by a user who has proven to be who->username: renew it, or resume it on this connection. 200 and
 * a reference for the caller in *out, or how to refuse. */
unsigned token_renew(struct msrp_conn *m, struct sv to, const struct session_spec *who, struct session **out);
/* The connection has ended: its sessions wait to be resumed; those that an operator has ended with it do not. */
void token_leave(struct msrp_conn *m, enum close_reason reason);

/* ---- auth.c ---- */

/* An AUTH addressed to us alone. Answers now or later; then the connection is paused meanwhile. */
void relay_auth(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from, size_t n_from);
/* The same when it is known whose it is; the status of the answer. */
unsigned relay_auth_known(struct msrp_conn *m, const struct msrp_head *h, const struct msrp_uri *to, const struct msrp_uri *from,
                          size_t n_from, const struct authn_result *known);
/* Credentials were wrong. True: too often, the connection is to end after the answer, unless it is a relay's link
 * (M-AUTH-17). */
bool relay_auth_failed(struct msrp_conn *m, const struct authn_result *r);
void relay_auth_cancel(struct msrp_conn *m);
/* Another relay says that credentials from this connection were wrong: at the limit it is ended, after the answer
 * (M-AUTH-17). */
void relay_auth_strike(struct relay *relay, struct conn_ref who);
/* Does one of the challenges among these header lines say that it was only the nonce that was too old? */
bool relay_auth_is_stale(struct sv headers);
/* Is this one of our listening sockets? */
bool relay_listens_on(const struct relay_shared *s, const struct addr *a);
bool relay_is_us(const struct relay *relay, const struct conn *c, const struct msrp_uri *u, bool auth);

/* ---- script.c ---- */

/* The frame goes to the operator's script. True: that has seen to it, *taken says how far (0: it must wait); false: the
 * built-in routing is to. Only if script_may_be(). */
bool script_frame(struct msrp_conn *m, const struct msrp_head *h, const char *p, size_t n, size_t *taken);
/* There is a script, or the frame may be with one that has been taken away. */
static inline bool script_may_be(const struct msrp_conn *m)
{
    return m->relay->script || m->orders;
}
/* Is the frame under way one that a script has decided about? Then it is answered by script_done(). */
bool script_is_in_charge(const struct msrp_conn *m);
/* The frame's last octet is there and has been taken: its answer goes out, if there is one. */
void script_done(struct msrp_conn *m);
/* The relay has refused it meanwhile, and said so. */
void script_overruled(struct msrp_conn *m);
/* The connection has ended. */
void script_forget(struct msrp_conn *m);
