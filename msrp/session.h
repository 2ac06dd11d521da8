/* MSRP sessions: what a Use-Path token stands for, and the table of all of them.
 *
 * A session belongs to the connection on which its AUTH came, hence to that
 * connection's worker, which alone ends it and counts its traffic. Other workers find it
 * in the table (striped locks; asked when a route is made, never per frame), keep a reference, and read its state, an
 * atomic. RFC 4976 s.6.3; M-TOK-*. */
#pragma once

#include "common/hash.h"
#include "common/list.h"
#include "msrp/uri.h"
#include "net/conn.h"

enum { SESSION_ID_LEN = 22 /* characters of [A-Za-z0-9]: 131 bits */ };

enum session_state { SESSION_ACTIVE, SESSION_CLOSED, SESSION_EXPIRED };

struct session_table;

struct session {
    struct hash_node node;     /* in the table */
    struct list conn_node;     /* on the owner connection's list */
    int refs;                  /* atomic */
    int state;                 /* atomic enum session_state */

    /* never change: */
    struct msrp_uri uri;       /* the Use-Path URI; its text is NUL-terminated */
    struct msrp_uri client;    /* From-Path of the AUTH: where frames for the owner go */
    struct sv username, domain;
    bool by_relay;             /* the owner is the relay that proves to be the host of `client`, on whatever connection (M-TOK-06) */
    struct conn_ref owner;     /* the client's connection; by_relay: id 0, and only the worker counts, on which the session lives */
    struct addr peer, local;   /* of the connection on which the AUTH came */
    bool secure_conn;          /* that connection is TLS */
    uint64_t created_at;       /* UNIX time */

    uint64_t expires_at;       /* UNIX time, atomic: a refresh moves it */
    struct wheel_timer timer;  /* owner's worker */
    struct session_table *table; /* back */
    struct loop *loop;         /* borrowed: the owner's */
    void (*on_end)(struct session *s, enum session_state how); /* owner's worker: it has left the table; once */
    void *on_end_arg;
    uint64_t last_activity_at; /* these: written by the owner's worker, read by any */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    struct list changed_node;  /* on its relay's list while its row is out of date; owner's worker */

    struct list bindings;      /* struct binding by session_node; under the table's lock, as is their number */
    unsigned n_bindings;
    char text[];               /* what the views above point into */
};

int session_table_new(struct session_table **out, unsigned log2_slots);
void session_table_free(struct session_table **t); /* all sessions have ended */
size_t session_table_count(struct session_table *t);
size_t session_table_slots(struct session_table *t);

struct session_spec {
    struct sv authority;      /* host:port of the Use-Path URI */
    bool secure;              /* msrps */
    struct sv client;         /* From-Path[0] of the AUTH */
    bool by_relay;            /* that is a relay, which has proven to be its host */
    struct sv username, domain;
    uint32_t expires_s;
};

/* Make a session with a fresh random id, active, in the table, its timer running; the table holds one reference and the caller gets one. */
int session_create(struct session **out, struct session_table *t, const struct session_spec *spec, const struct conn *owner);

/* By session-id; NULL: unknown or ended. The caller gets a reference. */
struct session *session_find(struct session_table *t, struct sv id);
struct session *session_ref(struct session *s);
void session_unref(struct session **s);

static inline bool session_is_active(const struct session *s)
{
    return __atomic_load_n(&s->state, __ATOMIC_RELAXED) == SESSION_ACTIVE;
}

/* Does what comes on this connection come from its owner (M-TOK-05, M-TOK-06, M-FWD-05)? */
bool session_is_owner(const struct session *s, const struct conn *c);
/* Is this, behind its Use-Path URI, the way to its owner (M-FWD-06)? Beyond a client there is nothing; beyond a relay is its client. */
bool session_leads_to(const struct session *s, const struct msrp_uri *path, size_t n);

/* Owner's worker: end it. It leaves the table, its timer stops, on_end is called. */
void session_end(struct session *s, enum session_state how);
/* Owner's worker: it lives expires_s seconds from now. */
void session_refresh(struct session *s, uint32_t expires_s);

/* Call fn for each session, under a lock: copy what you need, quickly. */
void session_each(struct session_table *t, void (*fn)(struct session *s, void *arg), void *arg);

/* `msrps://ip:port` of the client, and `tls:ip:port` of our socket, as scripts and tables show them. */
struct sv session_source_text(const struct session *s, char *out, size_t size);
struct sv session_socket_text(const struct session *s, char *out, size_t size);

/* ---- bindings: which connection leads to a foreign endpoint of a session (M-CON-07) ---- */

struct binding {
    struct list session_node;  /* under the table's lock */
    struct list conn_node;     /* on the connection's list; its worker's */
    struct session *session;   /* owned reference */
    struct conn_ref conn;
    struct msrp_uri uri;       /* the endpoint */
    char text[];
};

enum { BINDINGS_PER_SESSION = 256 }; /* foreign endpoints of one token */

enum bind_result { BIND_NEW, BIND_SAME, BIND_OTHER /* bound to another live connection */, BIND_FULL, BIND_NO_MEMORY };
/* Bind (session, uri) to the connection, whose list gets the binding. */
enum bind_result session_bind(struct session *s, const struct msrp_uri *uri, struct conn_ref conn, struct list *conn_bindings);
/* The connection bound to that endpoint; id 0: none. */
struct conn_ref session_bound(struct session *s, const struct msrp_uri *uri);
/* Let go of all bindings on a connection's list; only_dead: only those of sessions that ended. */
void session_unbind_all(struct list *conn_bindings, bool only_dead);

/* ---- connections dialled to next hops, for reuse (M-CON-06) ---- */

struct peer_entry {
    struct hash_node node;
    struct conn_ref conn;
    bool in_table;
    char key[MSRP_URI_MAX + 16]; /* "msrps host:port" or "msrps! host:port", host in lower case */
};

/* verified: the certificate of an msrps peer is checked when it is dialled. Such a connection is one of its own, as a relay must
 * not be reached by one that was opened to an endpoint of unknown identity (M-TLS-02). */
void peer_key(char *out, size_t size, const struct msrp_uri *uri, bool verified);
/* The live connection for that key, id 0: none. Given an entry it is entered instead when there is none; the result tells whose won. */
struct conn_ref peer_find(struct session_table *t, const char *key);
struct conn_ref peer_enter(struct session_table *t, struct peer_entry *e);
void peer_leave(struct session_table *t, struct peer_entry *e);
