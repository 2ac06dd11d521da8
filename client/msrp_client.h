/* An MSRP endpoint: sessions through a relay or without one, messages of any size.
 *
 * Used by msrpcat, msrpbench and tests. One struct mc and everything in it belongs to one loop and thread; thousands
 * of sessions fit in one.
 *
 * Life of a session: mc_session_new() gives it its URI and, with a relay, dials and authenticates; ready() tells its
 * path (for SDP). mc_session_set_peer() tells the far end's path; then messages can be sent. Received messages come as
 * slices with their position. The library answers requests, sends success REPORTs for complete messages that ask for
 * one, refreshes its authentication, and reports failures once. RFC 4975 s.5-7, RFC 4976 s.4-5. */
#pragma once

#include "client/digest.h"
#include "client/link.h"
#include "client/span.h"
#include "common/hash.h"

struct mc_in;
struct mc_out;
struct mc_session;

struct mc_ops {
    /* The session's own path is known: s->path. */
    void (*ready)(struct mc_session *s);
    /* It is over: connection lost, or authentication refused (code not 0). Exactly once unless freed before; what was
     * being sent has been told by out_done(). The session is still to be freed. */
    void (*failed)(struct mc_session *s, unsigned code, const char *why);

    /* A message begins; an answer other than 200 refuses it. */
    unsigned (*in_begin)(struct mc_session *s, struct mc_in *m);
    /* Octets of it; pos is the position of the first, from 1. The same position may come twice. */
    void (*in_body)(struct mc_session *s, struct mc_in *m, uint64_t pos, struct sv bytes);
    /* All of it has arrived, or the sender gave up, or the session ended. m is gone afterwards. */
    void (*in_done)(struct mc_session *s, struct mc_in *m, bool complete);

    /* Fill in up to n octets of a message that was given no mem. 0: that was all. TD_EAGAIN: none now,
     * mc_session_kick() follows. Other errors abort the message. */
    long (*out_pull)(struct mc_session *s, struct mc_out *m, char *p, size_t n);
    /* The message's fate, exactly once: 200 (every chunk was answered 200, and with a success report asked for
     * it came) or the status of the failure; 0: the connection was lost. m is gone afterwards. */
    void (*out_done)(struct mc_session *s, struct mc_out *m, unsigned code, const char *why);
    /* The first accepted SEND has come: a passive end may send now. May be NULL. */
    void (*heard)(struct mc_session *s);
    /* A failure REPORT for a message whose fate was told already. May be NULL. */
    void (*late_failure)(struct mc_session *s, struct sv message_id, unsigned code);
};

struct mc_opts {
    bool no_uri;                   /* leave `uri` out of the digest */
    int algorithm;                 /* enum crypto_hash; -1: the first one offered that we know */
    uint32_t expires_s;            /* asked for in AUTH; 0: the relay's choice */
};

/* All sessions of a program. */
struct mc {
    struct mc_net net;
    const struct mc_ops *ops;
    struct mc_opts opts;
    struct hash sessions; /* by session-id */
};

int mc_init(struct mc *mc, struct loop *loop, const struct mc_ops *ops, const struct mc_opts *opts,
            const struct mc_tls_opts *tls, struct buf *fault);
void mc_fini(struct mc *mc); /* after the last session is freed */

enum { MC_WINDOW = 64, MC_SMALL = 2048 };

/* A message being received. */
struct mc_in {
    struct list node;
    char id[MC_IDENT_MAX + 1];
    char type[96];       /* Content-Type, cut to fit */
    uint64_t total;      /* MC_UNKNOWN until known */
    struct span got;
    bool wants_report;
    bool is_listed;      /* on the session's list: more chunks are to come */
    struct buf from;     /* whole From-Path of the SEND, when a report is wanted */
    void *user;          /* of the ops */
};

/* A message being sent. */
struct mc_out {
    struct list node;
    char id[MC_IDENT_MAX + 1];
    const char *type;    /* borrowed: Content-Type; NULL: a SEND without a body */
    const char *mem;     /* borrowed until out_done; NULL: out_pull is asked */
    uint64_t size;       /* MC_UNKNOWN: until out_pull says 0 */
    uint64_t chunk;      /* octets of a chunk; 0: all in one */
    bool success_report, no_failure_report;
    void *user;          /* of the ops */

    uint64_t sent;       /* octets handed to the connection */
    uint64_t acked;      /* octets in chunks that were answered 200 */
    /* set by msrp_client.c only */
    uint64_t chunk_sent;
    uint32_t pending;    /* chunks without an answer */
    bool all_sent;
    char *carry;         /* owned: octets pulled and not sent yet */
    size_t carry_n;
    struct span reported;
};

/* A chunk that waits for its answer. */
struct mc_txn {
    struct mc_out *m;    /* NULL: its message is gone */
    uint64_t octets;
    uint64_t since_ms;   /* when its end-line was queued */
    bool is_open;
};

enum mc_session_state { MC_S_CONNECTING, MC_S_AUTH, MC_S_READY, MC_S_DEAD };

struct mc_session {
    struct mc *mc;            /* back */
    struct hash_node node;
    enum mc_session_state state;
    struct mc_link *link;     /* NULL: none (yet) */
    struct list link_node;
    char id[17];              /* session-id */
    char *uri;                /* owned: our own */
    char *path;               /* owned: for SDP, ready() on: the relay's URIs, nearest to the peer first, and our own */
    char *use_path;           /* owned: as the relay gave it; "" without */
    char *to_path;            /* owned: To-Path of what we send; NULL: no peer yet */
    uint32_t window;          /* unanswered chunks, at most */
    struct list ins;          /* messages of which more is to come */
    struct list outs, flight; /* messages to send (the first may be half sent); all sent, waiting for answers */
    void *user;               /* of the ops */

    /* set by msrp_client.c only */
    char *relay_uri;          /* owned: To-Path of AUTH; NULL: no relay */
    char *auth_user, *auth_password; /* owned */
    char *challenge;          /* owned: the last WWW-Authenticate in use */
    uint32_t nc;
    unsigned auth_tries;
    char auth_tid[17], cnonce[17];
    char *auth_to;            /* owned: To-Path of the AUTH on its way */
    char tid_prefix[13];
    struct mc_txn *txns;      /* owned ring */
    uint32_t txn_mask, txn_next, txn_oldest; /* txn_oldest..txn_next-1 are open */
    uint32_t message_no;
    bool chunk_open;          /* of the first of outs, on the link */
    char chunk_end[40];       /* "-------tid" */
    size_t chunk_end_n;
    char tail[40];            /* its last octets */
    size_t tail_n;
    struct wheel_timer txn_timer, refresh_timer;
    bool is_pumping, has_heard;
    struct loop_defer free_later;
};

/* With a relay ("msrps://relay:port"): dial it and authenticate. Never calls back before it returns. */
int mc_session_new_relay(struct mc_session **out, struct mc *mc, const char *relay, const char *user,
                         const char *password, void *ctx);

/* One more session over the connection of another that authenticated with a relay (RFC 4975 s.5.4): it sends an AUTH
 * of its own. */
int mc_session_new_beside(struct mc_session **out, struct mc_session *other, void *ctx);

/* Without a relay. listen: where a listener of this mc takes connections, becomes the session's URI. ready() is not
 * called: it is ready. */
int mc_session_new_direct(struct mc_session **out, struct mc *mc, const struct addr *listen, bool tls, void *ctx);

/* The far end's path as in its SDP. With via_own_relay the session's own Use-Path stands before it (the rule of RFC
 * 4976); without, requests go over the same connection but name the peer's path alone. False: not a path, or no
 * memory. */
bool mc_session_set_peer(struct mc_session *s, struct sv path, bool via_own_relay);

/* Dial the first hop of the peer's path (no relay of our own), or host:port if given (a forwarder in between). */
int mc_session_dial(struct mc_session *s, const char *host, uint16_t port);

/* Queue a message; fields of `what` down to user are read. NULL: no memory, or the session is dead. */
struct mc_out *mc_session_send(struct mc_session *s, const struct mc_out *what);
void mc_session_kick(struct mc_session *s); /* out_pull has something again */

/* Unanswered and waiting messages are dropped without out_done. The connection is closed when the last session on it
 * is gone. */
void mc_session_free(struct mc_session **s);
