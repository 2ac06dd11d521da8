/* Flows: the SIP process's side of the seam to the edge.
 *
 * The edge announces every SIP stream on the control socket and passes a leg with it, one end of a socket pair. Sofia adopts no
 * stream but what it has accepted: we knock at its internal listener, and the accept() that it calls, which is ours, gives it the
 * leg and the real peer's address. setsockopt() is ours, too: legs are no TCP, and Sofia insists on TCP_NODELAY. A flow
 * is named by its connection id, which is the same in the next SIP process, so a binding can name the flow it
 * came on (RFC 5626). One thread: that of the Sofia loop. */
#pragma once

#include "common/buf.h"
#include "common/hash.h"
#include "common/list.h"
#include "net/pump_proto.h"
#include "sip/sofia.h"

struct flows;

struct flow {
    struct flows *flows;      /* back */
    struct hash_node by_id, by_peer;
    bool in_peer;             /* accepted */
    bool is_ending;           /* its client sends no more, and is sent nothing but answers */
    struct list arrival_node; /* announced and not yet accepted */
    int leg;                  /* owned until then; -1: none */
    uint64_t id;              /* the connection id of the client's connection */
    enum pump_kind kind;
    uint16_t worker;
    uint32_t dial_id;         /* 0: the client connected to us */
    unsigned auth_failures;   /* in a row, of requests that no other proxy has passed on */
    struct addr peer, local;
    char *identity;           /* owned: name in the peer's verified certificate; NULL: none */
    char *dialled;            /* owned: whom it was dialled as, and is with TLS; NULL: the client connected to us */
    tport_t *tport;           /* counted; NULL: not looked up yet */
};

/* "tcp", "tls", "ws", "wss": also the ident of the internal listeners. */
const char *flow_kind_text(enum pump_kind kind);

/* What the edge tells besides flows. */
struct flows_events {
    void (*conf)(void *arg, int fd); /* a new configuration is in that file; fd is the callee's to close */
    void (*ban)(void *arg, const struct addr *a, uint32_t seconds); /* 0: not any more */
    void (*forget)(void *arg); /* remembered credentials */
    void *arg; /* borrowed */
};

/* control_fd is owned. *hello gets the first record; *shared is mapped. */
int flows_new(struct flows **out, int control_fd, struct pump_rec *hello, struct pump_shared **shared,
              const struct flows_events *events);
void flows_free(struct flows **f); /* before the stack goes */

/* Serve the control socket in this root; when it closes, the root's loop is broken. Connections to the internal
 * listeners are refused from now on: flows come by announcement alone. */
int flows_start(struct flows *f, su_root_t *root, tport_t *master);

/* Is our accept() the one that Sofia calls? Connects to an internal listener and expects to be refused. */
bool flows_self_test(struct flows *f, const struct addr *listener);

/* Tell the edge: the internal listeners are there / why we stop. */
void flows_ready(struct flows *f, const uint16_t ports[PUMP_KIND_N][2]);
void flows_fault(struct flows *f, const char *text);

/* NULL: no such flow any more. */
struct flow *flow_by_id(struct flows *f, uint64_t id);
struct flow *flow_of_tport(struct flows *f, const tport_t *tp);
/* The open flow to that peer, if any, for reuse; with TLS one that was dialled as this host, and so has proven to be it. */
struct flow *flow_to_peer(struct flows *f, enum pump_kind kind, const struct addr *peer, const char *host);

/* Sofia's transport of the flow, to send requests down; borrowed. NULL: the leg is not accepted yet, or the flow is ending or shut down. */
tport_t *flow_tport(struct flow *f);

/* Has it ended, or is about to? False while the edge may not have announced it yet, in the first seconds of this process. */
bool flow_has_ended(struct flows *f, uint64_t id);

/* Its client has been told to be heard every so many seconds (RFC 5626 s.4.4): the edge ends it when it is not. */
void flow_keep(struct flow *f, uint32_t seconds);

/* Ask the edge to shut a source out; it answers with events.ban. */
void flows_ban(struct flows *f, const struct addr *a, uint8_t why);

/* Ask the edge to open a connection to an address. done is called once, with NULL when that failed; the handle may be
 * cancelled until then. With TLS the certificate must be that of host, a domain or an IP literal. */
struct flow_dial;
typedef void flow_dialled(void *arg, struct flow *f);
struct flow_dial *flow_dial(struct flows *f, enum pump_kind kind, const char *host, const struct addr *at,
                            flow_dialled *done, void *arg);
void flow_dial_cancel(struct flow_dial *d);

/* TLS below it? */
bool flow_is_secure(const struct flow *f);

size_t flows_count(const struct flows *f);
