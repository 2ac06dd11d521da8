/* The MSRP relay: one struct relay a worker, one struct relay_shared for all (RFC 4976).
 *
 * The way of a frame: proto.c reads it (frame.h), finds or makes its route
 * (route.c; peer.c finds or opens the connection to others), and hands it to the next hop (hop.c), which runs on the
 * worker that owns that connection; between workers it crosses over a ring (cross.c). Open transactions are in txn.c,
 * AUTH is in auth.c, failure REPORTs in report.c. Only relay_post_*() may be called from another thread. */
#pragma once

#include "common/conf.h"
#include "msrp/session.h"
#include "net/reach.h"
#include "net/worker.h"

struct authn;
struct cross;
struct relay;

/* A host and port by which we are addressed. */
struct authority {
    struct sv host;  /* IPv6 with brackets */
    uint16_t port;   /* 0: any port or none, and in AUTH only (a served domain) */
};

struct relay_shared {
    const struct conf *conf;         /* borrowed; atomic: relay_conf() */
    struct session_table *sessions;  /* owned */
    struct authority *authorities;   /* owned */
    size_t n_authorities;
    struct sv use_path;              /* configured host:port, or empty */
    struct reach reach;              /* next hops allowed */
    struct addr *listeners;          /* owned: of our own sockets, which are no next hops */
    size_t n_listeners;
    unsigned hops_ended;             /* atomic: how often a connection to a next hop, dialled or bound, has ended */
    struct relay **relays;           /* owned array; of all workers */
    unsigned n_relays;

    /* Told of what the database records. May be NULL. Called on the worker's thread; must not block. */
    const struct relay_observer *observer;
};

/* One message that has been relayed, or not, for accounting. Views live for the call. */
struct relay_message {
    const struct session *session; /* NULL: a script has passed it on without one */
    struct sv from_uri, to_uri, message_id;
    uint64_t bytes;
    unsigned status;     /* of the next hop; 0: none was asked for */
    uint64_t started_at, finished_at; /* UNIX time */
};

struct relay_observer {
    void (*session_opened)(struct worker *w, const struct session *s); /* or resumed */
    void (*session_used)(struct worker *w, const struct session *s);    /* its counters */
    void (*session_changed)(struct worker *w, const struct session *s); /* its lifetime, or it has no connection now */
    void (*session_ended)(struct worker *w, const struct session *s, enum session_state how);
    void (*message)(struct worker *w, const struct relay_message *m);
};

int relay_shared_new(struct relay_shared **out, const struct conf *conf, unsigned n_workers, const struct relay_observer *observer,
                     struct buf *fault);
/* We listen at this address, too, besides those of the configuration: it is nobody's next hop, by whatever name
 * (M-SEC-02). Before the workers run. */
int relay_listens(struct relay_shared *s, const struct addr *at);
/* After all relays are freed. */
void relay_shared_free(struct relay_shared **s);

/* Make the relay of a worker and set w->protos[PROTO_MSRP]. authn is borrowed and may be NULL (then AUTH is refused).
 * Call it for all workers before any of their loops runs. */
int relay_new(struct relay **out, struct relay_shared *shared, struct worker *w, struct authn *authn);
/* The worker's thread has ended: so do the sessions that hang on no connection, and none is opened any more. Before its
 * connections are closed. */
void relay_stop(struct relay *r);
/* After worker_fini() of all workers. */
void relay_free(struct relay **r);

/* The configuration in force. */
static inline const struct conf *relay_conf(const struct relay_shared *s)
{
    return __atomic_load_n(&s->conf, __ATOMIC_ACQUIRE);
}

/* Any thread: use this configuration from now on, where a reload can change it. The old one must stay in memory. */
void relay_configure(struct relay_shared *s, const struct conf *conf);

/* Before the workers run: a session of the last process is there again, on that worker, to be resumed; the limits in it
 * are filled in here. False: it cannot be. */
bool relay_restore(struct relay_shared *s, unsigned worker, struct session_past *past);

/* End a session by its id, from any thread; its connection is closed when it has no other. False when there is none. */
bool relay_kick(struct relay_shared *s, struct sv session_id);

/* The relay's own worker: the server stops, AUTH gets 403 from now on (M-CON-17). */
void relay_drain(struct relay *r);

/* Is the `uri` of an Authorization good for this To-Path URI (M-AUTH-08)? For struct authn_opts. */
bool relay_uri_ok(struct sv given, struct sv request_uri, struct sv method);
