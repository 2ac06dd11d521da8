/* MSRP sessions: what a Use-Path token stands for, and the table of all of them.
 *
 * A session belongs to the connection on which its AUTH came, hence to that
 * connection's worker, which alone ends it and counts its traffic. Other workers find it
 * in the table (striped locks; asked when a route is made, never per frame), keep a reference, and read its state, an
 * atomic. When that connection ends the session stays in the table, detached, until its owner resumes it on another
 * connection, which makes a new session of the same URI: what was known of the old one (routes, transactions) sees by
 * its state that it has moved, and nothing else in it ever changes. RFC 4976 s.6.3; M-TOK-*. */
#pragma once

#include "common/hash.h"
#include "common/list.h"
#include "msrp/uri.h"
#include "net/conn.h"

enum { SESSION_ID_LEN = 22 /* characters of [A-Za-z0-9]: 131 bits */ };

enum session_state {
    SESSION_ACTIVE,
    SESSION_DETACHED, /* in the table, without a connection: to be resumed, or closed when its time is over (M-TOK-12) */
    SESSION_CLOSED,
    SESSION_EXPIRED,
    SESSION_MOVED,    /* resumed: another session stands for the token */
};

struct session_table;
struct session_user;
struct stripe;

struct session {
    struct hash_node node;     /* in the table */
    struct list conn_node;     /* on the owner connection's list */
    int refs;                  /* atomic */
    int state;                 /* atomic enum session_state */
    int left;                  /* atomic: its connection has ended while it was active; that stays so */

    /* never change: */
    struct msrp_uri uri;       /* the Use-Path URI; its text is NUL-terminated */
    struct msrp_uri client;    /* From-Path of the AUTH: where frames for the owner go */
    struct sv username, domain;
    bool by_relay;             /* the owner is the relay that proves to be the host of `client`, on whatever connection (M-TOK-06) */
    struct conn_ref owner;     /* the client's connection; by_relay, and after a restart: id 0, and only the worker counts, on which
                                * the session lives */
    struct addr peer, local;   /* of the connection on which the AUTH came */
    bool secure_conn;          /* that connection is TLS */
    uint64_t created_at;       /* UNIX time */
    uint64_t resumed;          /* how often the token was */

    uint64_t expires_at;       /* UNIX time, atomic: a refresh moves it, and the end of the connection */
    struct wheel_timer timer;  /* owner's worker */
    struct session_table *table; /* back */
    struct session_user *user; /* owned share of: the count of his sessions; under the table's lock */
    struct loop *loop;         /* borrowed: the owner's */
    void (*on_end)(struct session *s, enum session_state how); /* owner's worker: it has left the table; once */
    void *on_end_arg;
    struct post moved_post;    /* to the owner's worker */
    uint64_t last_activity_at; /* these: atomic; written by the owner's worker, or by_relay by any */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    struct list changed_node;  /* on its relay's list while its row is out of date; owner's worker */
    struct post changed;       /* by_relay: another worker tells the owner's that it is */
    int changed_told;          /* atomic: and need not do so again, as the row is not yet written */

    struct list bindings;      /* struct binding by session_node; under the table's lock, as is their number */
    unsigned n_bindings;
    uint64_t *calls;           /* owned: ids of connections, the newest CALLS_PER_SESSION; under the table's lock */
    unsigned n_calls;          /* how many were put */
    char text[];               /* what the views above point into */
};

int session_table_new(struct session_table **out, unsigned log2_slots);
void session_table_free(struct session_table **t); /* with the sessions that are detached; no worker runs any more */
size_t session_table_count(struct session_table *t);
size_t session_table_slots(struct session_table *t);

struct session_spec {
    struct sv authority;      /* host:port of the Use-Path URI */
    bool secure;              /* msrps */
    struct sv client;         /* From-Path[0] of the AUTH */
    bool by_relay;            /* that is a relay, which has proven to be its host */
    struct sv username, domain;
    uint32_t expires_s;
    uint64_t max, max_per_user; /* sessions in the table (M-TOK-10) */
};

/* Make a session with a fresh random id, active, in the table, its timer running; the table holds one reference and the
 * caller gets one. TD_ELIMIT: there are too many of them. */
int session_create(struct session **out, struct session_table *t, const struct session_spec *spec, const struct conn *owner);

/* What a session was when the last process ended (times are UNIX seconds). */
struct session_past {
    struct sv uri, client, username, domain;
    struct sv source, socket; /* as session_source_text() and session_socket_text() wrote them */
    uint64_t created_at, expires_at, last_activity_at, resumed;
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t max, max_per_user;
};

/* Make it again, detached, living on that worker, whose loop does not run yet. TD_EINVAL: this is no session; else as
 * above. */
int session_restore(struct session **out, struct session_table *t, const struct session_past *past, struct worker *w);

/* By session-id, active or detached; NULL: unknown or ended. The caller gets a reference. */
struct session *session_find(struct session_table *t, struct sv id);
struct session *session_ref(struct session *s);
void session_unref(struct session **s);

static inline enum session_state session_state(const struct session *s)
{
    return (enum session_state)__atomic_load_n(&s->state, __ATOMIC_RELAXED);
}

static inline bool session_is_active(const struct session *s)
{
    return session_state(s) == SESSION_ACTIVE;
}

/* The connection it is on; 0: none now. */
static inline uint64_t session_conn_id(const struct session *s)
{
    return session_is_active(s) ? s->owner.id : 0;
}

/* What a request over a session that is not active meets with: 481 ends the conversation, 408 is trouble that passes
 * (M-COD-02). */
static inline unsigned session_refusal(const struct session *s)
{
    enum session_state state = session_state(s);

    return state == SESSION_CLOSED || state == SESSION_EXPIRED ? 481 : 408;
}

/* It has ended, and its owner, who was there, is to hear of it: what he has sent and we still have goes no farther (M-FR-01). One who had left
 * could not be told, and was let in when he sent it: that goes on. */
static inline bool session_takes_back(const struct session *s)
{
    return session_refusal(s) == 481 && !__atomic_load_n(&s->left, __ATOMIC_RELAXED);
}

/* Does what comes on this connection come from its owner (M-TOK-05, M-TOK-06, M-FWD-05)? */
bool session_is_owner(const struct session *s, const struct conn *c);
/* Is this, behind its Use-Path URI, the way to its owner (M-FWD-06)? Beyond a client there is nothing; beyond a relay
 * is its client. */
bool session_leads_to(const struct session *s, const struct msrp_uri *path, size_t n);

/* Owner's worker: end it. It leaves the table, its timer stops, on_end is called. */
void session_end(struct session *s, enum session_state how);
/* Owner's worker: it lives expires_s seconds from now. */
void session_refresh(struct session *s, uint32_t expires_s);
/* Owner's worker: its connection has ended. It waits so long at most for being resumed, then it is closed. False: it is
 * not active. */
bool session_detach(struct session *s, uint32_t resume_s);

/* The worker of `owner`: the owner of this session, detached or not, is there now. A new session takes its place, with
 * its counters and bindings; the old one ends as SESSION_MOVED, at once for those who look at its state, and for its
 * worker when that one comes to it. TD_ECLOSED: it has ended or moved already. */
int session_resume(struct session **out, struct session *old, const struct conn *owner, uint32_t expires_s);

/* Call fn for each session, under a lock: copy what you need, quickly. */
void session_each(struct session_table *t, void (*fn)(struct session *s, void *arg), void *arg);

/* `msrps://ip:port` of the client, and `tls:ip:port` of our socket, as scripts and tables show them. */
struct sv session_source_text(const struct session *s, char *out, size_t size);
struct sv session_socket_text(const struct session *s, char *out, size_t size);

/* ---- bindings: which connection leads to a foreign endpoint of a session (M-CON-07) ---- */

struct binding {
    struct stripe *stripe;     /* borrowed: of the table, whose lock is meant below */
    struct list session_node;  /* under the table's lock */
    struct list conn_node;     /* on the connection's list; its worker's */
    struct session *session;   /* owned reference; under the table's lock: it moves when the session is resumed */
    struct conn_ref conn;
    struct msrp_uri uri;       /* the endpoint */
    char text[];
};

enum { BINDINGS_PER_SESSION = 256 }; /* foreign endpoints of one token */

enum bind_result { BIND_NEW, BIND_SAME, BIND_OTHER /* bound to another live connection */, BIND_FULL, BIND_NO_MEMORY,
                   BIND_GONE /* the session is not in the table any more */ };
/* Bind (session, uri) to the connection, whose list gets the binding. */
enum bind_result session_bind(struct session *s, const struct msrp_uri *uri, struct conn_ref conn, struct list *conn_bindings);
/* The connection bound to that endpoint; id 0: none. */
struct conn_ref session_bound(struct session *s, const struct msrp_uri *uri);
/* Let go of all bindings on a connection's list; only_dead: only those of sessions that ended. */
void session_unbind_all(struct list *conn_bindings, bool only_dead);

/* ---- endpoints called in the clear, which may answer on that connection (M-TLS-10) ---- */

enum { CALLS_PER_SESSION = 256 }; /* remembered; a power of two */

/* A request of this session goes over that connection, which we have opened. Without memory this is not remembered. */
void session_add_call(struct session *s, struct conn_ref conn);
bool session_has_call(struct session *s, const struct conn *c);

/* ---- connections to next hops, for reuse (M-CON-06) ---- */

enum { PEER_KEY_MAX = MSRP_URI_MAX + 16 };

struct peer_entry {
    struct hash_node node;
    struct conn_ref conn;
    bool in_table;
    char key[];
};

/* NULL: out of memory. Freed with free(), when it is in the table no more. */
struct peer_entry *peer_entry_new(const char *key, struct conn_ref conn);

/* verified: the certificate of an msrps peer is checked when it is dialled. Such a connection is one of its own, as a
 * relay must not be reached by one that was opened to an endpoint of unknown identity (M-TLS-02). */
void peer_key(char *out, size_t size, const struct msrp_uri *uri, bool verified);
/* Of a connection that a relay has opened to us: it has proven to be that host, and its port is not known
 * (M-CON-14). */
void peer_link_key(char *out, size_t size, struct sv host);
/* A live connection for that key, id 0: none. Given an entry it is entered instead when there is none; the result tells
 * whose won. */
struct conn_ref peer_find(struct session_table *t, const char *key);
struct conn_ref peer_enter(struct session_table *t, struct peer_entry *e);
/* Enter it beside others of that key. */
void peer_add(struct session_table *t, struct peer_entry *e);
void peer_leave(struct session_table *t, struct peer_entry *e);
